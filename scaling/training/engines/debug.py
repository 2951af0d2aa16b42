"""The debug engine: the same jobs in this very process, one after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scaling.training.engines.attempts import Attempts
from scaling.training.engines.base import Event, Job, error_of
from scaling.training.engines.local import visible_gpus
from scaling.training.installation import refuse_broken


class DebugEngine:
    """Runs one job a poll, in process.

    Parameters
    ----------
    out : Path
        Sweep folder.
    device : {"auto", "cpu", "cuda"}
    setup : mapping
        Settings of `scaling.training.setup.Setup`.
    trunks : mapping
        Trunk of each point, by id.
    stop : callable
        Asked now and then; if true, the running job keeps a checkpoint and is queued again.
    """

    def __init__(
        self,
        out: Path,
        device: str,
        setup: dict[str, Any],
        trunks: dict[str, str],
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.out, self.device, self.setup, self.stop = out, device, setup, stop
        self.queue: deque[Job] = deque()
        self.attempts = Attempts(out, trunks)
        self.places, self.packs = 1, False
        self.on_gpu = device != "cpu" and bool(visible_gpus())

    def open(self) -> tuple[str, ...]:
        """Nothing is at work without this process."""
        return ()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue the jobs."""
        self.queue.extend(jobs)

    def poll(self, timeout: float) -> list[Event]:
        """Run the next job."""
        del timeout
        try:
            import torch

            from scaling.training.serving import Server
        except Exception:
            refuse_broken()
            raise
        if not self.queue:
            return []
        job = self.queue.popleft()
        events: list[Event] = []

        def tell(event: str, name: str | None = None, **fields: Any) -> None:
            found: Event = {"event": event, "id": name, **fields}
            if event == "error":
                raise error_of(found)
            if self.attempts.news(found):
                events.append(found)

        threads = torch.get_num_threads()
        try:
            server = Server(self.out, self.device, self.setup, self.stop, tell)
            ended = server.run(self.attempts.begin(job))
        finally:  # the process is the caller's
            torch.set_num_threads(threads)
            torch.set_flush_denormal(False)
        again, more = self.attempts.end(job, "left" if ended == "stopped" else "finished")
        if again is not None and ended == "stopped":
            self.queue.appendleft(again)
        elif again is not None:
            self.queue.append(again)
        return events + more

    def busy(self) -> bool:
        """Whether jobs are queued."""
        return bool(self.queue)

    def cancel(self) -> None:
        """Forget the queue."""
        self.queue.clear()

    def leave(self) -> tuple[str, ...]:
        """Nothing is at work without this process."""
        self.cancel()
        return ()
