"""Importers of others, found by entry point; curves that sources keep beside their runs."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from scaling.errors import ConfigError, TableError
from scaling.runs.curves import points_of
from scaling.runs.importers import registry
from scaling.runs.importers.assemble import Run, Series, assemble
from scaling.runs.importers.base import Imported
from scaling.runs.read import How, checked, read_table


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
        read_table(write("runs.ours", "x"))
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


def test_points_hold_what_belongs_to_the_run():
    points = points_of(tracker()).cells
    assert points["n_params"].tolist() == [1e6] * 4 + [4e6] * 4
    assert points["tokens"].tolist() == [0.0, 1e8, 2e8, 4e8] * 2


def test_an_envelope_reads_the_curves_of_a_tracker():
    table = checked(tracker(), How(curves=True))
    assert int(table.used.sum()) == 6  # the points that have a loss
    assert {d.why for d in table.dropped} == {"a point without a loss, or before training"}
    assert table.fit_frame["D"].tolist() == [1e8, 2e8, 4e8] * 2
    assert table.fit_frame["steps"].tolist() == [1, 2, 4] * 2
    product = 6 * table.fit_frame["N"] * table.fit_frame["D"]
    assert table.fit_frame["C"].tolist() == product.tolist()
    assert len(checked(tracker(), How())) == 2


def test_maps_hold_for_curves_too():
    maps = {"D": "tokens * 2", "loss": "val_loss + 1"}
    table = checked(tracker(), How(maps, curves=True))
    assert table.fit_frame["D"].tolist() == [2e8, 4e8, 8e8] * 2
    assert table.fit_frame["loss"].tolist() == [4.5, 4.25, 4.0, 4.0, 3.75, 3.5]


def test_a_run_whose_loss_ends_in_nan_diverged():
    runs = [
        Run("a", "done", settings={"N": 1e6, "D": 1e8}, series={"loss": Series.of([1, 2], [4, 3])}),
        Run("b", "done", settings={"N": 2e6, "D": 1e8},
            series={"loss": Series.of([1, 2], [4, np.nan])}),
        Run("c", "failed", settings={"N": 2e6, "D": 1e8},
            series={"loss": Series.of([1, 2], [4, np.nan])}),
    ]  # fmt: skip
    table = checked(assemble(runs, "tracker"), How())
    assert table.frame["status"].tolist() == ["done", "diverged", "failed"]
    assert table.used.tolist() == [True, False, False]
    assert "SC134" in [m.code for m in table.messages]


def test_curves_of_failed_runs_stay_out():
    found = tracker()
    found = replace(found, cells=found.cells.assign(status=["done", "failed"]))
    table = checked(found, How(curves=True))
    assert set(table.fit_frame["run"]) == {"a"}
    assert {d.why for d in table.dropped} >= {"status failed"}


def test_two_kinds_of_runs_in_one_folder_are_not_guessed_between(tmp_path):
    (tmp_path / "run").mkdir()
    state = {"global_step": 5, "max_steps": 5, "log_history": [{"eval_loss": 3.0, "step": 5}]}
    (tmp_path / "run" / "trainer_state.json").write_text(json.dumps(state))
    (tmp_path / "eval").mkdir()
    result = {"results": {"wiki": {"loss,none": 2.5}}, "config": {"model": "m"}}
    (tmp_path / "eval" / "results_1.json").write_text(json.dumps(result))
    with pytest.raises(ConfigError) as caught:
        read_table(tmp_path, needs_loss=False)
    assert "--from trainer or --from lm-eval" in str(caught.value)
    assert len(read_table(tmp_path, kind="trainer", needs_loss=False)) == 1


@pytest.mark.parametrize("kind", ["no member", "raises", "gives nothing", "bears our name"])
def test_a_broken_importer_is_named(kind, monkeypatch, write):
    class Broken(Ours):
        def read(self, path):
            if kind == "gives nothing":
                return
            raise ValueError("boom")

    loaded = object() if kind == "no member" else Broken()
    if kind == "bears our name":
        loaded.name = "wandb"
    with_entry(monkeypatch, loaded)
    with pytest.raises(ConfigError) as caught:
        read_table(write("runs.ours", "x"))
    assert caught.value.faults[0].where == "importer ours"


def test_a_broken_importer_does_not_stand_in_the_way_of_plain_tables(monkeypatch, write):
    with_entry(monkeypatch, ImportError("gone"))
    assert len(read_table(write("runs.csv", "N,D,loss\n1e6,2e7,3\n"))) == 1
