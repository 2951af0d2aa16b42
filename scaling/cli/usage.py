"""What the parser refuses, said as the program says everything else: what, and what to do."""

from __future__ import annotations

import difflib
import shlex
from typing import TYPE_CHECKING, Any

from typer.core import TyperGroup

if TYPE_CHECKING:
    from scaling.errors import ConfigError

LIKE, MUCH_LIKE = 0.6, 0.85  # of two spellings that may be meant for one another
FEW = 4  # commands that are worth naming


class Commands(TyperGroup):
    """A group that also looks into its groups for what may be meant: ``plan`` is ``sweep plan``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command, or name the nearest ones."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise _no_command(ctx, args)
        return super().resolve_command(ctx, args)


def words_of(ctx: Any) -> list[str]:
    """The words of a command as they are typed, without the program's own name."""
    words: list[str] = []
    while ctx.parent is not None:
        words.insert(0, str(ctx.info_name))
        ctx = ctx.parent
    return words


def _no_command(ctx: Any, args: list[str]) -> ConfigError:
    from scaling.errors import ConfigError, Fault, clip, listed

    before, typed = words_of(ctx), args[0]
    known = _below(ctx.command)
    near = _nearest(args, known)
    mend = f"{_help(before)} lists the commands"
    expected = ""
    if typed == "help":
        mend = f"did you mean {_help(before)}?"
    elif f"--{typed}" in _options(ctx.find_root().command):
        mend = f"did you mean scaling --{typed}?"
    elif near:
        spelt = shlex.join(["scaling", *before, *near[0].split()])
        mend = f"did you mean {spelt}?"
        more = [shlex.join(["scaling", *before, *name.split()]) for name in near[1:]]
        expected = f"or {' or '.join(more)}" if more else ""
    else:
        expected = listed(name for name in ctx.command.commands)
    where = shlex.join(["scaling", *before, clip(typed, 40)])
    return ConfigError(Fault("SC004", where, "no such command", expected, mend))


def _below(group: Any) -> list[str]:
    """Names of the commands of a group, and those of the groups in it, as they are typed."""
    names = []
    for name, command in group.commands.items():
        names.append(name)
        names += [f"{name} {inner}" for inner in getattr(command, "commands", {})]
    return names


def _nearest(args: list[str], known: list[str]) -> list[str]:
    """What may be meant by the first words: a command, or one of a group that was left out."""
    typed = args[0].lower()
    last = {name: name.split()[-1] for name in known}
    same = [name for name, word in last.items() if word == typed]
    if same:
        return same[:2]
    together = {name.replace(" ", ""): name for name in known if " " in name}
    for text in ("".join(args[:2]).lower(), typed.replace("-", "").replace("_", "")):
        whole = difflib.get_close_matches(text, together, 1, MUCH_LIKE)
        if whole:
            return [together[whole[0]]]
    plain = [name for name in known if " " not in name]
    words = difflib.get_close_matches(typed, set(last.values()), 2, LIKE)
    near = [name for word in words for name in known if last[name] == word]
    return sorted(near, key=lambda name: (words.index(last[name]), name not in plain))[:2]


def refusal(error: Any) -> ConfigError | None:
    """Say a usage error of the parser as an error of this program; None where it shows help."""
    from scaling.errors import ConfigError, Fault, clip

    kind, ctx = type(error).__name__, getattr(error, "ctx", None)
    if kind == "NoArgsIsHelpError":
        return None
    words = [] if ctx is None else words_of(ctx)
    where = shlex.join(["scaling", *words])
    mend, expected, found = _help(words), "", error.format_message()
    if kind == "NoSuchOption" and ctx is not None:
        option = str(error.option_name)
        found = f"no such option: {clip(option)}"
        mend = _meant(ctx, option)
    elif kind == "MissingParameter" and error.param is not None and ctx is not None:
        name = getattr(error.param, "metavar", None) or str(error.param.name).upper()
        is_option = error.param.param_type_name == "option"
        found = f"{error.param.opts[0] if is_option else name.removesuffix('...')} is missing"
        expected = (getattr(error.param, "help", None) or "").rstrip(".")
        example = next(iter(_examples(ctx.command)), None)
        mend = example or _help(words)
    elif kind == "BadParameter" and error.param is not None:
        where = " ".join([where, error.param.opts[0]])
        found = clip(error.message.removeprefix("Input should be "), 200)
    return ConfigError(Fault("SC004", where, found.rstrip("."), expected, mend))


def _meant(ctx: Any, option: str) -> str:
    """What an unknown option may stand for: one much like it, one of other commands, one alike."""
    typed, known = option.lstrip("-"), [name[2:] for name in _options(ctx.command)]
    near = difflib.get_close_matches(typed, known, 1, LIKE)
    if not difflib.get_close_matches(typed, near, 1, MUCH_LIKE):
        others = _with_option(ctx.find_root().command, option)
        if 0 < len(others) <= FEW:
            *first, last = others
            return f"{option} is an option of {', '.join(first)}{' and ' * bool(first)}{last}"
    return f"did you mean --{near[0]}?" if near else f"{_help(words_of(ctx))} lists the options"


def _with_option(group: Any, option: str, before: str = "scaling") -> list[str]:
    """Commands that have an option of just this name, as they are typed."""
    found = []
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found += _with_option(command, option, f"{before} {name}")
        elif option in _options(command):
            found.append(f"{before} {name}")
    return found


def _options(command: Any) -> list[str]:
    return [name for p in command.params for name in (*p.opts, *p.secondary_opts)
            if name.startswith("--")]  # fmt: skip


def _examples(command: Any) -> list[str]:
    lines = [line.strip() for line in (command.help or "").splitlines()]
    return [line for line in lines if line.startswith("scaling ")]


def _help(words: list[str]) -> str:
    return shlex.join(["scaling", *words, "--help"])
