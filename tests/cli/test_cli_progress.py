"""The live table and its lines: what they say, that they fit a screen, and ``--track``."""

import re

import pytest
from rich.console import Console
from typer.testing import CliRunner

from scaling.cli.app import app
from scaling.cli.progress import SHOWN, WIDTHS, Board, about, brief
from scaling.training.trackers import base

BATCH = 2**19
STUDY = """
schema = 1
[data]
source = "markov"
[model]
context = 16
[design]
kind = "grid"
params = [9e2]
data = [4e3]
"""


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def point(k, *, budget=1.58e21, N=1_234_567_890, steps=123_456, group="g"):
    D = steps * BATCH
    return {"id": f"{k:02d}" + "f" * 14, "group": group, "budget": budget, "N": N, "D": D,
            "C": 6.0 * N * D, "steps": steps, "batch": BATCH, "lr": 1e-3}  # fmt: skip


def board(points, folder, clock=None):
    return Board(points, folder, clock or Clock())


def start(view, *points):
    for p in points:
        view.take({"event": "start", "id": p["id"]})


def progress(view, p, step, **fields):
    view.take({"event": "progress", "id": p["id"], "step": step, "loss": 3.25, **fields})


def done(p, status="done", **fields):
    loss = 2.5 if status == "done" else None
    return {"event": "done", "id": p["id"], "status": status, "loss": loss, "seconds": None,
            "cause": None, **fields}  # fmt: skip


def lines_of(view, width=80):
    console = Console(width=width)
    with console.capture() as capture:
        console.print(view.view())
    return capture.get().splitlines()


def test_a_full_table_fits_a_screen_and_cuts_nothing(tmp_path):
    points = [point(k) for k in range(20)]
    view = board(points, tmp_path)
    view.take({"event": "ready", "device": "cuda", "peak": 9.89e14})
    start(view, *points)
    for p in points:
        progress(view, p, 120_000, rate=0.0123)
    lines = lines_of(view)
    assert len(lines) == 1 + 1 + SHOWN + 1
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines[:-1])
    assert lines[1].split() == list(WIDTHS)
    assert lines[2].split() == [
        "00ffffff", "1.58e+21", "1.23G", "64.7G", "120k/123k", "97", "3.2500", "6.45k", "4.8%",
        "3.2", "d",
    ]  # fmt: skip
    assert lines[-1] == "… and 8 more points that run"


def test_columns_that_nothing_is_known_of_are_left_out(tmp_path):
    p = point(1, budget=None)
    view = board([p], tmp_path)
    start(view, p)
    progress(view, p, 20)
    head = lines_of(view)[1].split()
    assert head == [name for name in WIDTHS if name not in ("budget", "MFU")]


def test_the_headline_adds_workers_up_and_says_how_points_ended(tmp_path):
    clock = Clock()
    points = [point(k, steps=1000) for k in range(6)]
    view = board(points, tmp_path, clock)
    start(view, *points[:2])
    clock.now += 100.0
    for p in points[:2]:
        progress(view, p, 100, rate=1.0)
    # two at a step a second, 5800 steps left
    assert lines_of(view)[0] == "0/6 points, 1.05M tokens/s, 7.77 PFLOP/s, 48 min left"
    view.take(done(points[0]))
    view.take(done(points[1], "diverged"))
    view.take(done(points[2], "failed"))
    assert lines_of(view)[0].startswith("3/6 points (1 diverged, 1 failed), ")


def test_speed_without_a_rate_comes_from_times_and_steps(tmp_path):
    clock = Clock()
    p = point(1)
    view = board([p], tmp_path, clock)
    start(view, p)
    progress(view, p, 20)
    for step in (40, 60, 80):
        clock.now += 10.0
        progress(view, p, step)
    pace = view.paces.running[p["id"]]
    assert pace.rate == pytest.approx(2.0)
    assert pace.tokens_per_second == pytest.approx(2.0 * BATCH)
    assert pace.flops_per_second == pytest.approx(2.0 * p["C"] / p["steps"])
    assert pace.seconds_left() == pytest.approx((p["steps"] - 80) / 2.0)


def test_the_time_left_counts_flop_workers_and_the_slowest_point(tmp_path):
    clock = Clock()
    large, small = point(1, steps=1000), point(2, steps=1000, N=1_234_567)
    view = board([large, small], tmp_path, clock)
    assert view.eta() is None
    start(view, large, small)
    clock.now += 100.0
    progress(view, large, 500, rate=5.0)
    progress(view, small, 20, rate=0.2)
    # by FLOP half is done, so 100 s are left; the small one, slow, needs 4900 s
    assert view.eta() == pytest.approx(4900.0)
    view.take(done(small))
    assert view.eta() == pytest.approx(100.0, rel=0.01)


def test_what_a_checkpoint_held_was_not_computed_now(tmp_path):
    clock = Clock()
    p = point(1, steps=1000)
    view = board([p], tmp_path, clock)
    start(view, p)
    clock.now += 10.0
    progress(view, p, 910, rate=1.0)
    assert view.paces.running[p["id"]].first == 900
    assert view.eta() == pytest.approx(90.0)


def test_points_of_which_nothing_is_heard_before_their_end(tmp_path):
    """The debug engine says start and end together."""
    clock = Clock()
    points = [point(k, steps=1000) for k in range(4)]
    view = board(points, tmp_path, clock)
    clock.now += 50.0
    start(view, points[0])
    view.take(done(points[0], seconds=50.0))
    assert view.eta() == pytest.approx(150.0)
    assert view.line(done(points[0], seconds=50.0)) == (
        "[1/4 points, 2.5 min left] 00ffffffffffffff C 1.58e+21 N 1234567890 done loss 2.5000 "
        "10.5M tokens/s"
    )


def test_a_finished_sweep_has_no_time_left(tmp_path):
    p = point(1, budget=None, group="g/tuning")
    view = board([p], tmp_path)
    start(view, p)
    view.take(done(p, "diverged", seconds=3.0))
    assert view.headline() == "1/1 points (1 diverged)"
    line = view.line(done(p, "diverged", seconds=3.0))
    assert line.endswith(f"{p['id']} N 1234567890 lr 0.001 diverged")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (870, "870"), (999.4, "999"), (999.9, "1.00k"), (13_440, "13.4k"),
     (123_456, "123k"), (999_960, "1.00M"), (2.05e12, "2.05T"), (4.4e18, "4.40E")],
)  # fmt: skip
def test_amounts_take_five_characters(value, text):
    assert brief(value) == text
    assert len(text) <= 5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (119.0, "119 s"), (130.0, "2.2 min"), (3000.0, "50 min"), (20_000.0, "5.6 h"),
     (4e5, "4.6 d"), (4e7, "463 d")],
)  # fmt: skip
def test_times_have_two_digits(seconds, text):
    assert about(seconds) == text


# -------------------------------------------------------------------------------------- --track


@pytest.mark.parametrize("command", [("sweep", "run"), ("study",)])
def test_an_unknown_tracker_is_refused(refused, write, command):
    write("s.toml", STUDY)
    out = refused(*command, "s.toml", "-o", "out", "--track", "nope", code="SC004")
    assert '--track  "nope"' in out.stderr
    assert "one of tensorboard, wandb, mlflow" in out.stderr


def test_an_unknown_tracker_in_a_study_is_refused(refused, write):
    write("s.toml", STUDY + '[engine]\ntrack = ["tensorbord"]\n')
    out = refused("sweep", "run", "s.toml", "-o", "out", code="SC012")
    assert "tensorboard" in out.stderr


@pytest.mark.parametrize("command", [["sweep", "run"], ["study"]])
def test_a_missing_tracker_stops_before_anything_is_written(monkeypatch, tmp_path, command):
    monkeypatch.setattr(base, "_installed", lambda package: package != "wandb")
    file = tmp_path / "s.toml"
    file.write_text(STUDY)
    arguments = [*command, str(file), "-o", str(tmp_path / "out"), "--track", "wandb"]
    done = CliRunner().invoke(app, arguments)
    assert done.exception.code == "SC001"
    assert re.search(r"pip install 'scaling-study\[trackers\]'", str(done.exception))
    assert not (tmp_path / "out").exists()
