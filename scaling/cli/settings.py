"""Defaults of options from files and the environment, with where each came from.

The command line goes before the environment, this before ``./scaling.toml``, this before the user's
file; what none of them says is built in. A setting that cannot be used is told by the command that
would use it, and by the others in passing; ``--help``, ``scaling config`` and ``scaling doctor``
go on working with any.
"""

from __future__ import annotations

import difflib
import json
import os
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from typer.core import TyperCommand

from scaling.cli.usage import words_of
from scaling.errors import ConfigError, Fault, clip, listed, printable
from scaling.runs.files import config_folder

LOCAL = "scaling.toml"
FREE = ("config", "doctor", "explain", "init")  # work with settings that cannot be used
SWITCH = {"1": True, "true": True, "yes": True, "on": True,
          "0": False, "false": False, "no": False, "off": False}  # fmt: skip
WORDS = {"boolean": "true or false", "integer": "an integer", "float": "a number"}


@dataclass(frozen=True)
class Setting:
    """The default of one option, as a file or a variable gives it.

    Attributes
    ----------
    command : str
        Words of the command: ``sweep run``.
    option : str
        As files spell it: ``interval-method``.
    name : str
        Of the parser's parameter.
    value : Any
    origin : str
        The file or the variable.
    """

    command: str
    option: str
    name: str
    value: Any
    origin: str

    @property
    def text(self) -> str:
        """The value as a file would have it."""
        value = str(self.value) if isinstance(self.value, Path) else self.value
        return json.dumps(value, ensure_ascii=False, default=str)


@dataclass(frozen=True)
class Wrong:
    """A setting that cannot be used, and the first words of the commands that it is meant for."""

    command: str
    fault: Fault

    def stops(self, command: str) -> bool:
        """Whether a command cannot run with it; what is meant for no command stops all."""
        return not self.command or f"{command} ".startswith(f"{self.command} ")


@dataclass(frozen=True)
class Looked:
    """A configuration file that was looked for."""

    path: str
    there: bool


@dataclass(frozen=True)
class Settings:
    """All settings, the weaker ones first; the files looked at; what cannot be used."""

    found: tuple[Setting, ...] = ()
    files: tuple[Looked, ...] = ()
    wrong: tuple[Wrong, ...] = ()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What cannot be used, as messages."""
        return tuple(wrong.fault for wrong in self.wrong)

    def of(self, command: str) -> dict[str, Setting]:
        """Settings of a command by the name of their parameter; the strongest of each."""
        return {setting.name: setting for setting in self.found if setting.command == command}


@dataclass
class _State:
    """Settings of the command that runs, and those that it took."""

    settings: Settings = field(default_factory=Settings)
    used: list[tuple[Any, Setting]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


_STATE = _State()


def take(ctx: Any) -> None:
    """Look for settings, and lay them under the commands of a context as their defaults."""
    _STATE.settings = read(ctx)
    _STATE.used, _STATE.words = [], []
    defaults: dict[str, Any] = {}
    for setting in _STATE.settings.found:
        place = defaults
        for word in setting.command.split():
            place = place.setdefault(word, {})
        place[setting.name] = setting.value
    ctx.default_map = defaults


class Command(TyperCommand):
    """A command that says which of its options came from a file or the environment."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, and say of which command an option lacks its argument."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if getattr(error, "ctx", ctx) is None:
                error.ctx = ctx  # type: ignore[attr-defined]
            raise

    def invoke(self, ctx: Any) -> Any:
        """Refuse settings that cannot be used, tell those that are, and run."""
        from scaling.cli.common import talk

        words = words_of(ctx)
        _refuse_or_tell(" ".join(words), talk)
        known = _STATE.settings.of(" ".join(words))
        _STATE.words = words
        for parameter in self.params:
            source = ctx.get_parameter_source(parameter.name)
            setting = known.get(str(parameter.name))
            if setting is not None and getattr(source, "name", "") == "DEFAULT_MAP":
                _STATE.used.append((parameter, setting))
        for _, setting in _STATE.used:
            talk(f"{setting.option} = {printable(setting.text)} from {setting.origin}")
        return super().invoke(ctx)


def _refuse_or_tell(command: str, talk: Callable[[str], None]) -> None:
    """Refuse what a command would use and cannot; name what others could not."""
    if command.partition(" ")[0] in FREE:
        return
    wrong = _STATE.settings.wrong
    stops = [one.fault for one in wrong if one.stops(command)]
    if stops:
        raise ConfigError(stops)
    for one in wrong:
        talk(f"not used here, and cannot be: {one.fault.where}; see scaling config")


def typed() -> tuple[list[str], list[str]]:
    """Words of the command that runs, and options that would say what its settings say."""
    words: list[str] = []
    for parameter, setting in _STATE.used:
        flag = next(name for name in parameter.opts if name.startswith("--"))
        if isinstance(setting.value, bool):
            chosen = [flag] if setting.value else list(parameter.secondary_opts[:1])
            words += chosen
            continue
        values = setting.value if isinstance(setting.value, list) else [setting.value]
        for value in values:
            words += [flag, str(value)]
    return _STATE.words, words


# -------------------------------------------------------------------------------------- reading


def current() -> Settings:
    """The settings that `take` found for the command that runs."""
    return _STATE.settings


def read(ctx: Any) -> Settings:
    """Read the files and the environment for the commands of the program of a context."""
    leaves = dict(commands(ctx.command))
    found: list[Setting] = []
    wrong: list[Wrong] = []
    files = []
    for path, shown, needed in _places():
        data = None
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            if needed:
                fault = Fault("SC013", "SCALING_CONFIG", f"names no file: {shown}",
                              mend="unset SCALING_CONFIG, or name a file")  # fmt: skip
                wrong.append(Wrong("", fault))
        except (OSError, ValueError) as error:  # TOML and UTF-8 errors are ValueErrors
            if not (isinstance(error, PermissionError) and path == _default()):  # another's home
                why = error.strerror if isinstance(error, OSError) else f"not TOML: {error}"
                fault = Fault("SC013", shown, clip(str(why), 200), mend="mend it, or move it")
                wrong.append(Wrong("", fault))
                data = {}
        files.append(Looked(shown, data is not None))
        for item in _of_table(ctx, data or {}, ctx.command, (), shown):
            (wrong if isinstance(item, Wrong) else found).append(item)  # type: ignore[arg-type]
    for item in _of_environment(ctx, leaves):
        (wrong if isinstance(item, Wrong) else found).append(item)  # type: ignore[arg-type]
    return Settings(tuple(found), tuple(files), tuple(wrong))


def commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield the words and the command of every leaf."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield " ".join((*before, name)), command


def options(command: Any) -> dict[str, Any]:
    """Options of a command that can be set, by the name that files have for them."""
    out = {}
    for parameter in command.params:
        long = [name for name in parameter.opts if name.startswith("--")]
        if parameter.param_type_name == "option" and long and parameter.name != "help":
            out[long[0].removeprefix("--")] = parameter
    return out


def variable(command: str, option: str) -> str:
    """Name of the variable of an option."""
    return f"SCALING_{command}_{option}".upper().replace(" ", "_").replace("-", "_")


def _default() -> Path:
    return config_folder() / "config.toml"


def _places() -> Iterator[tuple[Path, str, bool]]:
    """Configuration files, the weaker one first, as they are shown; whether one must be there."""
    named = os.environ.get("SCALING_CONFIG")
    path = Path(named).expanduser() if named else _default()
    home = os.path.expanduser("~")  # noqa: PTH111 - there may be no home at all
    shown = str(path)
    if len(home) > 1 and shown.startswith(home + os.sep):
        shown = "~" + shown[len(home) :]
    yield path, printable(shown), bool(named)
    yield Path(LOCAL), f"./{LOCAL}", False


def _of_table(
    root: Any, table: Mapping[str, Any], command: Any, words: tuple[str, ...], origin: str
) -> Iterator[Setting | Wrong]:
    """Settings of a section, whose keys are commands or options."""
    group = getattr(command, "commands", None)
    known = options(command) if group is None else group
    for key, value in table.items():
        name = key if key in known else key.replace("_", "-")
        where = f"{origin} [{'.'.join(words)}] {clip(key, 40)}" if words else f"{origin} [{key}]"
        if name not in known:
            fault = _unknown(key, known, where, words, group is not None)
            yield Wrong(" ".join(words), fault)
        elif group is None:
            yield _setting(root, known[name], value, " ".join(words), name, origin, where)
        elif isinstance(value, Mapping):
            yield from _of_table(root, value, known[name], (*words, name), origin)
        else:
            expected = f"a section [{'.'.join((*words, name))}] of options"
            fault = Fault("SC013", where, clip(repr(value)), expected)
            yield Wrong(" ".join((*words, name)), fault)


def _unknown(
    key: str, known: Mapping[str, Any], where: str, words: tuple[str, ...], group: bool
) -> Fault:
    near = difflib.get_close_matches(key.replace("_", "-"), known, 1)
    mend = f'did you mean "{near[0]}"?' if near else ""
    name = " ".join(("scaling", *words))
    found = f"{name} has no such {'command' if group else 'option'}"
    return Fault("SC013", where, found, "" if near else listed(known, 30), mend)


def _of_environment(root: Any, leaves: Mapping[str, Any]) -> Iterator[Setting | Wrong]:
    """Settings of variables such as ``SCALING_SWEEP_RUN_WORKERS``."""
    for command, leaf in leaves.items():
        known = {variable(command, option): (option, p) for option, p in options(leaf).items()}
        start = variable(command, "")
        for name in sorted(name for name in os.environ if name.startswith(start)):
            if name not in known:
                ends = [one.removeprefix(start) for one in known]
                near = difflib.get_close_matches(name.removeprefix(start), ends, 1)
                mend = f"did you mean {start}{near[0]}?" if near else f"unset {name}"
                found = f"scaling {command} has no such option"
                yield Wrong(command, Fault("SC013", name, found, mend=mend))
                continue
            option, parameter = known[name]
            yield _of_text(root, parameter, command, option, name)


def _of_text(root: Any, parameter: Any, command: str, option: str, name: str) -> Setting | Wrong:
    """Read a variable: words of a shell where an option may be repeated."""
    text = os.environ[name]
    value: Any = text
    kind = _kind(parameter)
    if parameter.multiple:
        try:
            value = shlex.split(text)
        except ValueError:
            fault = Fault("SC013", name, f'"{clip(text)}"', "words as a shell has them")
            return Wrong(command, fault)
    elif kind == "boolean":
        value = SWITCH.get(text.strip().lower(), text)
    elif kind in ("integer", "float"):
        value = _number(text)
    return _setting(root, parameter, value, command, option, name, name)


def _number(text: str) -> Any:
    """Read a number; other text stays as it is, to be refused."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _setting(
    root: Any, parameter: Any, value: Any, command: str, option: str, origin: str, where: str
) -> Setting | Wrong:
    """Check a value as the option itself would be."""
    kind = _kind(parameter)
    values = value if isinstance(value, list) and parameter.multiple else [value]
    wrong = next((one for one in values if not _sound(kind, one)), None)
    if wrong is not None:
        fault = Fault("SC013", where, clip(repr(wrong)), WORDS.get(kind, "text"))
        return Wrong(command, fault)
    values = [str(one) if kind == "text" else one for one in values]
    kept = values if parameter.multiple else values[0]
    try:
        parameter.process_value(root, kept)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        expected = str(getattr(error, "message", error)).removeprefix("Input should be ")
        return Wrong(command, Fault("SC013", where, clip(repr(value)), expected))
    return Setting(command, option, str(parameter.name), kept, origin)


def _kind(parameter: Any) -> str:
    """What an option takes: boolean, integer, float or text."""
    if parameter.is_flag:
        return "boolean"
    about = getattr(parameter, "type_descriptor", None)
    if about is None:  # typer up to 0.28
        name = str(parameter.type.name).split()[0]
        return name if name in WORDS else "text"
    inner = get_args(about.annotation)
    taken = inner[0] if inner else about.annotation
    return {int: "integer", float: "float"}.get(taken, "text")


def _sound(kind: str, value: Any) -> bool:
    """Whether a file may give such a value; a number is text as well."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "integer":
        return isinstance(value, int) and number
    allowed = {"boolean": isinstance(value, bool), "float": number}
    return allowed.get(kind, isinstance(value, str) or number)
