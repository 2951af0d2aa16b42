"""Runs written by TensorBoard, MLflow and W&B themselves come back as they were written."""

import hashlib
import importlib
import json
import math
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scaling.errors import ScalingError, TableError
from scaling.runs.importers import mlflow, tensorboard, wandb
from scaling.runs.importers.base import Importer
from scaling.runs.importers.wandb_log import BLOCK, Broken, records

QUIET = {
    "WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_DISABLE_GIT": "true",
    "WANDB_ERROR_REPORTING": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true", "GIT_PYTHON_REFRESH": "quiet",
}  # fmt: skip


def need(module):
    """Return a library that writes runs; without it skip, but fail in CI."""
    if os.environ.get("CI") == "true":
        return importlib.import_module(module)
    return pytest.importorskip(module, reason=f"{module} is not installed")


def write_by(script, folder):
    """Run a script in a process of its own: the libraries keep threads and settings."""
    env = os.environ | QUIET | {"WANDB_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def curve(imported, run, metric):
    """Return the points of one metric as written: steps and values."""
    of_run = imported.curves[imported.curves["run"] == run][["step", metric]].dropna()
    return list(of_run["step"]), list(of_run[metric])


def codes(imported):
    return [message.code for message in imported.messages]


def float32(values):
    """What a writer that stores float32 keeps of values."""
    return [float(np.float32(value)) for value in values]


def mangled(raw, seed):
    """Yield damaged copies of a file: cut, overwritten, swapped and random."""
    dice = random.Random(seed)
    for _ in range(12):
        yield raw[: dice.randrange(len(raw))]
        broken = bytearray(raw)
        for _ in range(dice.choice((1, 8, 64))):
            broken[dice.randrange(len(raw))] = dice.randrange(256)
        yield bytes(broken)
        cut = dice.randrange(len(raw))
        yield raw[cut:] + raw[:cut]
        yield raw[:cut] + dice.randbytes(200) + raw[cut:]


def survives(importer, path):
    """Reading damaged input gives runs or an error of ours, never another."""
    importer.recognises(path)
    code = None
    try:
        assert len(importer.read(path).cells)
    except ScalingError as error:
        code = error.code
    assert code in (None, "SC101", "SC005")


@pytest.mark.parametrize("module", [tensorboard, mlflow, wandb])
def test_modules_are_importers(module):
    importer: Importer = module
    assert importer.name
    assert not importer.recognises(Path(__file__))
    assert not importer.recognises(Path("absent"))


# TensorBoard


@pytest.fixture
def writer():
    """Return a function that opens SummaryWriters, closed at the end."""
    need("tensorboard")
    torch_side = need("torch.utils.tensorboard")
    opened = []

    def make(folder, **options):
        opened.append(torch_side.SummaryWriter(folder, **options))
        return opened[-1]

    yield make
    for item in opened:
        item.close()


def test_tensorboard_runs_come_back(tmp_path, writer):
    steps = list(range(0, 500, 7))
    written = {}
    for run in ("small", "group/large"):
        log = writer(tmp_path / run)
        written[run] = [3.0 + math.exp(-step / 100) + len(run) for step in steps]
        for step, loss in zip(steps, written[run], strict=True):
            log.add_scalar("val/loss", loss, step)
            log.add_scalar("new", -loss, step, new_style=True)
            log.add_scalar("exact", loss, step, new_style=True, double_precision=True)
        log.add_text("note", "text is not read")
        log.add_histogram("weights", np.arange(5.0), 3)
        log.close()
    assert tensorboard.recognises(tmp_path)
    imported = tensorboard.read(tmp_path)
    assert list(imported.cells["run"]) == ["group/large", "small"]
    assert list(imported.cells.columns) == ["run", "status", "val/loss", "new", "exact"]
    assert imported.messages == ()
    for run, losses in written.items():
        assert curve(imported, run, "val/loss") == (steps, float32(losses))
        assert curve(imported, run, "new") == (steps, float32(-loss for loss in losses))
        assert curve(imported, run, "exact") == (steps, losses)
        row = imported.cells.set_index("run").loc[run]
        assert row["val/loss"] == np.float32(losses[-1])


def test_tensorboard_agrees_with_its_own_reader_and_keeps_every_point(tmp_path, writer):
    accumulator = need("tensorboard.backend.event_processing.event_accumulator")
    log = writer(tmp_path)
    for step in range(12_000):
        log.add_scalar("loss", 1 / (step + 1), step)
    log.close()
    theirs = accumulator.EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    expected = theirs.Scalars("loss")
    steps, values = curve(tensorboard.read(tmp_path), tmp_path.name, "loss")
    assert steps == [event.step for event in expected] == list(range(12_000))
    assert values == [event.value for event in expected]


def test_tensorboard_settings_of_add_hparams(tmp_path, writer):
    log = writer(tmp_path / "a")
    log.add_scalar("loss", 2.0, 10)
    log.add_hparams({"lr": 0.125, "width": 64, "optimiser": "adam", "flag": True}, {"best": 1.5})
    log.close()
    imported = tensorboard.read(tmp_path)
    row = imported.cells.iloc[0]
    assert len(imported.cells) == 1
    assert dict(row) == {
        "run": "a", "status": "done", "lr": 0.125, "width": 64, "optimiser": "adam",
        "flag": 1, "loss": 2.0, "best": 1.5,
    }  # fmt: skip
    assert codes(imported) == ["SC143"]


def test_tensorboard_several_hparams_in_one_run_stay_apart(tmp_path, writer):
    log = writer(tmp_path / "a")
    log.add_scalar("loss", 2.0, 10)
    log.add_hparams({"lr": 0.1}, {"best": 1.5}, run_name="first")
    log.add_hparams({"lr": 0.2}, {"best": 1.0}, run_name="second")
    log.close()
    imported = tensorboard.read(tmp_path)
    assert list(imported.cells["run"]) == ["a", "a/first", "a/second"]
    assert list(imported.cells["lr"].dropna()) == [0.1, 0.2]


def test_tensorboard_restart_the_later_wins(tmp_path, writer):
    for start, stop, value in ((0, 8, 1.0), (5, 12, 2.0)):
        log = writer(tmp_path, filename_suffix=f".{value}")
        for step in range(start, stop):
            log.add_scalar("loss", value, step, walltime=1000 * value + step)
        log.close()
    imported = tensorboard.read(tmp_path)
    steps, values = curve(imported, tmp_path.name, "loss")
    assert steps == list(range(12))
    assert values == [1.0] * 5 + [2.0] * 7
    assert codes(imported) == ["SC140"]
    assert "3 earlier values" in imported.messages[0].text


def test_tensorboard_restart_that_voids_what_came_before(tmp_path, writer):
    log = writer(tmp_path, filename_suffix=".1")
    for step in range(20):
        log.add_scalar("loss", 1.0, step, walltime=1000.0 + step)
    log.close()
    log = writer(tmp_path, filename_suffix=".2", purge_step=5)
    log.add_scalar("loss", 2.0, 5)
    log.close()
    imported = tensorboard.read(tmp_path)
    assert curve(imported, tmp_path.name, "loss") == (list(range(6)), [1.0] * 5 + [2.0])
    assert imported.cells["loss"].iloc[0] == 2.0
    assert codes(imported) == ["SC140"]


def test_tensorboard_keeps_repeated_steps_and_nan(tmp_path, writer):
    log = writer(tmp_path)
    for step, value in ((0, 4.0), (1, 3.0), (1, 3.5), (2, math.nan)):
        log.add_scalar("loss", value, step)
        log.add_scalar("other", value, 1)
    log.close()
    imported = tensorboard.read(tmp_path)
    assert list(imported.curves["step"]) == [0, 1, 1, 1, 1, 2]
    assert curve(imported, tmp_path.name, "loss") == ([0, 1, 1], [4.0, 3.0, 3.5])
    assert curve(imported, tmp_path.name, "other") == ([1, 1, 1], [4.0, 3.0, 3.5])
    assert math.isnan(imported.cells["loss"].iloc[0])


def test_tensorboard_learning_rate_is_its_peak(tmp_path, writer):
    log = writer(tmp_path)
    for step, rate in enumerate((0.0, 0.5, 0.25, 0.0)):
        log.add_scalar("train/lr", rate, step)
    log.close()
    imported = tensorboard.read(tmp_path)
    assert imported.cells["train/lr"].iloc[0] == 0.5
    assert curve(imported, tmp_path.name, "train/lr")[1] == [0.0, 0.5, 0.25, 0.0]
    assert codes(imported) == ["SC143"]


def test_tensorboard_cut_off_keeps_what_precedes(tmp_path, writer):
    log = writer(tmp_path / "whole")
    for step in range(20):
        log.add_scalar("loss", step, step)
    log.close()
    (file,) = (tmp_path / "whole").iterdir()
    raw = file.read_bytes()
    copy = tmp_path / "cut" / file.name
    copy.parent.mkdir()
    assert tensorboard.read(file).sha256 == hashlib.sha256(raw).hexdigest()
    for missing in range(1, 40):
        copy.write_bytes(raw[: len(raw) - missing])
        imported = tensorboard.read(copy)
        steps, values = curve(imported, "cut", "loss")
        assert steps == values == list(range(len(steps)))
        assert len(steps) in (18, 19)
        assert codes(imported) in (["SC126"], [])
    damaged = bytearray(raw)
    damaged[len(raw) // 2] ^= 1
    copy.write_bytes(damaged)
    imported = tensorboard.read(copy)
    assert codes(imported) == ["SC126"]
    assert 5 <= len(imported.curves) < 20


def test_tensorboard_damaged_files_are_errors_with_a_place(tmp_path, writer):
    log = writer(tmp_path / "whole")
    for step in range(10):
        log.add_scalar("loss", step, step, new_style=True)
    log.add_hparams({"lr": 0.1}, {}, run_name=".")
    log.close()
    raw = max((f.read_bytes() for f in (tmp_path / "whole").iterdir()), key=len)
    bad = tmp_path / "bad" / "events.out.tfevents.1"
    bad.parent.mkdir()
    for data in (b"", b"\0" * 100, b"not an event file", *mangled(raw, 1)):
        bad.write_bytes(data)
        survives(tensorboard, bad)
        survives(tensorboard, bad.parent)
    bad.write_bytes(b"")
    with pytest.raises(TableError, match="SC101"):
        tensorboard.read(bad.parent)


# MLflow

MLFLOW = """
import math
from mlflow import MlflowClient
client = MlflowClient({address!r})
experiment = client.create_experiment("sweep: it-s")
made = []
for k, state in enumerate(("FINISHED", "FAILED", "KILLED", "RUNNING")):
    run = client.create_run(experiment, run_name=f"run {{k}}").info.run_id
    made.append(run)
    client.log_param(run, "lr", 0.1 * k)
    client.log_param(run, "model/depth", k)
    client.set_tag(run, "recipe", "long")
    for step in range(5):
        client.log_metric(run, "val/loss", 3.0 + k + 1 / (step + 1), timestamp=90 - step, step=step)
    client.log_metric(run, "nan", math.nan, step=3)
    client.log_metric(run, "top", math.inf, step=3)
    client.log_metric(run, "top", -math.inf, step=4)
    if state != "RUNNING":
        client.set_terminated(run, state)
gone = client.create_run(experiment, run_name="gone").info.run_id
client.delete_run(gone)
print(*made)
"""


ONLY_DATABASE = pytest.mark.parametrize("mlflow_store", ["mlflow.db"], indirect=True)
ONLY_FILES = pytest.mark.parametrize("mlflow_store", ["mlruns"], indirect=True)


@pytest.fixture(scope="module", params=["mlflow.db", "mlruns"])
def mlflow_store(request, tmp_path_factory):
    """Return a store that MLflow wrote, and the ids of its runs."""
    need("mlflow")
    folder = tmp_path_factory.mktemp("mlflow")
    path = folder / request.param
    scheme = "sqlite:///" if path.suffix else "file://"
    return path, write_by(MLFLOW.format(address=f"{scheme}{path}"), folder).split()


def test_mlflow_runs_come_back(mlflow_store):
    path, ids = mlflow_store
    assert mlflow.recognises(path)
    imported = mlflow.read(path)
    cells = imported.cells.set_index("run").loc[ids]
    assert len(imported.cells) == 4
    assert list(cells["status"]) == ["done", "failed", "failed", "running"]
    assert list(cells["name"]) == ["run 0", "run 1", "run 2", "run 3"]
    assert set(cells["experiment"]) == {"sweep: it-s"}
    assert list(cells["lr"]) == [str(0.1 * k) for k in range(4)]
    assert list(cells["model/depth"]) == ["0", "1", "2", "3"]
    assert set(cells["tags.recipe"]) == {"long"}
    assert cells["nan"].isna().all()
    assert list(cells["top"]) == [-math.inf] * 4
    for k, run in enumerate(ids):
        losses = [3.0 + k + 1 / (step + 1) for step in range(5)]
        assert curve(imported, run, "val/loss") == (list(range(5)), losses)
        assert cells["val/loss"].iloc[k] == losses[-1], "the last by step, not by time"
        assert curve(imported, run, "top") == ([3, 4], [math.inf, -math.inf])
    assert codes(imported) == ["SC141"]
    assert "1 deleted run" in imported.messages[0].text


@ONLY_DATABASE
def test_mlflow_database_is_never_altered(mlflow_store, tmp_path):
    path, ids = mlflow_store
    old = tmp_path / "mlflow.db"
    shutil.copy(path, old)
    with closing(sqlite3.connect(old)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '7ac759974ad8'")
        database.execute("DROP TABLE latest_metrics")
    before = old.read_bytes()
    old.chmod(0o444)
    assert mlflow.recognises(tmp_path)
    assert set(mlflow.read(tmp_path).cells["run"]) == set(ids)
    assert old.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["mlflow.db"]
    assert mlflow.read(old).sha256 == hashlib.sha256(before).hexdigest()


@ONLY_FILES
def test_mlflow_parts_of_a_store_of_files(mlflow_store, tmp_path):
    path, ids = mlflow_store
    (run,) = path.rglob(ids[0])
    assert set(mlflow.read(run.parent).cells["run"]) == set(ids)
    assert list(mlflow.read(run).cells["experiment"]) == ["sweep: it-s"]
    shutil.copytree(run.parent, tmp_path / "e")
    metric = tmp_path / "e" / ids[0] / "metrics" / "val" / "loss"
    raw = metric.read_bytes()
    metric.write_bytes(raw[:-3])
    cut = mlflow.read(tmp_path / "e")
    assert codes(cut) == ["SC126", "SC141"]
    metric.write_bytes(b"rubbish\n" + raw)
    with pytest.raises(TableError, match=r"SC101. .*metrics/val/loss:1"):
        mlflow.read(tmp_path / "e")


@ONLY_DATABASE
def test_mlflow_damaged_databases_are_errors_with_a_place(mlflow_store, tmp_path):
    path, _ = mlflow_store
    raw = path.read_bytes()
    bad = tmp_path / "mlflow.db"
    for data in (b"", raw[:16], b"SQLite format 3\0" + b"\xff" * 5000, *mangled(raw, 2)):
        bad.write_bytes(data)
        survives(mlflow, bad)
        survives(mlflow, tmp_path)


def test_mlflow_is_not_every_meta_yaml(tmp_path):
    (tmp_path / "meta.yaml").write_text("package:\n  name: a recipe of conda\n")
    assert not mlflow.recognises(tmp_path)
    with pytest.raises(TableError, match="SC101"):
        mlflow.read(tmp_path)


def test_mlflow_cells_of_another_type(tmp_path):
    path = tmp_path / "odd.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(
            """
            CREATE TABLE runs(run_uuid, name, status, lifecycle_stage, experiment_id, start_time);
            CREATE TABLE params(run_uuid, key, value);
            CREATE TABLE metrics(run_uuid, key, value, step, is_nan, timestamp);
            INSERT INTO runs VALUES ('a', NULL, 7, 'active', 1, NULL), (3, x'ff', 'RUNNING', NULL,
            NULL, 'soon');
            INSERT INTO params VALUES ('a', 'k', x'80ff'), ('a', NULL, 1), ('b', 'lost', '1');
            INSERT INTO metrics VALUES ('a', 'loss', 'three', 1, 0, 0), ('a', 'loss', 2.5, 'x', 0,
            0), ('a', 'loss', 9223372036854775807, 3, 0, 0);
            """
        )
    imported = mlflow.read(path)
    assert list(imported.cells["run"]) == ["a", "3"]
    assert imported.cells["loss"].iloc[0] == 2.0**63


# W&B

WANDB = """
import wandb
long = "x" * 100_000
for k in range(2):
    run = wandb.init(project="p", id=f"run{k}", name=f"title {k}", group="g", tags=["a", "b"],
        config={"lr": 0.5, "model": {"depth": k, "dims": [1, 2]}, "flag": True, "none": None,
                "flops": 10**21, "long": long, "loss": "cross-entropy"})
    for step in range(50):
        run.log({"loss": 3.0 + k + 1 / (step + 1), "nest": {"deep": step}, "text": "x",
                 "nan": float("nan"), "lr": 0.5 - step / 100})
    run.log({"late": 1.25}, step=1000)
    run.summary["best"] = 2.5
    run.config.update({"added": "later"})
    run.finish(exit_code=k)
"""


@pytest.fixture(scope="module")
def wandb_folder(tmp_path_factory):
    """Return a folder in which W&B wrote two offline runs."""
    need("wandb")
    folder = tmp_path_factory.mktemp("wandb")
    write_by(WANDB, folder)
    return folder / "wandb"


def test_wandb_runs_come_back(wandb_folder):
    assert wandb.recognises(wandb_folder)
    imported = wandb.read(wandb_folder)
    cells = imported.cells
    assert list(cells["run"]) == ["run0", "run1"]
    assert list(cells["status"]) == ["done", "failed"]
    assert list(cells["name"]) == ["title 0", "title 1"]
    assert list(cells["lr"]) == [0.5, 0.5]
    assert list(cells["model/depth"]) == [0, 1]
    expected = {
        "project": "p", "run_group": "g", "tags": "a,b", "model/dims": "[1, 2]", "flag": "true",
        "none": "", "flops": str(10**21), "long": "x" * 100_000, "added": "later",
        "setting/loss": "cross-entropy",
    }  # fmt: skip
    for name, value in expected.items():
        assert set(cells[name]) == {value}
    assert not [name for name in cells if "_wandb" in name]
    assert list(cells["best"]) == [2.5, 2.5]
    assert cells["nan"].isna().all()
    for k in range(2):
        losses = [3.0 + k + 1 / (step + 1) for step in range(50)]
        assert curve(imported, f"run{k}", "loss") == (list(range(50)), losses)
        assert curve(imported, f"run{k}", "nest/deep")[1] == list(range(50))
        assert curve(imported, f"run{k}", "late") == ([1000], [1.25])
        rates = [0.5 - step / 100 for step in range(50)]
        assert curve(imported, f"run{k}", "metric/lr") == (list(range(50)), rates)
        assert cells["loss"].iloc[k] == losses[-1]
    assert "text" not in imported.curves
    assert codes(imported) == ["SC127", "SC143", "SC143"]


def test_wandb_one_folder_or_file(wandb_folder):
    (folder,) = wandb_folder.glob("offline-run-*-run1")
    (file,) = folder.glob("*.wandb")
    assert list(wandb.read(folder).cells["run"]) == ["run1"]
    imported = wandb.read(file)
    assert list(imported.cells["run"]) == ["run1"]
    assert imported.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_wandb_framing_spans_blocks(wandb_folder):
    (file,) = wandb_folder.glob("*run1/*.wandb")
    raw = file.read_bytes()
    assert len(raw) > 3 * BLOCK
    found = list(records(raw))
    assert max(map(len, found)) > 3 * BLOCK
    kept = []
    with pytest.raises(Broken, match="within a record"):
        kept.extend(records(raw[:-1]))
    with pytest.raises(Broken, match="damaged at byte"):
        kept.extend(records(raw[:-1] + bytes([raw[-1] ^ 1])))


def test_wandb_cut_off_keeps_what_precedes(wandb_folder, tmp_path):
    (file,) = wandb_folder.glob("*run0/*.wandb")
    raw = file.read_bytes()
    copy = tmp_path / file.name
    copy.write_bytes(raw[: int(len(raw) * 0.97)])
    imported = wandb.read(copy)
    assert list(imported.cells["status"]) == ["running"]
    steps, values = curve(imported, "run0", "loss")
    assert 5 < len(steps) < 50
    assert values == [4.0 - 1 + 1 / (step + 1) for step in steps]
    assert codes(imported)[:2] == ["SC127", "SC126"]


def test_wandb_resumed_run_the_later_wins(tmp_path):
    need("wandb")
    for start, stop, value in ((0, 8, 1.0), (5, 12, 2.0)):
        write_by(
            f"import wandb\nrun = wandb.init(project='p', id='same', resume='allow')\n"
            f"for step in range({start}, {stop}):\n    run.log({{'loss': {value}}}, step=step)\n"
            "run.finish()\n",
            tmp_path,
        )
        for folder in (tmp_path / "wandb").glob("offline-run-*"):
            folder.rename(folder.with_name(f"offline-run-{value}-same"))
        (tmp_path / "wandb").rename(tmp_path / f"part{value}")
    imported = wandb.read(tmp_path)
    assert list(imported.cells["run"]) == ["same"]
    steps, values = curve(imported, "same", "loss")
    assert steps == list(range(12))
    assert values == [1.0] * 5 + [2.0] * 7
    assert "SC140" in codes(imported)


def test_wandb_damaged_logs_are_errors_with_a_place(wandb_folder, tmp_path):
    (file,) = wandb_folder.glob("*run1/*.wandb")
    raw = file.read_bytes()
    bad = tmp_path / "run-x.wandb"
    for data in (b"", b":W&B", raw[:7], b"\0" * 70_000, *mangled(raw, 3)):
        bad.write_bytes(data)
        survives(wandb, bad)
        survives(wandb, tmp_path)


def test_curves_are_one_frame_with_the_names_of_the_table(wandb_folder):
    imported = wandb.read(wandb_folder)
    assert list(imported.curves.columns[:2]) == ["run", "step"]
    assert set(imported.curves.columns[2:]) < set(imported.cells.columns)
    assert pd.api.types.is_integer_dtype(imported.curves["step"])
    assert json.dumps(list(imported.rows.tolist())) == "[1, 2]"
