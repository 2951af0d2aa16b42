"""The driver and its engines: every point one record, one row; failures, the lock, status."""

import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

torch = pytest.importorskip("torch")

from typer.testing import CliRunner  # noqa: E402

from scaling.cli.app import app  # noqa: E402
from scaling.errors import ConfigError, TrainingError, counted  # noqa: E402
from scaling.runs.read import read_table  # noqa: E402
from scaling.runs.records import PointFiles, commit_record, load_plan, read_record  # noqa: E402
from scaling.training import driver, lock  # noqa: E402
from scaling.training.engines import local  # noqa: E402
from scaling.training.engines.attempts import MAX_STARTS  # noqa: E402
from scaling.training.engines.base import Job  # noqa: E402
from scaling.training.engines.local import LocalEngine  # noqa: E402

DEAD = 2**22 + 1  # above the largest process id


def cli(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def rows(out):
    with (out / "results.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def records(out):
    """Return the records of the plan's points, their seconds aside; each must be the only one."""
    found = {}
    for point in load_plan(out):
        folder = PointFiles.of(out, point["id"]).folder
        assert [path.name for path in folder.glob("record*")] == ["record.json"]
        found[point["id"]] = read_record(out, point["id"])
        for name in ("seconds", "effort"):
            found[point["id"]].pop(name, None)
    return found


def change(out, position, **fields):
    """Change a point of the plan on disk; its id stays."""
    points = load_plan(out)
    points[position] |= fields
    (out / "plan.jsonl").write_text("".join(json.dumps(p) + "\n" for p in points))
    return points[position]["id"]


# ------------------------------------------------------------------------------ a troubled sweep


@pytest.fixture(scope="module")
def troubled(plan_into, tmp_path_factory):
    """Run a sweep with a failing and a diverging point on each engine."""
    found = {}
    for engine in ("debug", "local"):
        out = plan_into(tmp_path_factory.mktemp(engine))
        failing = change(out, 0, N=1)
        point = load_plan(out)[1]
        diverging = change(out, 1, optimizer=point["optimizer"] | {"lr": 1e4})
        summary = driver.run(out, engine=engine, device="cpu", workers=2)
        found[engine] = out, summary, failing, diverging
    torch.set_flush_denormal(False)
    return found


@pytest.mark.parametrize("engine", ["debug", "local"])
def test_a_failing_and_a_diverging_point_are_kept_and_others_go_on(troubled, engine):
    out, summary, failing, diverging = troubled[engine]
    assert summary.counts == {"done": 2, "diverged": 1, "failed": 1, "too-big": 0}
    assert summary.trained == 4
    assert [m.code for m in summary.messages] == ["SC303", "SC302"]
    found = records(out)
    assert "AssertionError: the model has" in found[failing]["cause"]
    assert (found[failing]["status"], found[failing]["loss"]) == ("failed", None)
    assert (found[diverging]["status"], found[diverging]["loss"]) == ("diverged", None)
    assert "not finite" in found[diverging]["cause"]


@pytest.mark.parametrize("engine", ["debug", "local"])
def test_every_point_is_exactly_one_row(troubled, engine):
    out, _, failing, diverging = troubled[engine]
    table = rows(out)
    points = load_plan(out)
    assert [row["run"] for row in table] == [p["id"] for p in points]
    status = {row["run"]: row["status"] for row in table}
    assert (status[failing], status[diverging]) == ("failed", "diverged")
    for row, point in zip(table, points, strict=True):
        record = read_record(out, point["id"])
        assert row["loss"] == ("" if record["loss"] is None else repr(record["loss"]))
        for name in ("N", "D", "C", "C_6nd", "N_embedding", "N_head", "N_body", "seed", "lr"):
            assert float(row[name]) == point[name]
    lines = (out / "records.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [p["id"] for p in points]
    read = read_table(out / "results.csv")
    assert (len(read), int(read.used.sum())) == (4, 2)


def test_engines_give_equal_records(troubled):
    debug, local = troubled["debug"][0], troubled["local"][0]
    assert records(debug) == records(local)
    assert (debug / "results.csv").read_bytes() == (local / "results.csv").read_bytes()
    for point in load_plan(debug):
        curves = [PointFiles.of(out, point["id"]).curve.read_bytes() for out in (debug, local)]
        assert curves[0] == curves[1]


def test_running_again_trains_nothing_and_changes_nothing(troubled):
    out = troubled["local"][0]
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.suffix != ".log"}
    summary = driver.run(out, engine="local", device="cpu")
    assert summary.trained == 0
    assert summary.counts == {"done": 2, "diverged": 1, "failed": 1, "too-big": 0}
    after = {p: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.suffix != ".log"}
    assert after == before


def test_results_are_made_from_the_records_alone(troubled):
    out = troubled["debug"][0]
    before = (out / "results.csv").read_bytes(), (out / "records.jsonl").read_bytes()
    (out / "results.csv").write_text("run,loss\nmade-up,1.0\n")
    (out / "records.jsonl").unlink()
    assert driver.run(out, engine="debug").trained == 0
    assert ((out / "results.csv").read_bytes(), (out / "records.jsonl").read_bytes()) == before


def test_status_of_the_sweep(troubled):
    out, _, failing, diverging = troubled["local"]
    done = cli("sweep", "status", out, "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["schema"] == "scaling/status@1"
    assert found["counts"] == {
        "done": 2, "running": 0, "failed": 1, "diverged": 1, "too-big": 0, "pending": 0
    }  # fmt: skip
    states = {row["id"]: row for row in found["points"]}
    assert list(states) == [p["id"] for p in load_plan(out)]
    assert states[failing]["status"] == "failed"
    assert "AssertionError" in states[failing]["cause"]
    assert (states[diverging]["status"], states[diverging]["loss"]) == ("diverged", None)
    for row in states.values():
        if row["status"] == "done":
            assert row["step"] == row["steps"]
            assert row["loss"] == read_record(out, row["id"])["loss"]


def test_the_command_ends_with_1_where_a_point_failed(troubled):
    done = cli("sweep", "run", troubled["debug"][0], "--engine", "debug")
    assert done.exit_code == 1
    assert "SC302" in done.stderr
    assert "SC303" in done.stderr


# ------------------------------------------------------------------------------------- rerunning


def test_status_before_and_while_points_run(planned):
    out = planned()
    points = load_plan(out)
    for point, age in zip(points, (0.0, 3600.0), strict=False):
        files = PointFiles.of(out, point["id"])
        files.folder.mkdir(parents=True)
        state = {"step": 20, "steps": 31, "loss": 2.5, "updated": time.time() - age}
        files.progress.write_text(json.dumps(state))
    PointFiles.of(out, points[2]["id"]).folder.mkdir(parents=True)
    PointFiles.of(out, points[2]["id"]).progress.write_text('{"step": 2')
    done = cli("sweep", "status", out)
    assert done.exit_code == 0
    header, *lines = done.stdout.splitlines()
    assert header.split() == ["point", "budget", "N", "status", "step/steps", "loss"]
    assert [line.split()[0] for line in lines] == [p["id"] for p in points]
    assert [line.split()[2] for line in lines] == ["running", "pending", "pending", "pending"]
    assert lines[0].split()[3:] == [f"20/{points[0]['steps']}", "2.5000"]
    assert lines[3].split()[3:] == [f"0/{points[3]['steps']}"]
    assert "1 running, 3 pending" in done.stderr


def test_a_folder_without_a_plan(tmp_path):
    done = cli("sweep", "status", tmp_path)
    assert getattr(done.exception, "code", None) == "SC005"


def test_retry_sets_the_old_record_aside(planned):
    out = planned(design={"kind": "grid", "params": [9e2], "data": [4e3, 8e3]})
    good = (out / "plan.jsonl").read_bytes()
    name = change(out, 0, N=1)
    driver.run(out, engine="debug", device="cpu")
    first = PointFiles.of(out, name).record.read_bytes()
    (out / "plan.jsonl").write_bytes(good)
    assert driver.run(out, engine="debug", retry_statuses=["diverged"]).trained == 0
    assert driver.run(out, engine="debug", retry_statuses=["failed"]).trained == 1
    folder = PointFiles.of(out, name).folder
    assert (folder / "record.1.json").read_bytes() == first
    assert read_record(out, name)["status"] == "done"
    assert [row["status"] for row in rows(out)] == ["done", "done"]


def test_diverged_points_run_again_only_when_asked(planned):
    out = planned(
        design={"kind": "grid", "params": [9e2], "data": [4e3]}, recipe={"overrides": {"lr": 1e4}}
    )
    (point,) = load_plan(out)
    for expected in (1, 0, 0):
        done = cli("sweep", "run", out, "--engine", "debug", "--json")
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout)["counts"]["diverged"] == 1
        assert f"{counted(expected, 'point')} trained" in done.stderr
        assert "SC303" in done.stderr
    assert rows(out)[0]["loss"] == ""
    assert cli("sweep", "run", out, "--engine", "debug", "--retry", "diverged").exit_code == 0
    assert PointFiles.of(out, point["id"]).folder.joinpath("record.1.json").exists()
    assert [row["status"] for row in rows(out)] == ["diverged"]


def test_a_damaged_record_counts_as_none(planned):
    out = planned(design={"kind": "grid", "params": [9e2], "data": [4e3, 8e3]})
    driver.run(out, engine="debug", device="cpu")
    before = (out / "results.csv").read_bytes()
    files = PointFiles.of(out, load_plan(out)[0]["id"])
    text = files.record.read_bytes()
    files.record.write_bytes(text[: len(text) // 2])
    assert driver.run(out, engine="debug", device="cpu").trained == 1
    assert (files.folder / "record.1.json").read_bytes() == text[: len(text) // 2]
    assert (out / "results.csv").read_bytes() == before


def test_points_of_another_plan_stay_on_disk_and_leave_the_table(planned):
    out = planned(design={"kind": "grid", "params": [9e2], "data": [4e3, 8e3]})
    driver.run(out, engine="debug", device="cpu")
    old, shared = load_plan(out)
    planned(design={"kind": "grid", "params": [9e2], "data": [8e3, 1.2e4]})
    summary = driver.run(out, engine="debug", device="cpu")
    assert summary.trained == 1
    points = load_plan(out)
    assert shared["id"] in [p["id"] for p in points]
    assert [row["run"] for row in rows(out)] == [p["id"] for p in points]
    assert read_record(out, old["id"])["status"] == "done"


def test_the_longest_points_come_first(planned):
    out, started = planned(), []
    driver.run(
        out,
        engine="debug",
        device="cpu",
        listener=lambda e: started.append(e["id"]) if e["event"] == "start" else None,
    )
    cost = {p["id"]: p["C"] for p in load_plan(out)}
    assert [cost[name] for name in started] == sorted(cost.values(), reverse=True)


def test_the_debug_engine_leaves_the_process_as_it_was(planned):
    tiny, threads = 5e-324, torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        driver.run(planned(), engine="debug", device="cpu")
        assert torch.get_num_threads() == 2
        assert tiny * 1.0 == 5e-324
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("engine", ["debug", "local"])
def test_other_data_than_planned_stop_the_sweep_without_a_record(planned, engine):
    out = planned()
    data = load_plan(out)[0]["data"] | {"hash": "0" * 64}
    for position in range(4):
        name = change(out, position, data=data)
    with pytest.raises(TrainingError, match="as planned") as caught:
        driver.run(out, engine=engine, device="cpu", workers=1)
    assert caught.value.code == "SC305"
    assert read_record(out, name) is None
    assert rows(out) == []
    assert not (out / "driver.lock").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
@pytest.mark.parametrize("engine", ["debug", "local"])
def test_cuda_without_a_device_is_refused(planned, engine):
    with pytest.raises(TrainingError) as caught:
        driver.run(planned(), engine=engine, device="cuda")
    assert caught.value.code == "SC306"


# ------------------------------------------------------------------------------------------ lock


def test_a_second_runner_is_refused(planned):
    out = planned()
    with lock.locked(out):
        held = (out / "driver.lock").read_bytes()
        with pytest.raises(TrainingError, match=f"process {os.getpid()} works") as caught:
            driver.run(out, engine="debug")
        assert (out / "driver.lock").read_bytes() == held
    assert caught.value.code == "SC301"
    assert caught.value.exit_code == 1
    assert not (out / "driver.lock").exists()
    assert all(read_record(out, p["id"]) is None for p in load_plan(out))


def lock_of(**changes):
    return json.dumps(lock._identity() | changes)


@pytest.mark.parametrize(
    "text",
    [lock_of(pid=DEAD), lock_of(started="1"), "", "{", "[]"],
    ids=["process gone", "id used again", "empty", "cut off", "not ours"],
)
def test_a_stale_lock_is_cleared(planned, text):
    out = planned(design={"kind": "grid", "params": [9e2], "data": [4e3]})
    (out / "driver.lock").write_text(text)
    assert driver.run(out, engine="debug", device="cpu").counts["done"] == 1
    assert not (out / "driver.lock").exists()


def test_a_lock_of_another_machine_holds(planned):
    out = planned()
    (out / "driver.lock").write_text(lock_of(host="elsewhere", pid=DEAD))
    with pytest.raises(TrainingError, match="on elsewhere works") as caught:
        driver.run(out, engine="debug")
    assert caught.value.code == "SC301"
    assert (out / "driver.lock").exists()


# ------------------------------------------------------------------- supervision, without torch

STUB = """
    import json, os, signal, sys
    from pathlib import Path
    from scaling.runs.records import PointFiles, commit_record, load_plan

    out, rule = Path(sys.argv[1]), sys.argv[2]
    points = {p["id"]: p for p in load_plan(out)}
    first = next(iter(points))
    starts = out / "starts"

    def say(event, **fields):
        print(json.dumps({"event": event, **fields}), flush=True)

    def count(name):
        with starts.open("a") as handle:
            handle.write(name + "\\n")
        return starts.read_text().split().count(name)

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    if rule == "never":
        sys.exit(3)
    if rule == "unborn" and count("worker") == 1:
        die()
    say("ready", device="cpu")
    for line in sys.stdin:
        (name,) = json.loads(line)["points"]
        say("start", id=name)
        if name == first and rule != "unborn":
            started = count(name)
            files = PointFiles.of(out, name)
            files.folder.mkdir(parents=True, exist_ok=True)
            if rule == "poison":
                die()
            if rule == "leaves" and started < 6:
                say("stopped", id=name)
                sys.exit(0)
            if rule == "progress" and started < 6:
                (files.folder / f"checkpoint-{started:010d}.pt").touch()
                die()
        fields = {"loss": 1.0, "cause": None, "seconds": 0.0}
        commit_record(out, {"id": name, "status": "done", "steps_done": 1, **fields,
                            "point": points[name]})
        if name == first and rule == "mute":
            die()
        if name == first and rule == "half":
            os.write(1, b'{"event": "do')
            die()
        say("done", id=name, status="done", **fields)
        say("finished")
"""


@pytest.fixture
def supervise(planned, tmp_path):
    """Run the tiny plan with workers that follow a rule; return the folder and the events."""
    stub = tmp_path / "stub.py"
    stub.write_text(textwrap.dedent(STUB))

    def run(rule, workers=2):
        out = planned()
        points = load_plan(out)
        engine = LocalEngine(out, workers, "cpu", {}, {p["id"]: p["trunk"] for p in points})
        engine.command = [sys.executable, str(stub), str(out), rule]
        events, end = [], time.monotonic() + 60
        engine.submit([Job((point["id"],)) for point in points])
        try:
            while engine.busy() and time.monotonic() < end:
                for event in engine.poll(0.5):
                    lost = event["event"] == "given up"
                    events.append(driver.kept_as_failed(out, points, event) if lost else event)
            assert not engine.busy()
        finally:
            slots = list(engine.slots)
            engine.cancel()
        assert all(slot.process.poll() is not None for slot in slots)
        return out, events

    return run


def test_a_point_that_kills_its_workers_is_given_up(supervise):
    out, events = supervise("poison")
    found = records(out)
    first, *rest = found
    assert found[first]["status"] == "failed"
    assert f"died {MAX_STARTS} times" in found[first]["cause"]
    (point, *_) = load_plan(out)
    assert found[first]["provenance"]["data"] == point["data"]["hash"]
    assert found[first]["provenance"]["torch"] == torch.__version__
    assert [found[name]["status"] for name in rest] == ["done"] * 3
    kinds = [e["event"] for e in events if e.get("id") == first]
    assert kinds == ["start", "lost", "start", "lost", "start", "done"]


def test_a_point_that_gets_on_is_not_given_up(supervise):
    out, events = supervise("progress")
    assert {record["status"] for record in records(out).values()} == {"done"}
    assert [e["event"] for e in events].count("lost") == 5


def test_a_worker_that_is_asked_to_leave_has_not_died(supervise):
    out, events = supervise("leaves")
    assert {record["status"] for record in records(out).values()} == {"done"}
    kinds = [e["event"] for e in events]
    assert (kinds.count("stopped"), kinds.count("lost")) == (5, 0)


@pytest.mark.parametrize("rule", ["mute", "half"])
def test_a_worker_that_dies_after_its_record_has_done_its_work(supervise, rule):
    out, events = supervise(rule, workers=1)
    assert {record["status"] for record in records(out).values()} == {"done"}
    done = [e["id"] for e in events if e["event"] == "done"]
    assert sorted(done) == sorted(records(out))
    assert "lost" not in [e["event"] for e in events]


def test_a_worker_killed_while_it_starts_is_replaced(supervise):
    out, _ = supervise("unborn")
    assert {record["status"] for record in records(out).values()} == {"done"}


def test_workers_that_cannot_start_stop_the_sweep(supervise):
    with pytest.raises(TrainingError, match="a worker could not start") as caught:
        supervise("never")
    assert caught.value.code == "SC302"


def worker(out, text):
    """Start a real worker and give it this text on standard input."""
    process = subprocess.Popen(
        [sys.executable, "-m", "scaling.training.worker", str(out), "cpu", "{}", "w"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    process.stdin.write(text)
    process.stdin.flush()
    return process


@pytest.mark.parametrize("text", ["", '{"points": ["0'], ids=["between lines", "within a line"])
def test_a_worker_leaves_when_standard_input_ends(planned, text):
    process = worker(planned(), text)
    try:
        process.stdin.close()
        process.wait(10)
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def test_a_worker_that_is_asked_to_leave_keeps_a_checkpoint(planned):
    out = planned(design={"kind": "grid", "params": [9e2], "data": [2e7]})
    (point,) = load_plan(out)
    process = worker(
        out, json.dumps({"points": [point["id"]], "kind": "alone", "spare": {}}) + "\n"
    )
    try:
        events = iter(process.stdout.readline, "")
        assert next(json.loads(e) for e in events if "progress" in e)["id"] == point["id"]
        process.send_signal(signal.SIGTERM)
        assert json.loads(list(events)[-1])["event"] == "stopped"
        process.wait(10)
    finally:
        process.kill()
        process.stdin.close()
        process.stdout.close()
        process.wait()
    files = PointFiles.of(out, point["id"])
    assert len(files.checkpoints()) == 1
    assert read_record(out, point["id"]) is None


@pytest.mark.parametrize("design", [{}, {"trunks": True}])
def test_the_debug_engine_stops_at_a_deadline(planned, design):
    out = planned(design={"kind": "grid", "params": [9e2], "data": [2e7], **design})
    (point,) = load_plan(out)
    summary = driver.run(out, engine="debug", device="cpu", deadline=0.3)
    assert (summary.stopped, summary.trained) == ("deadline", 0)
    assert [m.code for m in summary.messages] == ["SC313"]
    assert len(PointFiles.of(out, point["id"]).checkpoints()) == 1
    assert read_record(out, point["id"]) is None


def test_what_killed_processes_left_is_removed(planned):
    recipe = {"overrides": {"decay": 0.2, "warmup_steps": 10}}
    design = {"kind": "grid", "params": [9e2], "data": [6e3, 1.2e4], "trunks": True}
    out = planned(design=design, recipe=recipe)
    first, second = load_plan(out)
    driver.run(out, engine="debug", device="cpu", only=[first["id"]])
    whole = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    folder, trunk = PointFiles.of(out, first["id"]).folder, out / "trunks" / first["trunk"]
    for place in (folder, trunk, PointFiles.of(out, second["id"]).folder):
        place.mkdir(parents=True, exist_ok=True)
        for name in (".checkpoint-0000000040.pt.77.tmp", "checkpoint-0000000020.pt"):
            (place / name).write_bytes(b"cut off")
        (place / "checkpoint-0000000040.dcp.tmp").mkdir()
    (folder / "progress.json").write_text("{}")
    (out / ".results.csv.77.tmp").write_text("run,gr")
    driver.run(out, engine="debug", device="cpu", only=[first["id"]])
    left = {trunk / "checkpoint-0000000020.pt",
            PointFiles.of(out, second["id"]).folder / "checkpoint-0000000020.pt"}  # fmt: skip
    assert {p for p in out.rglob("*") if p.is_file()} == set(whole) | left
    assert all(p.read_bytes() == data for p, data in whole.items())
    driver.run(out, engine="debug", device="cpu", trunks=True)
    assert not [p for p in out.rglob("*") if "checkpoint" in p.name]


def test_a_record_is_committed_once(planned):
    out = planned()
    name = load_plan(out)[0]["id"]
    record = {"id": name, "status": "done", "loss": 1.0, "steps_done": 1}
    assert commit_record(out, record)
    assert not commit_record(out, record | {"loss": 2.0})
    assert read_record(out, name)["loss"] == 1.0


# ------------------------------------------------------------------------------------------ GPUs


@pytest.mark.parametrize(
    ("asked", "count", "found"),
    [("0,2", 2, ["0", "2"]), ("0,1", 0, []), ("", 4, []), ("-1", 4, []), ("3", 4, ["3"])],
)
def test_gpus_are_those_that_torch_sees(monkeypatch, asked, count, found):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", asked)
    monkeypatch.setattr(local, "_usable_gpus", lambda asked: count)
    assert local.visible_gpus() == found


@pytest.mark.skipif(torch.cuda.is_available(), reason="this torch sees GPUs")
def test_a_torch_without_cuda_sees_no_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert local.visible_gpus() == []


def test_more_devices_than_there_are_is_refused(planned, monkeypatch):
    out = planned()
    monkeypatch.setattr(driver, "visible_gpus", lambda: ["0", "1"])
    with pytest.raises(TrainingError, match="at most the 2 GPUs") as caught:
        driver.run(out, device="cuda", setup={"devices": 4})
    assert caught.value.code == "SC312"


def test_a_batch_that_the_devices_do_not_divide_is_refused(planned):
    with pytest.raises(TrainingError, match="8 sequences a step for 3 devices") as caught:
        driver.run(planned(), device="cpu", setup={"devices": 3})
    assert caught.value.code == "SC312"


def test_only_a_point_of_the_plan_can_be_chosen(planned):
    with pytest.raises(ConfigError, match="--only") as caught:
        driver.run(planned(), device="cpu", only=["zzz"])
    assert caught.value.exit_code == 2
