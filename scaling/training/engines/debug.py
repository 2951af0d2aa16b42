"""The debug engine: the same jobs in this very process, one after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scaling.training.engines.base import Event, Job


class DebugEngine:
    """Runs one job a poll, in process.

    Parameters
    ----------
    out : Path
        Sweep folder.
    device : {"auto", "cpu", "cuda"}
    setup : mapping
        Settings of `scaling.training.setup.Setup`.
    stop : callable
        Asked now and then; if true, the running job keeps a checkpoint and is queued again.
    """

    def __init__(
        self,
        out: Path,
        device: str,
        setup: dict[str, Any],
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.out, self.device, self.setup, self.stop = out, device, setup, stop
        self.queue: deque[Job] = deque()
        self.plan: list[dict[str, Any]] | None = None

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue the jobs."""
        self.queue.extend(jobs)

    def poll(self, timeout: float) -> list[Event]:
        """Run the next job."""
        del timeout
        import torch

        from scaling.runs.records import load_plan
        from scaling.training.desk import Desk
        from scaling.training.device import device_of
        from scaling.training.job import run_job
        from scaling.training.loop import Stopped
        from scaling.training.setup import Setup

        if not self.queue:
            return []
        if self.plan is None:
            self.plan = load_plan(self.out)
        job, plan = self.queue.popleft(), self.plan
        points = {point["id"]: point for point in plan}
        events: list[Event] = []

        def tell(event: str, name: str, **fields: Any) -> None:
            events.append({"event": event, "id": name, **fields})

        setup = Setup.of(self.setup)
        desk = Desk(self.out, device_of(self.device), setup, plan, self.stop, tell)
        threads = torch.get_num_threads()
        try:
            run_job([points[name] for name in job.points], job.kind, desk)
        except Stopped:
            self.queue.appendleft(job)
        finally:  # the process is the caller's
            torch.set_num_threads(threads)
            torch.set_flush_denormal(False)
        return events

    def busy(self) -> bool:
        """Whether jobs are queued."""
        return bool(self.queue)

    def cancel(self) -> None:
        """Forget the queue."""
        self.queue.clear()
