"""A process that trains jobs of a sweep, whoever started it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from scaling.errors import ScalingError
from scaling.runs.records import load_plan, rest
from scaling.training.desk import Desk
from scaling.training.device import device_of, peak_flops
from scaling.training.engines.base import fields_of
from scaling.training.job import run_job
from scaling.training.loop import Stopped
from scaling.training.setup import Setup, prepare_share


class Server:
    """Trains the jobs that it is given, one after another.

    Parameters
    ----------
    out : Path
        Sweep folder.
    device : {"auto", "cpu", "cuda"}
    setup : mapping
        Settings of `scaling.training.setup.Setup`.
    stop : callable
        Asked now and then; if true, the job at work keeps a checkpoint and ends.
    tell : callable
        Called with (event, point id or None, fields).

    Raises
    ------
    ScalingError
        If the device is not there or the plan cannot be read.
    """

    def __init__(
        self,
        out: Path,
        device: str,
        setup: Mapping[str, Any],
        stop: Callable[[], bool],
        tell: Callable[..., None],
    ) -> None:
        self.out, self.setup, self.stop, self.tell = out, Setup.of(setup), stop, tell
        self.device = device_of(device)
        prepare_share(self.device, self.setup)
        path = out / "plan.jsonl"
        stamp = path.stat().st_mtime_ns if path.exists() else 0
        self.plan, self.points = _plan(out, stamp)

    def peak(self) -> float | None:
        """FLOP/s of the device at best."""
        return peak_flops(self.device)[0]

    def run(self, job: Mapping[str, Any]) -> str:
        """Train a job; return ``finished``, ``stopped`` or ``error``, which was told, too."""
        current: str | None = None

        def tell(event: str, name: str | None = None, **fields: Any) -> None:
            nonlocal current
            current = name or current
            self.tell(event, name, **fields)

        desk = Desk(self.out, self.device, self.setup, self.plan, self.stop, tell, job["spare"])
        try:
            run_job([self.points[name] for name in job["points"]], job["kind"], desk)
        except Stopped:
            for name in job["points"]:
                rest(self.out, name)
            tell("stopped", current)
            return "stopped"
        except (ScalingError, OSError) as error:
            tell("error", current, **fields_of(error, self.out))
            return "error"
        tell("finished")
        return "finished"


@lru_cache(maxsize=2)
def _plan(out: Path, stamp: int) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The plan as it was at a time, kept by processes that outlive their jobs."""
    del stamp
    plan = load_plan(out)
    return plan, {point["id"]: point for point in plan}
