"""A worker process: reads jobs from standard input, trains them, writes events to standard output.

Events are JSON lines: ``ready``, ``start``, ``progress``, ``exception``, ``done``, ``finished`` (a
job), ``stopped``, ``error``. When standard input ends, the parent is gone and so is the worker.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import Any, TextIO


def main() -> None:
    """Serve jobs until the parent closes standard input."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("MKL_NUM_THREADS", "1")
    channel = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not be taken for events
    jobs: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGUSR2):  # the end of a time limit, or preemption
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C means
    _serve(jobs, stop, channel)


def _listen(jobs: queue.Queue[dict[str, Any]]) -> None:
    try:
        for line in sys.stdin:
            jobs.put(json.loads(line))
    finally:
        os._exit(0)  # the parent is gone: unfinished points go on from their checkpoints


def _serve(jobs: queue.Queue[dict[str, Any]], stop: threading.Event, channel: TextIO) -> None:
    from scaling.errors import ScalingError
    from scaling.training.engines.base import fields_of
    from scaling.training.engines.journal import Journal
    from scaling.training.serving import Server

    out, device, setup, name = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), sys.argv[4]
    journal = Journal(out, name)

    def tell(event: str, name: str | None = None, **fields: Any) -> None:
        named = {} if name is None else {"id": name}
        channel.write(json.dumps({"event": event, **named, **fields}) + "\n")
        channel.flush()
        journal.tell(event, name, **fields)

    try:
        server = Server(out, device, setup, stop.is_set, tell)
    except ScalingError as error:
        tell("error", **fields_of(error, out))
        return
    tell("ready", device=server.device.type, peak=server.peak())
    while not stop.is_set():
        try:
            job = jobs.get(timeout=0.2)
        except queue.Empty:
            continue
        if server.run(job) != "finished":
            return


if __name__ == "__main__":
    main()
