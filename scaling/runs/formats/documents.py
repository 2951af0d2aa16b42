"""JSON documents and JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from scaling.errors import Fault, TableError, clip, listed
from scaling.runs.formats.common import MAX_CELL, fault, frame_of, unique, writable
from scaling.runs.importers.base import Imported
from scaling.runs.names import guesses

Entries = Sequence[tuple[int, Any]]


def read_json(text: str, name: str, digest: str) -> Imported:
    """Read a document that is, or has, a list of objects or columns.

    Raises
    ------
    TableError
        SC101 if it is none, SC108 for repeated names.
    """
    return _records(_json(text, name), name, digest)


def read_json_lines(text: str, name: str, digest: str) -> Imported:
    """Read one object a line.

    Raises
    ------
    TableError
        SC101 if a line is none, SC108 for repeated names.
    """
    return _records(list(_json_lines(text, name)), name, digest)


def _json(text: str, name: str) -> Entries:
    """Return the entries of a JSON document that is, or has, a list of objects or columns."""
    found = _loads(text, name, 1)
    if isinstance(found, dict):
        lists = {k: v for k, v in found.items() if isinstance(v, list)}
        of_runs = [k for k, v in lists.items() if v and all(isinstance(e, dict) for e in v)]
        if len(of_runs) == 1:
            found = lists[of_runs[0]]
        elif len(of_runs) > 1:
            expected = "one list of runs"
            where = f"{name}: {', '.join(clip(k, 20) for k in of_runs[:6])}"
            raise TableError(fault(where, f"{len(of_runs)} lists of objects", expected))
        elif lists and len(lists) == len(found):
            return _json_columns(lists, name)
        else:
            found = _nested(found) if _of_dicts(found.values()) else [found]
    if not isinstance(found, list) or not _of_dicts(found):
        expected = "a list of objects, one a run"
        raise TableError(fault(name, "JSON without a list of objects", expected))
    if not found:
        raise TableError(fault(name, "a list without runs", "at least one run"))
    return list(enumerate(found, start=1))


def _of_dicts(values: Any) -> bool:
    return all(isinstance(value, dict) for value in values)


def _nested(found: dict[str, Any]) -> list[Any]:
    """Entries of an object of objects: runs by name, or columns by row as pandas writes them."""
    inner = [list(value) for value in found.values()]
    alike = bool(inner) and all(keys == inner[0] for keys in inner)
    if alike and all(map(str.isdecimal, inner[0])) and any(guesses(key) for key in found):
        return [{name: column[row] for name, column in found.items()} for row in inner[0]]
    return [value if "run" in value else {"run": key, **value} for key, value in found.items()]


def _json_columns(lists: dict[str, list[Any]], name: str) -> Entries:
    lengths = {k: len(v) for k, v in lists.items()}
    if len(set(lengths.values())) > 1:
        short = ", ".join(f"{clip(k, 20)}: {n}" for k, n in list(lengths.items())[:8])
        raise TableError(fault(name, f"columns of different length ({short})", "one length"))
    keys = list(lists)
    rows = zip(*lists.values(), strict=True)
    entries = [dict(zip(keys, row, strict=True)) for row in rows]
    if not entries:
        raise TableError(fault(name, "columns without rows", "at least one run"))
    return list(enumerate(entries, start=1))


def _json_lines(text: str, name: str) -> Iterator[tuple[int, Any]]:
    empty = True
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        entry = _loads(line, name, number)
        if not isinstance(entry, dict):
            expected = 'an object a line: {"N": 1e6, …}'
            raise TableError(fault(f"{name}:{number}", "not an object", expected, "", line[:200]))
        empty = False
        yield number, entry
    if empty:
        raise TableError(fault(name, "no rows", "an object a line"))


def _loads(text: str, name: str, line: int) -> Any:
    """Parse JSON; numbers stay text, so that one reader of numbers judges all formats."""
    try:
        return json.loads(
            text,
            parse_float=str,
            parse_int=str,
            parse_constant=str,
            object_pairs_hook=lambda pairs: _object(pairs, f"{name}:{line}"),
        )
    except json.JSONDecodeError as error:
        where = f"{name}:{line + error.lineno - 1}:{error.colno}"
        shown = (text.split("\n")[error.lineno - 1 : error.lineno] or [""])[0]
        cut = shown[max(0, error.colno - 40) : error.colno + 40]
        raise TableError(fault(where, f"not JSON: {error.msg}", "JSON", "", cut)) from None
    except RecursionError:
        raise _too_deep(f"{name}:{line}") from None


def _object(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            found = f'"{clip(key)}" stands twice in one object'
            raise TableError(Fault("SC108", where, found, "one value a name", "remove one of them"))
        out[key] = value
    return out


def _leaves(entry: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in entry.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}/")
        elif isinstance(value, list):
            yield f"{prefix}{key}", json.dumps(value)
        else:
            yield f"{prefix}{key}", "" if value is None else str(value)


def _records(entries: Sequence[tuple[int, Any]], name: str, digest: str) -> Imported:
    flat = [_flat(entry, f"{name}:{number}") for number, entry in entries]
    names = list(dict.fromkeys(key for row in flat for key in row))
    if not names:
        raise TableError(fault(name, "objects without any name", "N, D, loss a run"))
    columns = [[row.get(key, "") for row in flat] for key in names]
    rows = np.array([number for number, _ in entries], dtype=np.int64)
    stripped = [key.strip() or f"column {i}" for i, key in enumerate(names, start=1)]
    unique(stripped, f"{name}: column ", listed(stripped))
    return Imported(frame_of(stripped, columns), rows, name, None, digest)


def _flat(entry: dict[str, Any], where: str) -> dict[str, Any]:
    """Flatten one run; no name twice, no depth and no cell beyond all measure."""
    try:
        row = _object(list(_leaves(entry, "")), where)
    except RecursionError:
        raise _too_deep(where) from None
    for key, cell in row.items():
        if len(cell) > MAX_CELL or not writable(cell):
            found = f'"{clip(cell, 30)}" in "{clip(key, 30)}"'
            expected = f"Unicode text of at most {MAX_CELL // 1024} KiB"
            raise TableError(fault(where, found, expected, "leave it out"))
    return row


def _too_deep(where: str) -> TableError:
    return TableError(fault(where, "nested too deeply", "one object a run", "flatten it"))
