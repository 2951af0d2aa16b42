"""What every engine does with jobs that fail, stop or run twice; how points become jobs."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from typer.testing import CliRunner  # noqa: E402

from scaling.cli.app import app  # noqa: E402
from scaling.errors import ConfigError, Fault, OutputError, TrainingError  # noqa: E402
from scaling.runs.records import (  # noqa: E402
    PointFiles,
    clear_remains,
    load_plan,
    read_record,
    write_progress,
)
from scaling.training import driver, lock  # noqa: E402
from scaling.training.desk import Desk  # noqa: E402
from scaling.training.engines import local, task  # noqa: E402
from scaling.training.engines.attempts import MAX_STARTS, RETRIES, Attempts  # noqa: E402
from scaling.training.engines.base import Job, devices_of, fields_of  # noqa: E402
from scaling.training.engines.journal import Journal, Progress, Tail, story  # noqa: E402
from scaling.training.engines.local import LocalEngine  # noqa: E402
from scaling.training.engines.machines import Machines  # noqa: E402
from scaling.training.engines.slurm_commands import directives  # noqa: E402
from scaling.training.engines.task import perform, versions_here  # noqa: E402
from scaling.training.grouping import jobs_of  # noqa: E402
from scaling.training.job import run_job  # noqa: E402
from scaling.training.loop import Outcome  # noqa: E402
from scaling.training.record import keep  # noqa: E402
from scaling.training.setup import Setup, prepare_share  # noqa: E402
from scaling.training.tasks.text import Text  # noqa: E402
from tests.training.conftest import timeless  # noqa: E402

FIVE = {"kind": "grid", "params": [9e2], "data": [4e3], "seeds": 5}
LONG = {"kind": "grid", "params": [9e2], "data": [4e6]}


def cli(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def failing(monkeypatch):
    """Let the data of these points fail, so many times each; -1 is always."""
    left, real = {}, Text.batch

    def batch(self, step, *share):
        for key, times in left.items():
            if current["id"] == key and times:
                left[key] = times - 1
                raise ValueError(f"bad luck of {key}")
        return real(self, step, *share)

    current = {"id": None}
    tell = Desk.settle

    def settle(self, trainer):
        current["id"] = trainer.point["id"]
        tell(self, trainer)

    monkeypatch.setattr(Desk, "settle", settle)
    monkeypatch.setattr(Text, "batch", batch)
    return left


def heard(out, **options):
    events = []
    summary = driver.run(out, engine="debug", device="cpu", listener=events.append, **options)
    return summary, events


# ------------------------------------------------------------------------------------- exceptions


def test_an_exception_is_tried_again_and_its_point_comes_out_as_if_it_had_not_been(
    planned, failing
):
    quiet, out = planned("quiet"), planned("out")
    driver.run(quiet, engine="debug", device="cpu")
    point = load_plan(out)[0]["id"]
    failing[point] = RETRIES
    summary, events = heard(out)
    assert summary.counts == {"done": 4, "failed": 0, "diverged": 0, "too-big": 0}
    assert [e["id"] for e in events if e["event"] == "exception"] == [point] * RETRIES
    assert (out / "results.csv").read_bytes() == (quiet / "results.csv").read_bytes()


def test_the_third_exception_makes_a_point_failed(planned, failing):
    out = planned()
    point = load_plan(out)[0]["id"]
    failing[point] = -1
    summary, events = heard(out)
    assert (summary.counts["done"], summary.counts["failed"]) == (3, 1)
    assert sum(e["event"] == "exception" for e in events) == RETRIES
    assert f"bad luck of {point}" in read_record(out, point)["cause"]
    told = [e["event"] for e in events if e.get("id") == point]
    assert told == ["start", "exception", *["start", "exception"] * (RETRIES - 1), "start", "done"]


def test_the_same_exception_on_three_points_stops_the_sweep(planned, failing):
    out = planned(design=FIVE)
    failing.update({p["id"]: -1 for p in load_plan(out)})
    with pytest.raises(TrainingError) as caught:
        heard(out)
    assert caught.value.code == "SC318"
    text = caught.value.render()
    assert "3 points raised the same exception" in text
    assert "ValueError: bad luck of" in text
    assert "in batch" in text
    assert not any(read_record(out, p["id"]) for p in load_plan(out))  # none was given up
    assert not (out / "driver.lock").exists()
    failing.clear()
    assert driver.run(out, engine="debug", device="cpu").counts["done"] == 5


def test_two_points_that_fail_alike_do_not_stop_the_others(planned, failing):
    out = planned(design=FIVE)
    points = [p["id"] for p in load_plan(out)]
    failing.update(dict.fromkeys(points[:2], -1))
    summary, _ = heard(out)
    assert (summary.counts["done"], summary.counts["failed"]) == (3, 2)


def test_a_diverged_or_too_big_point_is_never_tried_again(planned, monkeypatch):
    out = planned(recipe={"overrides": {"lr": 1e4}}, design=FIVE)
    summary, events = heard(out)
    assert summary.counts["diverged"] == 5
    assert sum(e["event"] == "start" for e in events) == 5

    def full(*_):
        raise torch.OutOfMemoryError("no")

    big = planned("big", design={**FIVE, "seeds": 1})
    monkeypatch.setattr(Text, "batch", full)
    summary, events = heard(big)
    assert summary.counts["too-big"] == 1
    assert sum(e["event"] == "start" for e in events) == 1


def test_a_missing_file_is_an_exception_and_a_full_disk_is_not(planned, cpu, monkeypatch):
    out = planned(design={**FIVE, "seeds": 1})
    (point,) = load_plan(out)

    def raising(error):
        monkeypatch.setattr(Text, "batch", lambda *_: (_ for _ in ()).throw(error))

    raising(FileNotFoundError(2, "gone"))
    events = []
    spare = {point["id"]: 1}
    desk = Desk(out, cpu, tell=lambda e, *_, **f: events.append(e), spare=spare)
    run_job([point], "alone", desk)
    assert events == ["start", "exception"]
    raising(OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space"):
        run_job([point], "alone", desk)
    assert read_record(out, point["id"]) is None


# --------------------------------------------------------------------------------------- attempts


def test_what_ends_a_start_decides_what_comes_next(planned):
    out = planned()
    points = load_plan(out)
    job = Job(tuple(p["id"] for p in points[:2]))
    attempts = Attempts(out, {p["id"]: p["trunk"] for p in points})
    for end in ("left", "lost", "left", "lost", "lost"):  # never counts
        attempts.begin(job)
        again, events = attempts.end(job, end)
        assert again == job
        assert [e["event"] for e in events] == ["lost"] * (end == "lost")
    for _ in range(MAX_STARTS - 1):
        attempts.begin(job)
        again, events = attempts.end(job, "died", points[1]["id"], -9)
        assert again == job
        assert events == [{"event": "lost", "id": points[1]["id"], "code": -9}]
    attempts.begin(job)
    again, events = attempts.end(job, "died", points[1]["id"], "Slurm: OUT_OF_MEMORY")
    assert again == Job((points[0]["id"],))
    assert events[0]["event"] == "given up"
    assert "3 times" in events[0]["cause"]
    assert "(Slurm: OUT_OF_MEMORY)" in events[0]["cause"]


def test_a_machine_that_is_lost_between_deaths_starts_the_count_anew(planned):
    out = planned()
    (point, *_), job = load_plan(out), None
    job = Job((point["id"],))
    attempts = Attempts(out, {point["id"]: point["trunk"]})
    for end in ("died", "died", "lost", "died", "died"):
        attempts.begin(job)
        again, events = attempts.end(job, end, None, -9)
        assert again == job, events


# ------------------------------------------------------------------------------------- two copies


PERFORM = """
import json, sys
from scaling.training.engines.task import perform
out, name, order, versions, share = sys.argv[1:]
print(json.dumps(perform(out, "cpu", {"checkpoint_seconds": 0.01}, json.loads(order), name,
                         json.loads(versions))))
"""


def performing(out, name, order):
    words = [str(out), name, json.dumps(order), json.dumps(versions_here()), "1"]
    return subprocess.Popen(
        [sys.executable, "-c", PERFORM, *words], stdout=subprocess.PIPE, text=True
    )


def order_of(*names, spare=0):
    return {"points": names, "kind": "alone", "spare": dict.fromkeys(names, spare)}


def test_points_that_run_twice_at_once_are_committed_once(planned):
    """As when a node that was cut off still trains what another one has been given."""
    quiet, out = planned("quiet"), planned("out")
    driver.run(quiet, engine="debug", device="cpu")
    names = [p["id"] for p in load_plan(out)]
    twins = [performing(out, f"ray-{i}", order_of(*names)) for i in range(2)]
    results = [json.loads(twin.communicate(timeout=120)[0]) for twin in twins]
    assert [result["end"] for result in results] == ["finished", "finished"]
    for name in names:
        folder = PointFiles.of(out, name).folder
        assert [p.name for p in folder.glob("record*")] == ["record.json"]
        both = [timeless(read_record(place, name)) for place in (quiet, out)]
        for record in both:
            del record["provenance"]["commit"]
        assert both[0] == both[1]
    assert driver.run(out, engine="debug", device="cpu").trained == 0
    assert (out / "results.csv").read_bytes() == (quiet / "results.csv").read_bytes()
    assert [p for p in out.rglob("*") if p.suffix in (".tmp", ".pt")] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_process_that_is_asked_to_leave_keeps_a_checkpoint_and_says_who_asked(planned, number):
    out = planned(design=LONG)
    (point,) = load_plan(out)
    process = performing(out, "slurm-1_0", order_of(point["id"]))
    files = PointFiles.of(out, point["id"])
    until(lambda: files.progress.exists())
    process.send_signal(number)
    result = json.loads(process.communicate(timeout=60)[0])
    assert (result["end"], result["signal"]) == ("stopped", number.name)
    assert files.checkpoints()
    assert [e["event"] for e in story(out, point["id"])] == ["start", "stopped"]


def test_a_process_follows_the_request_in_the_folder(planned, monkeypatch):
    out = planned(design=LONG)
    (point,) = load_plan(out)
    process = performing(out, "ray-1", order_of(point["id"]))
    until(lambda: PointFiles.of(out, point["id"]).progress.exists())
    lock.ask_to_stop(out, "a test")
    result = json.loads(process.communicate(timeout=60)[0])
    assert (result["end"], result["signal"]) == ("stopped", None)


def test_without_a_driver_a_process_tries_again_itself(planned, failing):
    out = planned()
    first, *_ = names = [p["id"] for p in load_plan(out)]
    failing[first] = RETRIES
    order = order_of(*names, spare=RETRIES)
    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR2)]
    result = perform(str(out), "cpu", {}, order, "slurm-1_0", versions_here(), again=True)
    assert result["end"] == "finished"
    assert {read_record(out, name)["status"] for name in names} == {"done"}
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR2)] == handlers


# ----------------------------------------------------------------------------------------- places


def test_a_machine_that_does_not_see_the_sweep_says_so(tmp_path):
    result = perform(str(tmp_path / "out"), "cpu", {}, order_of("a"), "ray-1", {})
    assert result["end"] == "error"
    assert result["faults"][0]["code"] == "SC314"
    assert not (tmp_path / "out").exists()


def test_a_machine_without_scratch_or_with_other_code_says_so(planned, tmp_path, monkeypatch):
    out = planned()
    order = order_of(load_plan(out)[0]["id"])
    other = {**versions_here(), "torch": "1.0"}
    result = perform(str(out), "cpu", {}, order, "ray-1", other)
    assert result["faults"][0]["code"] == "SC307"
    assert "torch 1.0" in result["faults"][0]["expected"]
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    result = perform(str(out), "cpu", {}, order, "ray-1", versions_here())
    assert result["faults"][0]["code"] == "SC315"
    assert read_record(out, order["points"][0]) is None


def error(kind, code):
    return {"error": kind, "faults": [{"code": code, "where": "there", "found": "bad"}]}


def test_machines_are_given_up_until_it_is_not_the_machine(tmp_path):
    machines = Machines(tmp_path)
    machines.bad("a", error("TrainingError", "SC315"))
    machines.check(left=3)
    assert "Machine a is given up" in machines.message().text
    machines.bad("b", error("TrainingError", "SC307"))
    assert machines.bad("c", error("TrainingError", "SC315"))
    assert not machines.bad("c", error("TrainingError", "SC315"))
    machines.check(left=1)
    machines.bad("d", error("TrainingError", "SC315"))
    with pytest.raises(TrainingError):  # three say the same
        machines.check(left=6)
    alone = Machines(tmp_path)
    alone.bad("a", error("ConfigError", "SC314"))
    with pytest.raises(ConfigError):  # the only one there is
        alone.check(left=0)


def test_a_disk_that_is_full_for_the_driver_too_ends_the_run(tmp_path, monkeypatch):
    machines = Machines(tmp_path)
    machines.bad("a", fields_of(OSError(28, "No space left on device", "x"), tmp_path))
    machines.check(left=None)

    def full(path):
        raise OutputError(Fault("SC003", str(path), "full"))

    monkeypatch.setattr("scaling.training.engines.machines.check_writable", full)
    with pytest.raises(OutputError):
        machines.check(left=None)


# ------------------------------------------------------------------------------------------- jobs


def groups(points, **settings):
    place = {"places": settings.pop("places", 1), "on_gpu": False, "packs": True}
    return jobs_of(
        points, points, settings.pop("trunks", False), settings, SimpleNamespace(**place)
    )


def test_short_points_of_one_shape_share_a_job(planned):
    design = {"kind": "grid", "params": [9e2, 1.9e3], "data": [4e3, 8e3, 4e5], "seeds": 8}
    points = load_plan(planned(design=design))
    jobs = groups(points)
    by_id = {p["id"]: p for p in points}
    assert sorted(n for job in jobs for n in job.points) == sorted(by_id)
    whole = sum(p["C"] for p in points)
    costs = []
    for job in jobs:
        own = [by_id[name] for name in job.points]
        assert len({json.dumps(p["shape"]) for p in own}) == 1
        costs.append(sum(p["C"] for p in own))
        assert len(own) == 1 or costs[-1] <= whole / 8
    assert costs == sorted(costs, reverse=True)
    assert len(jobs) < len(points)
    assert len(groups(points, places=16)) > len(jobs)


def test_devices_of_a_point_follow_its_size(planned):
    points = load_plan(planned())
    settings = {"devices": 4, "devices_from": 1500}
    assert {devices_of(p, settings) for p in points if p["N"] > 1500} == {4}
    jobs = groups(points, **settings)
    sizes = {p["id"]: p["N"] for p in points}
    assert {(job.devices, sizes[job.points[0]] > 1500) for job in jobs} == {(4, True), (1, False)}
    assert all(len({sizes[n] > 1500 for n in job.points}) == 1 for job in jobs)


# ------------------------------------------------------------------------------------------- lock


def hold(out, silent, **changes):
    path = lock.lock_file(out)
    mine = {"pid": 1, "host": "elsewhere", "started": "1", "since": "yesterday"}
    path.write_text(json.dumps(mine | changes))
    then = time.time() - silent
    os.utime(path, (then, then))


def test_a_lock_of_another_machine_holds_while_it_gives_signs_of_life(planned):
    out = planned(design={**FIVE, "seeds": 1})
    hold(out, 100.0)
    with pytest.raises(TrainingError) as caught:
        driver.run(out, engine="debug", device="cpu")
    text = " ".join(caught.value.render().split())
    assert "process 1 on elsewhere works on this sweep since yesterday" in text
    assert "last sign of life 100 s ago" in text
    hold(out, 200.0)
    assert driver.run(out, engine="debug", device="cpu").counts["done"] == 1


def test_a_driver_gives_signs_of_life_and_notices_that_its_lock_was_taken(planned, monkeypatch):
    out, lost = planned(), threading.Event()
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.02)
    with lock.locked(out, lost.set):
        path = lock.lock_file(out)
        os.utime(path, (0, 0))
        until(lambda: path.stat().st_mtime > 0)
        assert not lost.is_set()
        hold(out, 0.0)
        assert lost.wait(10.0)
    assert json.loads(path.read_text())["host"] == "elsewhere"  # not ours to remove


def test_the_driver_ends_when_another_one_has_its_lock(planned, monkeypatch):
    out = planned(design=LONG)
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.02)

    def take(event):
        if event["event"] == "start":
            hold(out, 0.0)

    summary = driver.run(out, engine="local", device="cpu", workers=1, listener=take)
    assert summary.stopped == "another driver"
    assert PointFiles.of(out, load_plan(out)[0]["id"]).checkpoints()


# ----------------------------------------------------------------------------------------- folder


def test_what_living_processes_write_is_not_cleared(planned):
    out = planned(design={"kind": "grid", "params": [9e2], "data": [4e3, 8e3]})
    points = load_plan(out)
    kept = [PointFiles.of(out, p["id"]).folder / ".checkpoint-1.pt.7-ab.tmp" for p in points]
    for path in kept:
        path.parent.mkdir(parents=True)
        path.touch()
    clear_remains(out, points, keep=False, busy={points[0]["id"]})
    assert [path.exists() for path in kept] == [True, False]


def test_a_journal_tells_a_story(tmp_path):
    journal = Journal(tmp_path, "worker-0")
    tail = Tail(tmp_path, "worker")
    journal.tell("ready", device="cpu")
    journal.tell("start", "a")
    journal.log.write_text("of a\n")
    journal.tell("progress", "a", step=1)
    journal.tell("start", "b")
    with journal.log.open("a") as log:
        log.write("of b\n")
    journal.tell("exception", "b", points=["b", "c"], traceback="Traceback\nValueError: x")
    with journal.path.open("a") as handle:
        handle.write('{"event": "cut o')
    assert [e["event"] for e in tail.events()] == ["ready", "start", "start", "exception"]
    assert list(tail.events()) == []
    (start,) = story(tmp_path, "a")
    assert (start["printed"], start["pid"], start["device"]) == ("of a\n", os.getpid(), "cpu")
    assert [e["event"] for e in story(tmp_path, "c")] == ["exception"]
    assert story(tmp_path, "b")[0]["printed"] == "of b\n"
    with journal.path.open("a") as handle:
        handle.write('ff", "id": "a"}\n')
    assert [e["event"] for e in tail.events()] == ["cut off"]


def test_progress_tells_what_has_changed(planned, monkeypatch):
    out = planned()
    points, progress = load_plan(out), Progress(out)
    names = [p["id"] for p in points]
    assert progress.events(names) == []
    monkeypatch.setattr(Progress, "SHARE", 1e9)
    progress.next = 0.0
    write_progress(out, points[0], step=3, loss=2.0, rate=1.0)
    (event,) = progress.events(names)
    assert (event["id"], event["step"], event["loss"]) == (names[0], 3, 2.0)
    progress.next = 0.0
    assert progress.events(names) == []


# --------------------------------------------------------------------------------------- commands


def until(condition, patience=60.0):
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def test_a_sweep_is_cancelled_from_its_folder_and_goes_on(planned):
    out = planned(design={"kind": "grid", "params": [9e2], "data": [3e5], "seeds": 2})
    words = [sys.executable, "-m", "scaling", "sweep", "run", str(out), "--device", "cpu"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until(lambda: list(out.glob("points/*/*/progress.json")))
    assert "driver: process" in cli("sweep", "status", out).stderr
    done = cli("sweep", "cancel", out)
    assert done.exit_code == 0
    assert f"asking process {process.pid} on" in done.stderr
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped by cancel" in text
    assert not lock.stop_file(out).exists()
    assert "no driver is at work" in cli("sweep", "status", out).stderr
    assert "nothing works on this sweep" in cli("sweep", "cancel", out).stderr
    summary = driver.run(out, device="cpu")
    assert summary.counts["done"] == 2
    stories = [story(out, p["id"]) for p in load_plan(out)]
    assert any([e["event"] for e in s] == ["start", "stopped", "start", "done"] for s in stories)


def test_a_request_that_nobody_followed_does_not_end_the_next_run(planned):
    out = planned(design={**FIVE, "seeds": 1})
    lock.ask_to_stop(out, "long ago")
    assert driver.run(out, engine="debug", device="cpu").counts["done"] == 1
    assert not lock.stop_file(out).exists()


def test_logs_tell_what_happened_to_a_point(planned, failing):
    out = planned(design={**FIVE, "seeds": 2})
    first, second = (p["id"] for p in load_plan(out))
    failing[first] = -1
    order = order_of(first, spare=RETRIES)
    perform(str(out), "cpu", {}, order, "slurm-7_0", versions_here(), again=True)
    done = cli("sweep", "logs", out, first[:9])
    assert done.exit_code == 0
    assert done.stdout.count("started by slurm-7_0 on") == RETRIES + 1
    assert done.stdout.count(f"    ValueError: bad luck of {first}") == RETRIES
    assert f"record: failed, ValueError: bad luck of {first}" in done.stdout
    found = json.loads(cli("sweep", "logs", out, first, "--json").stdout)
    assert found["schema"] == "scaling/logs@1"
    assert [e["event"] for e in found["events"]][:2] == ["start", "exception"]
    assert "has not been started" in cli("sweep", "logs", out, second).stderr
    for wrong in ("", "zz"):
        assert getattr(cli("sweep", "logs", out, wrong).exception, "code", None) == "SC004"


def test_watching_a_folder_shows_what_a_driver_would(planned):
    out = planned(design={"kind": "grid", "params": [9e2], "data": [4e5], "seeds": 2})
    words = [sys.executable, "-m", "scaling", "sweep"]
    run = subprocess.Popen([*words, "run", str(out)], stderr=subprocess.DEVNULL)
    until(lambda: lock.holder_of(out))
    watch = subprocess.run(
        [*words, "status", "--watch", str(out)], capture_output=True, text=True, timeout=120,
        check=True,
    )  # fmt: skip
    assert run.wait(60) == 0
    assert "driver: process" in watch.stderr
    assert " done loss " in watch.stderr
    assert "[2/2 points]" in watch.stderr


def test_scratch_is_looked_for_where_the_machine_has_it(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    task.fit_for_work({})
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------- after the review


def test_a_pack_that_gets_on_from_death_to_death_is_not_given_up(planned, cpu):
    out = planned()
    points = load_plan(out)
    job = Job(tuple(p["id"] for p in points))
    attempts = Attempts(out, {p["id"]: p["trunk"] for p in points})
    for point in points[:3]:
        attempts.begin(job)
        run_job([point], "alone", Desk(out, cpu))
        job, events = attempts.end(job, "died", None, -9)
        assert not [e for e in events if e["event"] == "given up"]
    assert job is not None


def test_the_curve_stays_with_its_record(planned, cpu):
    """As when a process that was given up for lost ends after another one has."""
    out = planned()
    point = load_plan(out)[0]
    run_job([point], "alone", Desk(out, cpu))
    files = PointFiles.of(out, point["id"])
    before = files.curve.read_bytes(), files.record.read_bytes()
    late = Outcome("done", 1, loss=9.0, curve=[[1, 1, 1.0, 9.0, 9.0, 0.1, 1.0]])
    assert keep(out, point, late, cpu, Setup())["loss"] != 9.0
    assert (files.curve.read_bytes(), files.record.read_bytes()) == before


def test_a_record_that_cannot_be_read_is_not_trained_again(planned, monkeypatch):
    out = planned(design={**FIVE, "seeds": 1})
    driver.run(out, engine="debug", device="cpu")
    record = PointFiles.of(out, load_plan(out)[0]["id"]).record
    real = Path.read_text

    def unreadable(self, *args, **kwargs):
        if self == record:
            raise OSError(5, "Input/output error")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", unreadable)
    with pytest.raises(OutputError, match="cannot be read"):
        driver.run(out, engine="debug", device="cpu")
    monkeypatch.undo()
    assert [p.name for p in record.parent.glob("record*")] == ["record.json"]


def test_a_lock_that_cannot_be_read_holds(planned, monkeypatch):
    out = planned()
    hold(out, 999.0)
    real = Path.read_text

    def stale(self, *args, **kwargs):
        if self.name == "driver.lock":
            raise OSError(116, "Stale file handle")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", stale)
    with pytest.raises(TrainingError, match="cannot be read"):
        driver.run(out, engine="debug", device="cpu")
    assert lock.lock_file(out).exists()


def test_of_two_that_find_a_stale_lock_one_gets_it(planned, monkeypatch):
    """The second judged the stale one, and would remove what the first has put in its place."""
    out = planned()
    hold(out, 999.0)
    real = lock._read

    def slow(path):
        found = real(path)
        monkeypatch.setattr(lock, "_read", real)
        hold(out, 0.0, pid=2)  # the first driver is faster
        return found

    monkeypatch.setattr(lock, "_read", slow)
    with pytest.raises(TrainingError, match="process 2 on elsewhere"), lock.locked(out):
        pass
    assert lock.holder_of(out)["pid"] == 2
    assert not list(out.glob(".driver.lock*"))


def test_exceptions_of_earlier_starts_count(planned, failing):
    """Slurm starts a job again without a driver that would have counted."""
    out = planned(design={**FIVE, "seeds": 1})
    (point,) = load_plan(out)
    journal = Journal(out, "slurm-1_0")
    for _ in range(RETRIES):
        journal.tell("exception", point["id"], points=[point["id"]], traceback="x")
    failing[point["id"]] = 1
    order = order_of(point["id"], spare=RETRIES)
    result = perform(str(out), "cpu", {}, order, "slurm-1_0", versions_here(), again=True)
    assert result["end"] == "finished"
    assert read_record(out, point["id"])["status"] == "failed"


def test_no_folder_for_scratch_at_all(monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr("tempfile.gettempdir", none)
    with pytest.raises(TrainingError) as caught:
        task.fit_for_work({})
    assert caught.value.code == "SC315"


@pytest.mark.parametrize(
    ("gres", "devices", "asked"),
    [("gpu:a100", 4, "gpu:a100:4"), ("gpu", 1, "gpu:1"), ("gpu:h200:2", 1, "gpu:h200:2"),
     (None, 4, "gpu:4")],
)  # fmt: skip
def test_what_slurm_is_asked_for(gres, devices, asked):
    settings = {"gres": gres, "extra": {"nice": 0, "exclusive": True, "requeue": False}}
    flags = directives(settings, on_gpu=True, devices=devices)
    assert flags["gres"] == asked
    assert (flags["nice"], flags["exclusive"]) == (0, True)
    assert "requeue" not in flags


def test_the_tuning_stage_is_what_is_looked_at_while_it_runs(planned, tmp_path):
    out = planned()
    (out / "tuning").mkdir()
    (out / "tuning" / "plan.jsonl").write_bytes((out / "plan.jsonl").read_bytes())
    assert "the tuning stage" not in cli("sweep", "status", out).stderr
    hold(out / "tuning", 0.0)
    assert "the tuning stage" in cli("sweep", "status", out).stderr


# ------------------------------------------------------------------------------------ without a GPU


def test_a_fraction_of_a_gpu_comes_with_its_part_of_the_memory(planned, monkeypatch):
    """What Ray is asked for and what its process is told, by a stand-in for the task."""
    pytest.importorskip("ray")
    from scaling.training.engines import ray as module

    asked = []

    class Task:
        def options(self, **options):
            asked.append(options)
            return self

        def remote(self, *words):
            asked.append(words)
            return len(asked)

    monkeypatch.setattr(module, "_remote_task", lambda gpu: asked.append(gpu) or Task())
    out = planned()
    points = load_plan(out)
    trunks = {p["id"]: p["trunk"] for p in points}
    setup = {"ray": {"gpus": 0.25, "cpus": 2, "memory_gib": 1}}
    engine = module.RayEngine(out, None, "cuda", setup, trunks)
    engine.machines.lost["abc"] = TrainingError(Fault("SC315", "x", "y"))
    engine._start(Job((points[0]["id"],)))
    gpu, options, words = asked
    assert gpu is True
    assert (options["num_gpus"], options["num_cpus"], options["memory"]) == (0.25, 2.0, 2**30)
    assert options["label_selector"] == {"ray.io/node-id": "!in(abc)"}
    assert words[1] == "cuda"
    assert words[2] == {"share": 0.25}
    engine._start(Job((points[1]["id"],), devices=4))
    assert asked[4]["num_gpus"] == 4.0
    assert asked[5][2] == {}


def test_a_share_limits_the_memory_of_a_gpu_alone(monkeypatch):
    limits = []
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda part, device: limits.append(part)
    )
    prepare_share(torch.device("cpu"), Setup(share=0.25))
    prepare_share(torch.device("cuda"), Setup())
    prepare_share(torch.device("cuda"), Setup(share=0.25))
    assert limits == [0.25]


def test_processes_that_share_a_gpu_divide_its_memory(planned, monkeypatch):
    monkeypatch.setattr(local, "visible_gpus", lambda: ["0", "1"])
    monkeypatch.setattr(LocalEngine, "_open", lambda self, number: self.slots.append(number))
    out = planned()
    points = load_plan(out)
    trunks = {p["id"]: p["trunk"] for p in points}
    for jobs, share in ((4, 0.5), (2, None)):
        engine = LocalEngine(out, 4, "cuda", {}, trunks)
        engine.submit([Job((p["id"],)) for p in points[:jobs]])
        assert json.loads(engine.command[5]).get("share") == share
        assert len(engine.slots) == jobs
