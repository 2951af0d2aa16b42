"""Which importer reads a source: ours, then those that other packages add."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import cast

from scaling.errors import ConfigError, Fault, ScalingError, TableError, clip
from scaling.runs.formats.read import FORMATS, read_cells
from scaling.runs.importers.base import Imported, Importer

GROUP = "scaling.importers"
TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
BUILT_IN = ("study", "mlflow", "wandb", "wandb_chart", "trainer", "lmeval", "nanochat", "porian",
            "tensorboard")  # fmt: skip
# The first of a pair says more of the same runs than the second, which lies in its folders.
_COVERS = {("trainer", "tensorboard"), ("wandb", "tensorboard"), ("study", "tensorboard")}


def built_in() -> Iterator[Importer]:
    """Yield our own importers: modules with the three members."""
    for name in BUILT_IN:
        yield cast(Importer, importlib.import_module(f"scaling.runs.importers.{name}"))


def added() -> Iterator[Importer]:
    """Yield the importers of other packages.

    Raises
    ------
    ConfigError
        SC004 if an entry point cannot be loaded, is no importer, or bears a name that is taken.
    """
    taken = {*FORMATS, *(importer.name for importer in built_in())}
    for entry in entry_points(group=GROUP):
        try:
            found = entry.load()
        except Exception as error:
            said = f"cannot be loaded: {type(error).__name__}: {clip(str(error))}"
            raise _unusable(entry, said) from error
        if not all(hasattr(found, member) for member in ("name", "recognises", "read")):
            raise _unusable(entry, "is no importer: it lacks name, recognises or read")
        if found.name in taken:
            raise _unusable(entry, f'bears the name "{clip(str(found.name))}", which is taken')
        yield found


def _unusable(entry: EntryPoint, found: str) -> ConfigError:
    mend = f"update or remove {entry.dist.name if entry.dist else 'its package'}"
    return ConfigError(Fault("SC004", f"importer {entry.name}", found, "", mend))


def open_source(source: str | Path, kind: str | None = None) -> Imported:
    """Read a source by the importer that `kind` names, or that recognises it.

    Raises
    ------
    ConfigError
        SC004 if there is no importer `kind`, or several recognise the source.
    TableError
        If nothing recognises a folder, or the source is damaged.
    """
    if kind in FORMATS or str(source) == "-":
        if kind is not None and kind not in FORMATS:
            found = f"{clip(kind)} on standard input"
            raise ConfigError(Fault("SC004", "--from", found, "a file or folder", "save it first"))
        return read_cells(source, kind)
    path = Path(source)
    if kind is not None:
        return _read(_named(kind), path)
    ours = [importer for importer in built_in() if importer.recognises(path)]
    if not ours and not (path.is_file() and path.suffix.lower() in TABLES):
        ours = [importer for importer in added() if _recognises(importer, path)]
    names = [importer.name for importer in ours]
    left = [i for i in ours if not any((name, i.name) in _COVERS for name in names)]
    if len(left) > 1:
        found = f"holds runs of several kinds: {', '.join(i.name for i in left)}"
        mend = " or ".join(f"--from {i.name}" for i in left) + ", or name a folder inside"
        raise ConfigError(Fault("SC004", str(path), found, "one kind", mend))
    if left:
        return _read(left[0], path)
    if path.is_dir():
        raise _nothing_in(path)
    return read_cells(path)


def _named(kind: str) -> Importer:
    known = {importer.name: importer for importer in built_in()}
    if kind not in known:
        known |= {importer.name: importer for importer in added()}
    if kind not in known:
        expected = "one of " + ", ".join((*FORMATS, *known))
        raise ConfigError(Fault("SC004", "--from", f'"{clip(kind)}"', expected))
    return known[kind]


def _recognises(importer: Importer, path: Path) -> bool:
    try:
        return bool(importer.recognises(path))
    except Exception as error:
        raise _broken(importer, path, error) from error


def _read(importer: Importer, path: Path) -> Imported:
    try:
        found = importer.read(path)
    except ScalingError:
        raise
    except Exception as error:
        if importer.name in {i.name for i in built_in()}:
            raise  # an internal error, to be reported as one
        raise _broken(importer, path, error) from error
    if not isinstance(found, Imported):
        raise _broken(importer, path, TypeError(f"read gave {type(found).__name__}"))
    return found


def _broken(importer: Importer, path: Path, error: Exception) -> ConfigError:
    found = f"failed on {clip(path.name)}: {type(error).__name__}: {clip(str(error), 120)}"
    return ConfigError(Fault("SC004", f"importer {importer.name}", found, "", "tell its authors"))


def _nothing_in(path: Path) -> TableError:
    names = ", ".join(importer.name for importer in built_in())
    found = "a folder in which nothing was recognised"
    tables = sorted(p for p in path.iterdir() if p.suffix.lower() in TABLES)[:2]
    mend = "read a table in it: " + ", ".join(map(str, tables)) if tables else ""
    expected = f"a file of runs, or what these read: {names}"
    return TableError(Fault("SC005", str(path), found, expected, mend))
