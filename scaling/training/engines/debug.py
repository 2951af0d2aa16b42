"""The debug engine: the same jobs in this very process, one after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
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
    """

    def __init__(self, out: Path, device: str, setup: dict[str, Any]) -> None:
        self.out, self.device, self.setup = out, device, setup
        self.queue: deque[Job] = deque()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue the jobs."""
        self.queue.extend(jobs)

    def poll(self, timeout: float) -> list[Event]:
        """Run the next job."""
        del timeout
        import torch

        from scaling.runs.records import load_plan
        from scaling.training.device import device_of
        from scaling.training.job import Desk, run_job
        from scaling.training.setup import Setup

        if not self.queue:
            return []
        job, plan = self.queue.popleft(), load_plan(self.out)
        points = {point["id"]: point for point in plan}
        events: list[Event] = []

        def tell(event: str, name: str, **fields: Any) -> None:
            events.append({"event": event, "id": name, **fields})

        desk = Desk(self.out, device_of(self.device), Setup.of(self.setup), plan, tell=tell)
        threads = torch.get_num_threads()
        try:
            run_job([points[name] for name in job.points], job.kind, desk)
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
