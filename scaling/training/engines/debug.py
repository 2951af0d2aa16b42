"""The debug engine: the same jobs in this very process, one after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from scaling.training.engines.base import Event, Job


class DebugEngine:
    """Runs one point a poll, in process."""

    def __init__(self, out: Path, device: str, checkpoint_seconds: float) -> None:
        self.out, self.device, self.checkpoint_seconds = out, device, checkpoint_seconds
        self.queue: deque[str] = deque()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue the points of `jobs`."""
        for job in jobs:
            self.queue.extend(job.points)

    def poll(self, timeout: float) -> list[Event]:
        """Run the next point."""
        del timeout
        import torch

        from scaling.runs.records import load_plan
        from scaling.training.device import device_of
        from scaling.training.point import run_point

        if not self.queue:
            return []
        device = device_of(self.device)
        point_id = self.queue.popleft()
        point = next(p for p in load_plan(self.out) if p["id"] == point_id)
        threads = torch.get_num_threads()
        try:
            record = run_point(self.out, point, device, checkpoint_seconds=self.checkpoint_seconds)
        finally:  # the process is the caller's
            torch.set_num_threads(threads)
            torch.set_flush_denormal(False)
        fields = {k: record[k] for k in ("status", "loss", "seconds", "cause")}
        return [{"event": "start", "id": point_id}, {"event": "done", "id": point_id, **fields}]

    def busy(self) -> bool:
        """Whether points are queued."""
        return bool(self.queue)

    def cancel(self) -> None:
        """Forget the queue."""
        self.queue.clear()
