"""``scaling sweep status|logs|cancel``: what goes on in a sweep folder, from any machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from scaling.cli.app import sweep_app
from scaling.cli.common import print_json, talk
from scaling.cli.sweep import Json, kept_engine

Folder = Annotated[
    Path | None,
    typer.Argument(help="Sweep folder; this one or ./out if left out.", show_default=False),
]
HEADER = f"{'point':16}  {'budget':>9}  {'N':>9}  {'status':9} {'step/steps':^15} loss"
LOOK_SECONDS = 2.0
SHARE = 0.1  # of the time, at most, is spent on looking
CANCEL_SECONDS = 120.0
LINES = 200  # of what a process printed for a point, from the end


@sweep_app.command()
def status(
    out: Folder = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow it while somebody works on it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say how far every point of a sweep is.

    scaling sweep status out/quickstart --watch
    """
    from scaling.runs.records import PRETRAIN
    from scaling.runs.records import status as state

    out = _folder(out)
    if watch:
        _watch(out)
        if not as_json:
            return
    found = state(out)
    if as_json:
        print_json(found)
        return
    typer.echo(HEADER)
    for row in found["points"]:
        loss = "" if row["loss"] is None else f"{row['loss']:.4f}"
        budget = "" if row["budget"] is None else f"{row['budget']:9.3g}"
        line = f"{row['id']}  {budget:>9}  {row['N']:>9}  {row['status']:<9}"
        typer.echo(f"{line} {row['step']:>7}/{row['steps']:<7} {loss}".rstrip())
    talk(", ".join(f"{n} {name}" for name, n in found["counts"].items() if n))
    if (out / PRETRAIN / "plan.jsonl").is_file():
        first = state(out / PRETRAIN)["counts"]
        talk("pretraining: " + ", ".join(f"{n} {name}" for name, n in first.items() if n))
    if found["counts"]["pending"] + found["counts"]["running"]:
        talk(_at_work(out))


@sweep_app.command()
def logs(
    out: Folder = None,
    point: Annotated[
        str | None,
        typer.Argument(help="Id of a point, or how it begins; alone if OUT is left out."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell what happened to a point: its starts, exceptions, end, and what was printed.

    scaling sweep logs out/quickstart 3b78247
    """
    from scaling.errors import ConfigError, Fault
    from scaling.runs.records import PRETRAIN, load_plan, read_record
    from scaling.training.engines.journal import story
    from scaling.training.summary import headline

    if point is None and out is not None and not out.exists():
        out, point = None, str(out)
    out = _folder(out)
    if point is None:
        mend = f"scaling sweep status {out} names the points"
        raise ConfigError(Fault("SC004", "POINT", "is missing", "one point of the sweep", mend))
    found = [p["id"] for p in load_plan(out) if p["id"].startswith(point)]
    first = out / PRETRAIN
    if not found and (first / "plan.jsonl").is_file():
        out, found = first, [p["id"] for p in load_plan(first) if p["id"].startswith(point)]
    if len(found) != 1 or not point:
        text = f'"{point}"' if not found else f'"{point}" begins {len(found)} ids'
        mend = f"scaling sweep status {out}"
        raise ConfigError(Fault("SC004", "POINT", text, "one point of the sweep", mend))
    events, record = story(out, found[0]), read_record(out, found[0])
    if as_json:
        print_json({"schema": "scaling/logs@1", "id": found[0], "events": events})
        return
    for event in events:
        _tell_event(event)
    if record is not None:
        cause = f", {headline(record['cause'])}" if record["cause"] else ""
        typer.echo(f"record: {record['status']}{cause}")
    if not events and record is None:
        talk(f"{found[0]} has not been started")


@sweep_app.command()
def cancel(out: Folder = None) -> None:
    """Let running points keep a checkpoint, and end the sweep, wherever it runs.

    scaling sweep cancel out/quickstart
    """
    from scaling.runs.records import load_plan
    from scaling.training.lock import ask_to_stop, gone, holder_of, withdraw

    out = _folder(out)
    load_plan(out)
    holder = holder_of(out)
    if holder is not None and not gone(holder):
        talk(f"asking process {holder['pid']} on {holder['host']} to end")
        ask_to_stop(out, "scaling sweep cancel")
        if not _await(lambda: _ended(out, holder)):
            talk(f"it has not ended within {CANCEL_SECONDS:.0f} s; the request stays")
            raise typer.Exit(1)
        withdraw(out)  # it may have ended without seeing the request
        talk("ended; running points kept checkpoints, and the same command goes on")
    elif not _cancel_slurm(out):
        withdraw(out)
        talk("nothing works on this sweep")


# ---------------------------------------------------------------------------------------- pieces


def _folder(given: Path | None) -> Path:
    """The folder of the plan that is at work: stages that come first have their own."""
    from scaling.cli.places import sweep_folder
    from scaling.cli.stages import due
    from scaling.runs.records import PRETRAIN
    from scaling.training.lock import holder_of

    out = sweep_folder(given)
    small = out / "smoke"
    if not (out / "plan.jsonl").is_file() and small.is_dir():
        talk(f"the sweep of --smoke, in {small}")
        out = small
    first = out / PRETRAIN
    if (first / "plan.jsonl").is_file() and holder_of(first) is not None:
        talk(f"the pretraining stage, in {first}")
        return first
    tuning = out / "tuning"
    if not (tuning / "plan.jsonl").is_file():
        return out
    if (out / "plan.jsonl").is_file() and holder_of(tuning) is None and due(out) is None:
        return out
    talk(f"the tuning stage, in {tuning}; the design is planned once its rates are in")
    return tuning


def _at_work(out: Path) -> str:
    """Say who drives the sweep."""
    from scaling.training.lock import gone, holder_of

    holder = holder_of(out)
    if holder is None:
        return "no driver is at work" + _in_slurm(out)
    text = f"driver: process {holder['pid']} on {holder['host']}, since {holder['since']}"
    return f"{text}; it is gone" if gone(holder) else text


def _jobs_in_slurm(out: Path) -> int | None:
    """Jobs that a driver has left in Slurm; None where that cannot be known."""
    if not (out / "slurm").is_dir():
        return 0
    from scaling.errors import TrainingError
    from scaling.training.engines.slurm_commands import living

    try:
        return len(living(out))
    except TrainingError:
        return None


def _in_slurm(out: Path) -> str:
    from scaling.errors import counted

    jobs = _jobs_in_slurm(out)
    if jobs is None:
        return "; Slurm, which was given jobs of it, does not answer here"
    return f"; {counted(jobs, 'job')} in Slurm, which sweep run follows" if jobs else ""


def _watch(out: Path) -> None:
    """Show what runs, from the folder alone, until all points have records."""
    from scaling.cli.progress import watching
    from scaling.runs.records import load_plan

    points = load_plan(out)
    trunks = bool(kept_engine(out)[1].get("trunks"))
    talk(_at_work(out))
    with watching(points, out, trunks) as show:
        for event in _events(out, points):
            show(event)


def _events(out: Path, points: list[dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """What changes in a sweep folder, as a driver would tell it."""
    from scaling.runs.records import read_record
    from scaling.training.engines.base import done_event
    from scaling.training.engines.journal import Progress

    left = [p["id"] for p in points if read_record(out, p["id"]) is None]
    progress, over = Progress(out), False
    while left and not over:
        began, over = time.monotonic(), not _driven(out)  # what it left is told below
        yield from progress.events(left)
        for name in list(left):
            record = read_record(out, name)
            if record is not None:
                left.remove(name)
                yield done_event(record)
        if left and not over:
            time.sleep(max(LOOK_SECONDS, (time.monotonic() - began) / SHARE))


def _driven(out: Path) -> bool:
    """Whether a driver, or Slurm for all that is known here, works on a sweep."""
    from scaling.training.lock import gone, holder_of

    holder = holder_of(out)
    if holder is not None and not gone(holder):
        return True
    return _jobs_in_slurm(out) != 0


def _tell_event(event: Mapping[str, Any]) -> None:
    """Print an event of a point's story, with what was printed meanwhile."""
    when = datetime.fromtimestamp(event["time"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    kind, place = event["event"], event["process"]
    host = f" on {event['host']} (process {event['pid']})" if event.get("host") else ""
    text = {"start": f"started by {place}{host}", "stopped": "asked to stop; it kept a checkpoint"}
    text["done"] = f"ended: {event.get('status')}"
    why = event.get("why")
    typer.echo(f"{when}  {text.get(kind, kind)}" + f": {why}" * (why is not None))
    for name in ("traceback", "printed"):
        for line in str(event.get(name) or "").splitlines()[-LINES:]:
            typer.echo(f"    {line}")


def _ended(out: Path, driver: Mapping[str, Any]) -> bool:
    """Whether a driver holds its lock no more."""
    from scaling.training.lock import gone, holder_of

    now = holder_of(out)
    another = now is None or any(now.get(k) != driver.get(k) for k in ("host", "pid", "started"))
    return another or (now is not None and gone(now))


def _await(done: Callable[[], bool]) -> bool:
    end = time.monotonic() + CANCEL_SECONDS
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def _cancel_slurm(out: Path) -> bool:
    """Take what a driver has left in Slurm; return whether there was something."""
    if not (out / "slurm").is_dir():
        return False
    from scaling.errors import counted
    from scaling.training.engines.slurm_commands import cancel as take
    from scaling.training.engines.slurm_commands import living

    names = {name for name, _ in living(out)}
    if not names:
        return False
    talk("taking the jobs of this sweep from Slurm")
    ran, left = take(out, names)
    if left != 0:
        there = "Slurm does not say what is left" if left is None else f"{left} jobs are there yet"
        talk(f"{there}; the same command asks again")
        raise typer.Exit(1)
    talk(f"ended; {counted(ran, 'running job')} kept checkpoints")
    return True
