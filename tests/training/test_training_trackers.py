"""Trackers: what they are given comes back from them, and none holds up or ends a training."""

import csv
import importlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import get_args

import pytest

pytest.importorskip("torch")

from typer.testing import CliRunner

from scaling import api
from scaling.cli.app import app
from scaling.errors import ConfigError, MissingExtraError
from scaling.planning.sections import EngineSection
from scaling.runs.importers import mlflow, tensorboard, wandb
from scaling.runs.records import PointFiles, load_plan, read_record
from scaling.training import driver
from scaling.training.trackers import base, feed
from tests.training.conftest import ROOT, TINY

QUIET = {
    "WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet",
}  # fmt: skip
# Plays events of two points to real trackers, in a process of their own: they keep threads.
PLAY = """
import json, sys, time
from scaling.training.trackers import feed
feed.LIVE_SECONDS = 0.0
out, names, second = sys.argv[1], sys.argv[2].split(","), sys.argv[3] == "second"
ids = sys.argv[4].split(",")
class Cut(Exception): pass
try:
    with feed.tracked(out, names) as told:
        for name in ids:
            told({"event": "start", "id": name})
            for step in (40, 60) if second else (20, 40):
                told({"event": "progress", "id": name, "step": step, "loss": 5 - step / 100,
                      "rate": 2.0})
            if second:
                told({"event": "done", "id": name, "status": "done", "loss": 1.0, "seconds": 1.0,
                      "cause": None})
        if not second:
            while any(f.queue.qsize() or f.since for f in told.feeds):
                time.sleep(0.01)
            raise Cut
except Cut:
    pass
print(json.dumps([m.text for m in told.messages]))
"""
ASK = """
import json, sys
from mlflow import MlflowClient
client = MlflowClient("sqlite:///" + sys.argv[1])
(experiment,) = [e for e in client.search_experiments() if e.name == "scaling"]
found = []
for run in client.search_runs([experiment.experiment_id]):
    history = {key: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, key)]
               for key in run.data.metrics}
    found.append({"params": run.data.params, "tags": run.data.tags, "history": history,
                  "name": run.info.run_name, "status": run.info.status})
print(json.dumps(found))
"""


def need(module):
    """Import what writes or reads runs; without it skip, but fail in CI."""
    if os.environ.get("CI") == "true":
        return importlib.import_module(module)
    return pytest.importorskip(module, reason=f"{module} is not installed")


def python(script, *arguments):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "MLFLOW_"))}
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=env | QUIET | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        cwd=arguments[0] if Path(arguments[0]).is_dir() else None,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def curve_of(out, name, column):
    with PointFiles.of(out, name).curve.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    return [(int(row["step"]), float(row[column])) for row in rows if row[column]]


def close_to(points):
    """Points, for comparison with what a writer that stores float32 keeps of them."""
    return [pytest.approx(point, rel=1e-6) for point in points]


@pytest.fixture(scope="module")
def finished(plan_into, tmp_path_factory):
    """Train the tiny study once; events can then be played again and again."""
    out = plan_into(tmp_path_factory.mktemp("finished"))
    driver.run(out, engine="debug", device="cpu")
    return out


# --------------------------------------------------------------------------- real trackers


@pytest.fixture(scope="module")
def followed(finished):
    """Follow two points with every tracker: cut off, and gone on with by another process."""
    for module in base.NEEDS:
        need(module)
    ids = [p["id"] for p in load_plan(finished)][:2]
    for part in ("first", "second"):
        told, stderr = python(PLAY, finished, ",".join(base.NEEDS), part, ",".join(ids))
        assert told == []
        assert stderr == ""
    return finished, ids


def test_tensorboard_keeps_a_folder_a_point(followed):
    module = need("tensorboard.backend.event_processing.event_accumulator")
    out, ids = followed
    folder = out / "track" / "tensorboard"
    assert sorted(path.name for path in folder.iterdir()) == sorted(ids)
    for name in ids:
        record = read_record(out, name)
        read = module.EventAccumulator(str(folder / name)).Reload()
        steps = {tag: [(e.step, e.value) for e in read.Scalars(tag)]
                 for tag in read.Tags()["scalars"]}  # fmt: skip
        # the second process goes on at 40: what the first one said of that step gives way
        assert steps["live/loss"] == close_to([(20, 4.8), (40, 4.6), (60, 4.4)])
        batch = record["point"]["batch"]
        assert steps["live/tokens_per_second"] == [(s, 2.0 * batch) for s in (20, 40, 60)]
        for column in base.CURVES:
            assert steps[column] == close_to(curve_of(out, name, column))
        assert steps["loss"] == close_to([(record["steps_done"], record["loss"])])
        assert "live/mfu" not in steps  # no peak is known


def test_tensorboard_settings_come_back_as_a_table(followed):
    out, _ = followed
    cells = tensorboard.read(out / "track" / "tensorboard").cells.set_index("run")
    for point in load_plan(out)[:2]:
        row = cells.loc[point["id"]]
        assert [row[k] for k in ("N", "D", "C", "batch", "seed")] == [
            point[k] for k in ("N", "D", "C", "batch", "seed")
        ]
        assert (row["group"], row["trunk"]) == (point["group"], point["trunk"])
        assert row["shape.width"] == point["shape"]["width"]
        assert row["status"] == "done"


def test_wandb_goes_on_with_the_run_of_the_point(followed):
    out, ids = followed
    folder = out / "track" / "wandb"
    assert len(list(folder.glob("offline-run-*"))) == 4  # a folder a process, the same two ids
    read = wandb.read(folder)
    cells = read.cells.set_index("run")
    assert sorted(cells.index) == sorted(ids)
    for point in load_plan(out)[:2]:
        name, record = point["id"], read_record(out, point["id"])
        row = cells.loc[name]
        assert row["name"] == f"{point['group']}/{name}"
        assert row["run_group"] == point["group"]
        assert (row["N"], row["D"], row["status"]) == (point["N"], point["D"], "done")
        assert row["loss"] == record["loss"]
        assert row["loss_se"] == record["loss_se"]
        mine = read.curves[read.curves["run"] == name]
        losses = [value for _, value in curve_of(out, name, "train_loss")]
        assert list(mine["train_loss"].dropna()) == losses
        live = mine[["step", "live/loss"]].dropna()
        assert [tuple(row) for row in live.to_numpy()] == [(20, 4.8), (40, 4.6), (60, 4.4)]


def test_mlflow_goes_on_with_the_run_of_the_point(followed):
    out, ids = followed
    runs, _ = python(ASK, out / "track" / "mlflow" / "mlflow.db")
    by_id = {run["tags"]["scaling.point"]: run for run in runs}
    assert len(runs) == 2
    assert sorted(by_id) == sorted(ids)
    for point in load_plan(out)[:2]:
        run, record = by_id[point["id"]], read_record(out, point["id"])
        assert run["name"] == f"{point['group']}/{point['id']}"
        assert (run["status"], run["tags"]["scaling.status"]) == ("FINISHED", "done")
        assert run["params"]["N"] == str(point["N"])
        assert run["params"]["lr"] == repr(point["lr"])
        history = {key: [tuple(item) for item in values] for key, values in run["history"].items()}
        assert history["live/loss"] == [(20, 4.8), (40, 4.6), (60, 4.4)]  # 40 is sent once
        for column in base.CURVES:
            assert history[column] == curve_of(out, point["id"], column)
        assert history["loss"] == [(record["steps_done"], record["loss"])]
    assert set(mlflow.read(out / "track" / "mlflow").cells["point"]) == set(ids)


def test_a_sweep_is_tracked_as_its_study_says(plan_into, tmp_path):
    need("tensorboard")
    out = plan_into(tmp_path, engine={"track": ["tensorboard"], "device": "cpu", "workers": 1})
    done = CliRunner().invoke(app, ["sweep", "run", str(out)])
    assert done.exit_code == 0, done.output
    assert "tokens/s" in done.stderr
    cells = tensorboard.read(out / "track" / "tensorboard").cells.set_index("run")
    ids = [p["id"] for p in load_plan(out)]
    assert sorted(cells.index) == sorted(ids)
    for name in ids:
        assert cells.loc[name, "loss"] == pytest.approx(read_record(out, name)["loss"])
    again = CliRunner().invoke(app, ["sweep", "run", str(out), "--track", "tensorboard"])
    assert again.exit_code == 0
    files = list((out / "track" / "tensorboard").rglob("events*"))
    assert len(files) == len(ids)  # nothing was left to train, so that nothing was opened


def test_wandb_without_a_key_does_not_ask_for_one(tmp_path):
    need("wandb")
    ask = (
        "import os, json\nos.environ |= {'WANDB_MODE': 'online', 'HOME': os.getcwd()}\n"
        "from pathlib import Path\nfrom scaling.training.trackers.base import make\n"
        "try:\n    make('wandb', Path('.'))\nexcept RuntimeError as error:\n"
        "    print(json.dumps(str(error)))\n"
    )
    text, _ = python(ask, tmp_path)
    assert text.startswith("no key is configured")


def test_an_interrupted_database_of_mlflow_is_made_anew(tmp_path):
    need("mlflow")
    folder = tmp_path / "track" / "mlflow"
    folder.mkdir(parents=True)
    (folder / "mlflow.db.12.tmp").write_bytes(b"half")
    make = (
        "from pathlib import Path\nfrom scaling.training.trackers.base import make\n"
        "make('mlflow', Path('.')).close()\nprint('null')"
    )
    _, stderr = python(make, tmp_path)
    assert stderr == ""
    assert [path.name for path in folder.iterdir()] == ["mlflow.db"]


# ---------------------------------------------------------------------------- trackers that fail


class Fake:
    """A tracker that notes what it is given, and fails or hangs where it is told to."""

    def __init__(self, fails="", act=None):
        self.fails, self.act, self.calls = fails, act, []

    def note(self, what, *given):
        self.calls.append((what, *given))
        if what == self.fails:
            self.act()

    def begin(self, point):
        self.note("begin", point["id"])
        return 0

    def log(self, name, row):
        self.note("log", name, row[0])

    def end(self, name, end):
        self.note("end", name, end.status)

    def close(self):
        self.note("close")


def raising(error):
    def act():
        raise error

    return act


@pytest.fixture
def fakes(monkeypatch):
    """Put fakes, or errors, in the place of trackers."""

    def put(**by_name):
        def make(name, out):
            found = by_name[name]
            if isinstance(found, BaseException):
                raise found
            return found

        monkeypatch.setattr(feed, "make", make)
        monkeypatch.setattr(feed, "check_trackers", tuple)
        monkeypatch.setattr(feed, "LIVE_SECONDS", 0.0)

    return put


def play(out, names, steps=(20, 40, 60)):
    """Play a whole sweep to trackers; return messages, events heard, and the seconds it took."""
    heard, points = [], load_plan(out)
    began = time.monotonic()
    with feed.tracked(out, names, heard.append) as told:
        for p in points:
            told({"event": "start", "id": p["id"]})
            for step in steps:
                told({"event": "progress", "id": p["id"], "step": step, "loss": 3.0})
            told({"event": "done", "id": p["id"], "status": "done", "loss": 2.0, "seconds": 1.0,
                  "cause": None})  # fmt: skip
        played = time.monotonic() - began
    return told.messages, heard, played, time.monotonic() - began


@pytest.mark.parametrize(
    "error", [RuntimeError("no\nroute."), OSError(28, "full"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("place", ["make", "begin", "log", "end", "close"])
def test_a_tracker_that_raises_is_given_up_once(finished, fakes, place, error):
    bad, good = Fake(place, raising(error)), Fake()
    fakes(wandb=error if place == "make" else bad, mlflow=good)
    messages, heard, _, _ = play(finished, ["wandb", "mlflow"])
    assert [m.code for m in messages] == ["SC309"]
    assert messages[0].text.startswith("Tracking with wandb was given up: ")
    assert "\n" not in messages[0].text
    assert [e["message"] for e in heard if e["event"] == "message"] == messages
    count = len(load_plan(finished))
    assert sum(e["event"] == "done" for e in heard) == count
    assert [c[0] for c in good.calls].count("end") == count
    assert good.calls[-1] == ("close",)


@pytest.mark.parametrize("place", ["begin", "log", "end", "close"])
def test_a_tracker_that_hangs_delays_nothing(finished, fakes, monkeypatch, place):
    monkeypatch.setattr(feed, "LAST_PATIENCE", 0.2)
    release = threading.Event()
    fakes(wandb=Fake(place, release.wait), mlflow=(good := Fake()))
    messages, _, played, whole = play(finished, ["wandb", "mlflow"])
    release.set()
    assert [m.code for m in messages] == ["SC309"]
    assert "did not answer" in messages[0].text
    assert [c[0] for c in good.calls].count("end") == len(load_plan(finished))
    assert played < 0.5
    assert whole < 5.0


def test_a_tracker_that_hangs_is_given_up_while_points_train(finished, fakes, monkeypatch):
    monkeypatch.setattr(feed, "PATIENCE", 0.05)
    release, name = threading.Event(), load_plan(finished)[0]["id"]
    fakes(wandb=Fake("begin", release.wait))
    with feed.tracked(finished, ["wandb"]) as told:
        told({"event": "start", "id": name})
        until = time.monotonic() + 10.0
        while not told.messages and time.monotonic() < until:
            time.sleep(0.02)
            told({"event": "ready", "device": "cpu"})
        assert [m.code for m in told.messages] == ["SC309"]
    release.set()
    assert len(told.messages) == 1


def test_live_values_that_a_slow_tracker_cannot_take_are_left_out(finished, fakes):
    class Slow(Fake):
        def log(self, name, row):
            super().log(name, row)
            time.sleep(0.002)

    slow = Slow()
    fakes(wandb=slow)
    messages, _, played, _ = play(finished, ["wandb"], steps=range(1, 2001))
    assert messages == []
    count = len(load_plan(finished))
    logged = [c for c in slow.calls if c[0] == "log"]
    assert len(logged) <= played / 0.002 + count * (feed.WAITING + 1)
    assert len(logged) < 2000 * count
    assert [c[0] for c in slow.calls].count("end") == count


def test_live_values_are_rare(finished, fakes, monkeypatch):
    fake = Fake()
    fakes(wandb=fake)
    monkeypatch.setattr(feed, "LIVE_SECONDS", 60.0)
    play(finished, ["wandb"], steps=range(1, 500))
    assert [c[0] for c in fake.calls].count("log") == len(load_plan(finished))


def test_a_worker_that_dies_keeps_the_run_of_its_point(finished, fakes):
    fake, name = Fake(), load_plan(finished)[0]["id"]
    fakes(wandb=fake)
    with feed.tracked(finished, ["wandb"]) as told:
        for events in (("start", 20, 40, "lost"), ("start", 20, 40, 60, "done")):
            for item in events:
                event = {"event": item} if isinstance(item, str) else {"event": "progress"}
                step = 0 if isinstance(item, str) else item
                told(event | {"id": name, "step": step, "loss": 3.0, "status": "done"})
    assert fake.calls == [
        ("begin", name), ("log", name, 20), ("log", name, 40), ("log", name, 60),
        ("end", name, "done"), ("close",),
    ]  # fmt: skip


def test_an_interrupt_leaves_at_once_and_closes(finished, fakes):
    fake, ids = Fake(), [p["id"] for p in load_plan(finished)]
    fakes(wandb=fake)

    def cut_off():
        with feed.tracked(finished, ["wandb"], messages.append) as told:
            for name in ids:
                told({"event": "start", "id": name})
            messages.clear()
            raise KeyboardInterrupt

    messages = []
    with pytest.raises(KeyboardInterrupt):
        cut_off()
    assert fake.calls[-1] == ("close",)
    assert messages == []


def test_a_failing_tracker_leaves_training_and_its_results_alone(tmp_path, fakes):
    plan = api.plan(TINY)
    plain = api.run(plan, tmp_path / "plain", engine="debug", device="cpu")
    fakes(wandb=OSError("no route to host"))
    tracked = api.run(plan, tmp_path / "tracked", engine="debug", device="cpu", track=["wandb"])
    assert plain.messages == ()
    assert [m.code for m in tracked.messages] == ["SC309"]
    assert tracked.counts == plain.counts
    assert not (tmp_path / "tracked" / "track").exists()
    results = [(tmp_path / name / "results.csv").read_bytes() for name in ("plain", "tracked")]
    assert results[0] == results[1]


# ------------------------------------------------------------------------------- what is refused


def test_the_study_file_knows_the_same_trackers():
    (items,) = get_args(EngineSection.model_fields["track"].annotation)
    assert get_args(items) == tuple(base.NEEDS)


def test_names_are_taken_once_and_unknown_ones_refused(monkeypatch):
    monkeypatch.setattr(base, "_installed", lambda package: True)
    assert base.check_trackers(["mlflow", "wandb", "mlflow"]) == ("mlflow", "wandb")
    with pytest.raises(ConfigError, match="one of tensorboard, wandb, mlflow") as caught:
        base.check_trackers(["wandb", "nope"])
    assert caught.value.code == "SC004"


@pytest.mark.parametrize("package", ["mlflow", "sqlalchemy"])
def test_a_tracker_that_is_not_installed_is_an_error_before_anything(
    package, monkeypatch, tmp_path
):
    monkeypatch.setattr(base, "_installed", lambda name: name != package)
    with pytest.raises(MissingExtraError, match=r"scaling-study\[trackers\]") as caught:
        api.run(api.plan(TINY), tmp_path / "out", engine="debug", track=["mlflow"])
    assert caught.value.code == "SC001"
    assert not (tmp_path / "out").exists()


def test_a_folder_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "some_tracker").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not base._installed("some_tracker")
    assert base._installed("scaling")


def test_settings_and_numbers_that_are_none_are_left_out(finished):
    point = load_plan(finished)[0]
    settings = base.settings_of(point | {"budget": None})
    assert settings["shape.width"] == point["shape"]["width"]
    assert settings["point"] == point["id"]
    assert "budget" not in settings
    assert not any(isinstance(value, dict) for value in settings.values())
    assert base.finite({"a": None, "b": float("nan"), "c": 1}) == {"c": 1.0}
