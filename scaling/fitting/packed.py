"""Large columns of a ``fit.json`` in a ``fit.npz`` beside it, which the JSON names by checksum.

JSON is what other programs read; tens of thousands of rows or draws in it are slow to read and
large. Their columns then lie in one compressed file of NumPy arrays, and come back as they were.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault
from scaling.runs.files import write_atomic

MOST_ROWS = 20_000  # of a fit, that stand in the JSON
MOST_DRAWS = 4_000
MISSING = -1  # code of a cell without a value

Arrays = dict[str, NDArray[Any]]


def save(path: Path, data: MutableMapping[str, Any]) -> None:
    """Write the content of a ``fit.json``, plain, and a ``.npz`` beside it where it is large.

    Parameters
    ----------
    path : Path
        Of the JSON; the other file has its name with the ending ``.npz``.
    data : mapping
        Large columns are taken out of it.
    """
    arrays: Arrays = {}
    for name, holder, key in _large(data):
        arrays |= _packed(name, holder[key])
        holder[key] = {}
    if arrays:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        content, beside = buffer.getvalue(), path.with_suffix(".npz")
        data["npz"] = {"file": beside.name, "sha256": hashlib.sha256(content).hexdigest()}
        write_atomic(beside, content)  # first: a JSON is never there without its columns
    write_atomic(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def restore(path: Path, data: MutableMapping[str, Any]) -> None:
    """Put the columns back that `save` took out of a ``fit.json``, if it did.

    Raises
    ------
    ConfigError
        SC101 if the file beside it is missing or another one.
    """
    found = data.pop("npz", None)
    if found is None:
        return
    beside = path.with_name(Path(str(found["file"])).name)
    mend = f"keep both files together, or write them again: scaling fit RESULTS.csv -o {path.name}"
    try:
        content = beside.read_bytes()
    except OSError as error:
        said = f"cannot be read: {error.strerror}"
        expected = f"the rows and draws of {path.name}"
        raise ConfigError(Fault("SC101", str(beside), said, expected, mend)) from None
    own = hashlib.sha256(content).hexdigest()
    if own != found["sha256"]:
        said = f"is not the file that belongs to {path.name}: sha256 {own[:12]}…"
        expected = f"sha256 {str(found['sha256'])[:12]}…"
        raise ConfigError(Fault("SC101", str(beside), said, expected, mend))
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            _unpack(data, {name: arrays[name] for name in arrays.files})
    except zipfile.BadZipFile:
        said = "is no file of arrays"
        raise ConfigError(Fault("SC101", str(beside), said, ".npz", mend)) from None


def _large(data: Mapping[str, Any]) -> Iterator[tuple[str, MutableMapping[str, Any], str]]:
    """Yield name, holder and key of each set of columns that is too long for the JSON."""
    for part in ("fits", "allocations"):
        for i, item in enumerate(data[part]):
            for key, most in (("rows", MOST_ROWS), ("draws", MOST_DRAWS)):
                if max(map(_length, item.get(key, {}).values()), default=0) > most:
                    yield f"{part}/{i}/{key}", item, key


def _length(column: list[Any]) -> int:
    """Number of values; draws of a line are a list of levels and one of slopes."""
    return max((len(x) if isinstance(x, list) else len(column) for x in column[:2]), default=0)


def _packed(name: str, columns: Mapping[str, list[Any]]) -> Arrays:
    """Lay columns out as arrays, whose names say how they are read back."""
    out: Arrays = {}
    for place, (key, values) in enumerate(columns.items()):
        own = f"{name}/{place}/{key}"
        kinds = {type(v) for v in values if v is not None}
        if kinds == {float} or kinds == {list}:
            out[f"{own}/float"] = np.array(values, dtype=np.float64)  # None becomes NaN
        else:  # each value once, as JSON, and where it stands
            texts = {json.dumps(v): v for v in values if v is not None}
            code = {text: i for i, text in enumerate(texts)}
            codes = [MISSING if v is None else code[json.dumps(v)] for v in values]
            out[f"{own}/codes"] = np.array(codes, dtype=np.int32)
            out[f"{own}/values"] = np.array(list(code), dtype=np.str_)
    return out


def _unpack(data: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    found: dict[tuple[str, int, str], dict[int, tuple[str, list[Any]]]] = {}
    for name, array in arrays.items():
        part, i, key, place, rest = name.split("/", 4)
        column, kind = rest.rsplit("/", 1)
        if kind == "values":
            continue
        values = _floats(array) if kind == "float" else _coded(array, arrays, name)
        found.setdefault((part, int(i), key), {})[int(place)] = (column, values)
    for (part, number, key), columns in found.items():
        data[part][number][key] = dict(columns[place] for place in sorted(columns))


def _floats(array: NDArray[Any]) -> list[Any]:
    if array.ndim > 1:
        return [_floats(row) for row in array]
    return [None if v != v else v for v in array.tolist()]


def _coded(codes: NDArray[Any], arrays: Mapping[str, NDArray[Any]], name: str) -> list[Any]:
    texts = arrays[name.removesuffix("codes") + "values"].tolist()
    values = [json.loads(text) for text in texts]
    return [None if code == MISSING else values[code] for code in codes.tolist()]
