"""Importers of others, found by entry point; curves that sources keep beside their runs."""

import numpy as np
import pandas as pd
import pytest

from scaling.errors import ConfigError, TableError
from scaling.runs.importers import registry
from scaling.runs.importers.base import Imported
from scaling.runs.read import How, checked, read_table
from scaling.runs.write import curve_frame


class Ours:
    """An importer of another package."""

    name = "ours"

    def recognises(self, path):
        return path.suffix == ".ours"

    def read(self, path):
        cells = pd.DataFrame({"run": ["a", "b"], "params": ["1e6", "2e6"], "val_loss": [3.0, 2.5]})
        return Imported(cells, np.array([1, 2]), path.name)


class Entry:
    """What `importlib.metadata` gives for an entry point."""

    name, dist = "ours", None

    def __init__(self, loaded):
        self._loaded = loaded

    def load(self):
        if isinstance(self._loaded, Exception):
            raise self._loaded
        return self._loaded


def with_entry(monkeypatch, loaded):
    def entries(group):
        assert group == "scaling.importers"
        return [Entry(loaded)]

    monkeypatch.setattr(registry, "entry_points", entries)


def test_an_importer_of_another_package_is_found(monkeypatch, write):
    with_entry(monkeypatch, Ours())
    table = read_table(write("runs.ours", "whatever"), needs_loss=True)
    assert table.frame["N"].tolist() == [1e6, 2e6]
    assert table.frame["loss"].tolist() == [3.0, 2.5]
    table = read_table(write("runs.txt", "x"), kind="ours")
    assert table.file == "runs.txt"


def test_an_importer_that_cannot_be_loaded_is_named(monkeypatch, write):
    with_entry(monkeypatch, ImportError("no module named nothing"))
    with pytest.raises(ConfigError) as caught:
        read_table(write("runs.csv", "N,D,loss\n1,2,3\n"))
    assert "importer ours" in str(caught.value)
    assert "no module named nothing" in caught.value.faults[0].found


def test_a_faulty_cell_of_a_tracker_names_its_run(monkeypatch, write):
    class Bad(Ours):
        def read(self, path):
            found = super().read(path)
            return Imported(found.cells.assign(params=["1e6", "x"]), found.rows, found.name)

    with_entry(monkeypatch, Bad())
    with pytest.raises(TableError) as caught:
        read_table(write("runs.ours", "whatever"))
    assert caught.value.faults[0].where == 'runs.ours: run "b"  column "params"'


def tracker():
    """Runs of which tokens are logged at other steps than the loss, and N at the first alone."""
    cells = pd.DataFrame(
        {"run": ["a", "b"], "n_params": [1e6, 4e6], "tokens": [4e8, 4e8], "val_loss": [3.0, 2.5]}
    )
    curves = pd.DataFrame(
        {
            "run": ["a"] * 4 + ["b"] * 4,
            "step": [0, 1, 2, 4] * 2,
            "n_params": [1e6, np.nan, np.nan, np.nan, 4e6, np.nan, np.nan, np.nan],
            "tokens": [0.0, np.nan, np.nan, 4e8] * 2,
            "val_loss": [np.nan, 3.5, 3.25, 3.0, np.nan, 3.0, 2.75, 2.5],
            "lr": [1e-3] * 8,
        }
    )
    return Imported(cells, np.array([1, 2]), "tracker", curves)


def test_curves_hold_what_belongs_to_the_run_in_each_point():
    found = tracker()
    points = curve_frame(checked(found, How()), found)
    assert points["N"].tolist() == [1e6] * 4 + [4e6] * 4
    assert points["D"].tolist() == [0.0, 1e8, 2e8, 4e8] * 2
    assert points["steps"].tolist() == [0, 1, 2, 4] * 2
    assert list(points.columns)[:2] == ["run", "N"]


def test_an_envelope_reads_the_curves_of_a_tracker():
    table = checked(tracker(), How(curves=True))
    assert len(table) == 6  # the points that have a loss
    assert table.frame["D"].tolist() == [1e8, 2e8, 4e8] * 2
    assert table.frame["C"].tolist() == (6 * table.frame["N"] * table.frame["D"]).tolist()
    assert len(checked(tracker(), How())) == 2
