"""A process that measures: reads points from standard input, writes what their shapes cost.

It is set up like a worker of a sweep, and works whenever nothing is asked of it, so that what its
neighbours measure is what they would meet in a sweep.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WARM_UP = 10  # steps that are not timed
BLOCK_SECONDS = 0.02  # a block of steps lasts at least this long, so that the clock does not count
MIN_BLOCKS = 2
CHECK_EVERY = 20  # steps between looks at the loss, as in the training loop
RECORDS = 5
ENDLESS = 10**9  # steps: the rate stays as it is


def main() -> None:
    """Serve points until the parent closes standard input."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("MKL_NUM_THREADS", "1")
    channel = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not be taken for answers
    jobs: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()

    import torch

    from scaling.errors import TrainingError
    from scaling.training.device import device_of
    from scaling.training.job import run_point  # noqa: F401 - what a worker of a sweep loads

    try:
        device = device_of(sys.argv[1])
    except TrainingError as error:
        fault = error.faults[0]
        answer: dict[str, Any] = {"event": "error", "code": fault.code, "text": fault.found}
        channel.write(json.dumps(answer) + "\n")
        return
    bench = Bench(device)
    channel.write(json.dumps({"event": "ready", **bench.about()}) + "\n")
    while True:
        try:
            job = jobs.get_nowait() if bench.trainer is not None else jobs.get()
        except queue.Empty:
            bench.work()
            continue
        try:
            answer = {
                "event": "measured",
                **bench.measure(job["point"], job["seconds"], job.get("folder")),
            }
        except torch.OutOfMemoryError:
            answer = {"event": "too-big"}
        channel.write(json.dumps(answer) + "\n")


def _listen(jobs: queue.Queue[dict[str, Any]]) -> None:
    try:
        for line in sys.stdin:
            jobs.put(json.loads(line))
    finally:
        os._exit(0)  # the parent has what it wanted, or is gone


class Bench:
    """Measures shapes on one device.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device: Any) -> None:
        self.device = device
        self.trainer: Any = None
        self.folder: Path | None = None
        self.first = True

    def about(self) -> dict[str, Any]:
        """Device, versions and threads."""
        import torch

        name = torch.cuda.get_device_name(self.device) if self._cuda else "cpu"
        return {"device": name, "kind": self.device.type, "torch": torch.__version__, "threads": 1}

    def _rated(self) -> dict[str, Any]:
        """The peak that MFU is taken against; on a CPU measured now, beside the neighbours."""
        from scaling.training.device import peak_flops

        peak, source = peak_flops(self.device)
        return {"peak_flops": peak, "peak_source": source}

    @property
    def _cuda(self) -> bool:
        return bool(self.device.type == "cuda")

    def work(self) -> None:
        """Take a few steps of the last shape, for the sake of the neighbours."""
        for _ in range(CHECK_EVERY):
            self.trainer.train_step()

    def measure(
        self, point: Mapping[str, Any], seconds: float, folder: str | None = None
    ) -> dict[str, Any]:
        """Measure the shape of a point.

        Parameters
        ----------
        point : mapping
            A point of a plan.
        seconds : float
            Time to spend on its steps [s].
        folder : str, optional
            With the code of the user's own tasks.

        Returns
        -------
        dict
            Seconds of a step, one figure a block of steps (``steps``), of an evaluation, of the
            set-up; bytes; the device's peak and where it stands; for the first shape of a process,
            what was slow about being first (``first_seconds``), and the seconds that a record
            takes.
        """
        extra: dict[str, Any] = {}
        self.folder = None if folder is None else Path(folder)
        if self.first:
            self.first = False
            once, _ = self._build(point)
            setup, peak = self._build(point)
            extra = {"first_seconds": max(0.0, once - setup), "record_seconds": _record(point)}
        else:
            setup, peak = self._build(point)
        steps = self._steps(seconds)
        began = time.perf_counter()
        self.trainer.model.eval()
        self.trainer.task.evaluate(self.trainer.model)
        evaluation = time.perf_counter() - began
        self.trainer.model.train()
        return {
            "steps": steps,
            "evaluation_seconds": evaluation / self.trainer.task.checks,
            "setup_seconds": max(0.0, setup - WARM_UP * quantile(steps, 0.5)),
            "compile_seconds": 0.0,
            "memory_bytes": peak(),
            **self._rated(),
            **extra,
        }

    def _build(self, point: Mapping[str, Any]) -> tuple[float, Any]:
        """Build the model and take the first steps; return the seconds and a look at memory."""
        from scaling.training.setup import Setup
        from scaling.training.trainer import Trainer

        self.trainer = None
        gc.collect()
        _give_back()
        peak = _peak(self.device)
        began = time.perf_counter()
        self.trainer = Trainer({**point, "steps": ENDLESS}, self.device, Setup(folder=self.folder))
        for _ in range(WARM_UP):
            self.trainer.train_step()
        self._wait()
        return time.perf_counter() - began, peak

    def _steps(self, seconds: float) -> list[float]:
        """Seconds of a step, one figure a block of steps."""
        trainer = self.trainer
        end = time.perf_counter() + seconds
        found: list[float] = []
        block = 1
        while len(found) < MIN_BLOCKS or time.perf_counter() < end:
            began = time.perf_counter()
            for _ in range(block):
                total, norm = trainer.train_step()
                if trainer.step % CHECK_EVERY == 0:
                    float(total), float(norm)
            self._wait()
            spent = time.perf_counter() - began
            if spent < BLOCK_SECONDS:
                block *= 2
            else:
                found.append(spent / block)
        return found

    def _wait(self) -> None:
        if self._cuda:
            import torch

            torch.cuda.synchronize(self.device)


def quantile(values: Sequence[float], share: float) -> float:
    """Quantile by straight lines between the ordered values."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _record(point: Mapping[str, Any]) -> float:
    """Seconds to keep the result of a point: median over a few, in the folder for temporary files.

    A sweep on a slower file system pays more.
    """
    import torch

    from scaling.runs.files import write_atomic
    from scaling.runs.records import PointFiles, commit_record, read_record
    from scaling.training.loop import Outcome
    from scaling.training.record import make_record

    outcome = Outcome("done", 1, 2.0, 0.01, 2.0, 1.0)
    spent = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(RECORDS):
            named = {**point, "id": f"{number:02x}" * 8}
            began = time.perf_counter()
            files = PointFiles.of(Path(folder), named["id"])
            files.folder.mkdir(parents=True)
            write_atomic(files.curve, "0.123456789," * 350)
            commit_record(Path(folder), make_record(named, outcome, torch.device("cpu")))
            read_record(Path(folder), named["id"])
            spent.append(time.perf_counter() - began)
    return quantile(spent, 0.5)


def _peak(device: Any) -> Any:
    """Start to watch memory; the function that comes back tells the highest growth [bytes].

    On a CPU this is the resident memory of Linux; elsewhere it is None.
    """
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return lambda: torch.cuda.max_memory_allocated(device)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
        before = _status("VmRSS")
    except OSError:
        return lambda: None
    return lambda: max(0, _status("VmHWM") - before)


def _give_back() -> None:
    """Hand freed memory back to the system, so that what comes next is seen to grow."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):  # a C library without it
        return


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field}")


if __name__ == "__main__":
    main()
