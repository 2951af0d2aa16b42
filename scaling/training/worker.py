"""A worker process: reads jobs from standard input, trains them, writes events to standard output.

Events are JSON lines: ``ready``, ``start``, ``progress``, ``done``, ``stopped``, ``error``. When
standard input ends, the parent is gone and so is the worker.
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
    out, device_name, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    jobs: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C means
    _serve(out, device_name, seconds, jobs, stop, channel)


def _listen(jobs: queue.Queue[dict[str, Any]]) -> None:
    try:
        for line in sys.stdin:
            jobs.put(json.loads(line))
    finally:
        os._exit(0)  # the parent is gone: unfinished points go on from their checkpoints


def _emit(channel: TextIO, event: str, **fields: Any) -> None:
    channel.write(json.dumps({"event": event, **fields}) + "\n")
    channel.flush()


def _serve(
    out: Path,
    device_name: str,
    seconds: float,
    jobs: queue.Queue[dict[str, Any]],
    stop: threading.Event,
    channel: TextIO,
) -> None:
    from scaling.errors import ScalingError, TrainingError
    from scaling.runs.records import load_plan
    from scaling.training.device import device_of
    from scaling.training.loop import Stopped
    from scaling.training.point import run_point

    try:
        device = device_of(device_name)
    except TrainingError as error:
        _emit(channel, "error", code=error.faults[0].code, text=error.faults[0].found)
        return
    points = {point["id"]: point for point in load_plan(out)}
    _emit(channel, "ready", device=device.type)
    while not stop.is_set():
        try:
            job = jobs.get(timeout=0.2)
        except queue.Empty:
            continue
        for name in job["points"]:
            _emit(channel, "start", id=name)

            def progress(step: int, loss: float, name: str = name) -> None:
                _emit(channel, "progress", id=name, step=step, loss=loss)

            try:
                record = run_point(
                    out,
                    points[name],
                    device,
                    checkpoint_seconds=seconds,
                    on_progress=progress,
                    stop=stop.is_set,
                )
            except Stopped:
                _emit(channel, "stopped", id=name)
                return
            except (ScalingError, OSError) as error:
                code = error.code if isinstance(error, ScalingError) else "SC003"
                _emit(channel, "error", id=name, code=code, text=str(error))
                return
            fields = {k: record[k] for k in ("status", "loss", "seconds", "cause")}
            _emit(channel, "done", id=name, **fields)


if __name__ == "__main__":
    main()
