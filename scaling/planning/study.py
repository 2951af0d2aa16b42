"""The study file: one TOML file that names everything, checked before anything is spent."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from scaling.errors import ConfigError, Fault, clip, listed
from scaling.planning.contradictions import contradictions
from scaling.planning.sections import Center, DesignSection, Study, TuningSection
from scaling.planning.sections_fit import FitSection


def read_study(path: str | Path) -> Study:
    """Read and check a study file.

    Raises
    ------
    ConfigError
        SC005, SC010, SC011 or SC012; every fault of the file at once, with its line.
    """
    path = Path(path)
    mend = "scaling sweep plan FILE.toml, or run in a folder with a study.toml"
    data, text = read_toml(path, "a study file", mend)
    return check_study(data, name=path.name, text=text)


def read_toml(path: Path, what: str, mend: str) -> tuple[dict[str, Any], str]:
    """Read a TOML file; return what it holds, and its text.

    Raises
    ------
    ConfigError
        SC005 if it cannot be read, SC010 if it is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(Fault("SC010", path.name, "is not UTF-8 text", "a TOML file")) from None
    except OSError as error:
        raise ConfigError(
            Fault(
                "SC005",
                str(path),
                f"cannot be read: {error.strerror}",
                what,
                mend,
            )
        ) from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        row = int(line.group(1)) if line else 0
        excerpt = text.splitlines()[row - 1] if 0 < row <= len(text.splitlines()) else ""
        where = f"{path.name}:{row}" if row else path.name
        raise ConfigError(
            Fault("SC010", where, f"not TOML: {error}", mend="mend that line", excerpt=excerpt)
        ) from None
    return data, text


def kept_study(folder: Path) -> Study | None:
    """Read the study that a sweep folder keeps; None if it keeps none.

    Raises
    ------
    ConfigError
        SC012 if it is not what a plan writes.
    """
    path = folder / "study.json"
    if not path.is_file():
        return None
    try:
        return Study.model_validate_json(path.read_text(encoding="utf-8"), strict=False)
    except (OSError, ValueError):
        found = "is not what `scaling sweep plan` writes"
        raise ConfigError(Fault("SC012", str(path), found, "a study", "plan again")) from None


def check_study(data: Mapping[str, Any], *, name: str = "study", text: str = "") -> Study:
    """Check a study given as nested mappings."""
    try:
        study = Study.model_validate(dict(data))
    except ValidationError as error:
        raise ConfigError(faults_of(error.errors(), data, name, text)) from None
    faults = contradictions(study, name)
    if faults:
        raise ConfigError(faults)
    return study


def faults_of(
    errors: Sequence[Mapping[str, Any]], data: Mapping[str, Any], name: str, text: str
) -> list[Fault]:
    """Turn pydantic's errors into one fault a place, with its line and the nearest known key.

    A field that takes a number or a list fails once for each; their expectations are joined.
    """
    faults: dict[tuple[str, ...], Fault] = {}
    for error in errors:
        path = _path_in(error["loc"], data)
        fault = _fault(error, path, name, text)
        before = faults.get(path)
        if before is not None and fault.expected not in before.expected.split(", or "):
            fault = replace(before, expected=f"{before.expected}, or {fault.expected}")
        faults[path] = fault
    return list(faults.values())


def _path_in(place: Sequence[Any], data: Any) -> tuple[str, ...]:
    """Keep of pydantic's place what leads through the data, and the one key that is missing."""
    path: list[str] = []
    for part in place:
        if isinstance(data, Mapping):
            path.append(str(part))
            if part not in data:
                break
            data = data[part]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            path.append(str(part))
            data = data[part]
    return tuple(path)


def _fault(error: Mapping[str, Any], path: Sequence[str], name: str, text: str) -> Fault:
    key = next((part for part in reversed(path) if not part.isdigit()), "")
    where = f"{name}{_line_of(path, text)} [{'.'.join(path[:-1])}] {path[-1] if path else ''}"
    where = where.replace(" []", "")
    if error["type"] == "extra_forbidden":
        known = _known_keys([p for p in path[:-1] if not p.isdigit()])
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        mend = f'did you mean "{near[0]}"?' if near else ""
        return Fault(
            "SC011", where, f'unknown key "{clip(key)}"', listed(known, limit=len(known)), mend
        )
    if error["type"] == "missing":
        return Fault("SC012", where, "missing", "a value: it has no default")
    found = clip(repr(error.get("input")), 40)
    return Fault("SC012", where, found, str(error["msg"]).replace("Input should be ", ""))


def _known_keys(path: list[str]) -> list[str]:
    model: type[BaseModel] = Study
    for part in path:
        found = next((f for n, f in model.model_fields.items() if part in (n, f.alias)), None)
        inner = None if found is None else _model_in(found.annotation)
        if inner is None:
            break
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _model_in(part)
        if found is not None:
            return found
    return None


def _line_of(path: Sequence[str], text: str) -> str:
    """Find the line of a key inside its section, or of the inline table that holds it."""
    section = path[0] if len(path) > 1 else None
    table = int(path[1]) if len(path) > 1 and path[1].isdigit() else 0
    keys = [part for part in path if not part.isdigit()]
    lines: dict[str, int] = {}
    inside, seen = section is None, -1
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([\w.-]+)\s*\]+", line)
        name = re.match(r"\s*[\"']?([\w-]+)[\"']?\s*=", line)
        if header:
            seen += header.group(1) == section
            nested = len(path) > 2 and header.group(1) == ".".join(path[:-1])
            inside = (header.group(1) == section and seen == table) or nested
            if inside or (section is None and header.group(1) == keys[-1:][0]):
                lines.setdefault(header.group(1), number)
        elif inside and name:
            lines.setdefault(name.group(1), number)
    found = next((lines[key] for key in reversed(keys) if key in lines), None)
    return f":{found}" if found else ""


SMOKE_BUDGETS = [4e8, 8e8, 1.6e9]
SMOKE_SIZES = [4e3, 7e3, 1.2e4]


def shrink(study: Study) -> Study:
    """Return the study at a size that runs in seconds, for tests; its results mean nothing.

    The study says in ``[smoke]`` what then changes; one that says nothing is a small text study.

    Raises
    ------
    ConfigError
        SC004 for a task of one's own whose study says nothing.
    """
    if study.design is None or study.data.source == "external":  # nothing of it is trained here
        return study
    changes: dict[str, Any] = {"fit": [_quick(fit) for fit in study.fit], "smoke": {}}
    if study.smoke:
        whole = study.model_dump(mode="python", by_alias=True, exclude_unset=True)
        own = changed({k: v for k, v in whole.items() if k != "smoke"}, study.smoke)
        if "design" in study.smoke:
            own["design"] = study.smoke["design"]
            for variant in own.get("variant", []):
                variant.pop("design", None)
        return check_study(own, name="[smoke]").model_copy(update=changes)
    if "dials" in study.model.options:
        found, expected = "the study has no [smoke]", "[smoke.design] with sizes of its dials"
        raise ConfigError(Fault("SC004", "--smoke", found, expected))
    if study.design.kind == "isoflop":
        small = DesignSection(
            kind="isoflop",
            budgets=SMOKE_BUDGETS,
            sizes=4,
            span=2.0,
            center=Center(N=7e3, C=8e8, exponent=0.3),
        )
    else:
        small = DesignSection(kind="grid", params=SMOKE_SIZES, data=[8e3, 1.6e4, 3.2e4])
    changes["design"] = small
    if study.tuning is not None:
        factors = [0.125, 0.5, 2.0, 8.0]
        changes["tuning"] = TuningSection(sizes=SMOKE_SIZES, factors=factors, ratio=4.0)
    return study.model_copy(update=changes)


def _quick(fit: FitSection) -> FitSection:
    return fit.model_copy(update={"bootstrap": min(fit.bootstrap, 100)})


def changed(study: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study's sections with others laid over them.

    Another data source has options of its own, so nothing of the old one's stays but the task.
    """
    out = laid_over(study, changes)
    data = changes.get("data")
    if isinstance(data, Mapping) and "source" in data:
        task = {k: v for k, v in (study.get("data") or {}).items() if k == "task"}
        out["data"] = {**task, **data}
    return out


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested tables with some of their values replaced."""
    out = dict(below)
    for key, value in above.items():
        old = out.get(key)
        tables = isinstance(value, Mapping) and isinstance(old, Mapping)
        out[key] = laid_over(old or {}, value) if tables else value
    return out
