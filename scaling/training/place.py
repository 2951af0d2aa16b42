"""Whether a folder can hold a sweep, and what works on the sweep that it holds."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scaling.errors import Fault, OutputError, ScalingError, counted
from scaling.runs.files import check_writable, commit_once, temporary_name
from scaling.runs.records import load_plan
from scaling.training.engines.base import Check
from scaling.training.engines.slurm_commands import living
from scaling.training.engines.task import ROOM, fit_for_work
from scaling.training.lock import gone, holder_of

ELSEWHERE = "choose an -o on another file system"


def checks(folder: Path) -> Iterator[Check]:
    """Look at a folder that is to be written: its space, its hard links, and the scratch folder."""
    written = _written(folder)
    yield written
    if written.ok:
        yield _linked(folder)
    yield _scratch()


def _written(folder: Path) -> Check:
    try:
        check_writable(temporary_name(folder / "doctor"))
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(ROOM))
            probe.flush()
    except (OutputError, OSError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        why = getattr(cause, "strerror", None) or str(cause)
        mend = "choose a writable -o with free space"
        return Check("folder", f"{folder} cannot be written: {why}", "SC003", mend)
    free = shutil.disk_usage(folder).free / 2**30
    return Check("folder", f"{folder} can be written, {free:.1f} GiB free")


def _linked(folder: Path) -> Check:
    """Commit a file as records are."""
    path = temporary_name(folder / "doctor-link")
    try:
        commit_once(path, "")
    except OutputError as error:
        cause = error.__cause__
        why = getattr(cause, "strerror", None) or str(cause)
        found = f"{folder} cannot hold records, which are committed by hard links: {why}"
        return Check("hard links", found, "SC003", ELSEWHERE)
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    return Check("hard links", "records can be committed")


def _scratch() -> Check:
    try:
        fit_for_work({})
    except ScalingError as error:
        fault = error.faults[0]
        return Check("TMPDIR", f"{fault.where} {fault.found}", fault.code, fault.mend)
    except OSError as error:  # no folder at all is usable
        return Check("TMPDIR", error.strerror or str(error), "SC315", "set TMPDIR to a folder")
    return Check("TMPDIR", "can be written")


# ------------------------------------------------------------------------------------------ sweep


def sweep_of(folder: Path) -> Path | None:
    """The sweep that a folder holds, which may be that of its tuning stage; None if it has none."""
    there = [place for place in (folder, folder / "tuning") if (place / "plan.jsonl").is_file()]
    return there[0] if there else None


def sweep_checks(out: Path | None, engine: str) -> Iterator[Check]:
    """Look at a sweep: its plan, who drives it, and its jobs in Slurm."""
    if out is None:
        mend = "scaling sweep plan FILE.toml -o OUT"
        yield Check("plan", "none in this folder", "SC005", mend, optional=True)
        return
    try:
        yield Check("plan", counted(len(load_plan(out)), "point"))
    except ScalingError as error:
        yield _of(error.faults[0])
        return
    yield Check("driver", _driver(out))
    if not (out / "slurm").is_dir():
        return
    try:
        jobs = len(living(out))
    except ScalingError as error:
        yield _of(error.faults[0])
        return
    found = f"{counted(jobs, 'job')} of this sweep {'is' if jobs == 1 else 'are'} in Slurm"
    if jobs and engine != "slurm":
        mend = f"scaling sweep cancel {out}"
        found = f"{found}, and would be trained twice by --engine {engine}"
        yield Check("jobs", found, "SC301", mend)
    else:
        yield Check("jobs", found)


def _driver(out: Path) -> str:
    holder = holder_of(out)
    if holder is None:
        return "none works on this sweep"
    here = holder.get("host") == socket.gethostname()
    named = f"process {holder['pid']} on {'this' if here else 'another'} machine"
    if gone(holder):
        return f"{named} has ended without releasing this sweep; the next run clears that"
    return f"{named} works on this sweep since {holder.get('since')}"


def _of(fault: Fault) -> Check:
    return Check(fault.where, fault.found, fault.code, fault.mend)
