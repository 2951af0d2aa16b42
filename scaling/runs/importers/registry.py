"""Which importer reads a source: ours, then those that other packages add."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

from scaling.errors import ConfigError, Fault, TableError, clip
from scaling.runs.formats.read import FORMATS, read_cells
from scaling.runs.importers.base import Imported, Importer

GROUP = "scaling.importers"
_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
# A trainer's folder holds events too, and says more in its own file: tensorboard comes last.
BUILT_IN = ("study", "mlflow", "wandb", "wandb_chart", "trainer", "lmeval", "nanochat", "porian",
            "tensorboard")  # fmt: skip


def importers() -> Iterator[Importer]:
    """Yield every importer, ours first; a module or any object with the three members.

    Raises
    ------
    ConfigError
        SC004 if an entry point cannot be loaded.
    """
    for name in BUILT_IN:
        yield cast(Importer, importlib.import_module(f"scaling.runs.importers.{name}"))
    for entry in entry_points(group=GROUP):
        try:
            yield entry.load()
        except Exception as error:
            found = f"cannot be loaded: {type(error).__name__}: {clip(str(error))}"
            where = f"importer {entry.name}"
            mend = f"reinstall or remove {entry.dist.name if entry.dist else 'its package'}"
            raise ConfigError(Fault("SC004", where, found, "", mend)) from error


def open_source(source: str | Path, kind: str | None = None) -> Imported:
    """Read a source by the importer that `kind` names, or that recognises it.

    Raises
    ------
    ConfigError
        SC004 if there is no importer `kind`.
    TableError
        If nothing recognises a folder, or the source is damaged.
    """
    if kind in FORMATS or str(source) == "-":
        return read_cells(source, kind)
    path = Path(source)
    if kind is not None:
        known = {importer.name: importer for importer in importers()}
        if kind not in known:
            expected = "one of " + ", ".join((*FORMATS, *known))
            raise ConfigError(Fault("SC004", "--from", f'"{clip(kind)}"', expected))
        return known[kind].read(path)
    for importer in importers():
        if importer.recognises(path):
            return importer.read(path)
    if path.is_dir():
        names = ", ".join(importer.name for importer in importers())
        found = "a folder in which nothing was recognised"
        tables = sorted(p for p in path.iterdir() if p.suffix.lower() in _TABLES)[:2]
        mend = "read a table in it: " + ", ".join(map(str, tables)) if tables else ""
        expected = f"a file of runs, or what these read: {names}"
        raise TableError(Fault("SC005", str(path), found, expected, mend))
    return read_cells(path)
