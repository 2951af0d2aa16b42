"""A worker process: reads jobs from standard input, trains them, writes events to standard output.

Events are JSON lines: ``ready``, ``start``, ``progress``, ``done``, ``finished`` (a job),
``stopped``, ``error``. When standard input ends, the parent is gone and so is the worker.
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
    out, device_name, setup = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    jobs: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGUSR2):  # the end of a time limit, or preemption
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C means
    _serve(out, device_name, setup, jobs, stop, channel)


def _listen(jobs: queue.Queue[dict[str, Any]]) -> None:
    try:
        for line in sys.stdin:
            jobs.put(json.loads(line))
    finally:
        os._exit(0)  # the parent is gone: unfinished points go on from their checkpoints


def _serve(
    out: Path,
    device_name: str,
    setup: dict[str, Any],
    jobs: queue.Queue[dict[str, Any]],
    stop: threading.Event,
    channel: TextIO,
) -> None:
    from scaling.errors import ScalingError
    from scaling.runs.records import load_plan
    from scaling.training.desk import Desk
    from scaling.training.device import device_of, peak_flops
    from scaling.training.engines.base import fields_of
    from scaling.training.job import run_job
    from scaling.training.loop import Stopped
    from scaling.training.setup import Setup

    current: str | None = None

    def tell(event: str, name: str | None = None, **fields: Any) -> None:
        nonlocal current
        current = name or current
        named = {} if name is None else {"id": name}
        channel.write(json.dumps({"event": event, **named, **fields}) + "\n")
        channel.flush()

    try:
        device = device_of(device_name)
    except ScalingError as error:
        tell("error", **fields_of(error, out))
        return
    plan = load_plan(out)
    points = {point["id"]: point for point in plan}
    desk = Desk(out, device, Setup.of(setup), plan, stop.is_set, tell)
    tell("ready", device=device.type, peak=peak_flops(device)[0])
    while not stop.is_set():
        try:
            job = jobs.get(timeout=0.2)
        except queue.Empty:
            continue
        try:
            run_job([points[name] for name in job["points"]], job["kind"], desk)
            tell("finished")
        except Stopped:
            tell("stopped", current)
            return
        except (ScalingError, OSError) as error:
            tell("error", current, **fields_of(error, out))
            return


if __name__ == "__main__":
    main()
