"""A job on several devices: torchrun starts a process for each, and they train it together.

The worker that has the job starts torchrun and passes on what the first process tells. A process
that runs out of memory cannot go on alone, since the others wait for it, so it notes how many
sequences a pass to try next and all of them start again from the last checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from scaling.errors import ScalingError
from scaling.runs.records import PointFiles, read_record
from scaling.training.desk import Desk
from scaling.training.engines.attempts import MAX_STARTS, reached
from scaling.training.engines.base import error_of, fields_of
from scaling.training.job import run_job
from scaling.training.loop import NeedsSmaller, Stopped, TooBig

LOOK_SECONDS = 0.2
TAIL = 2000  # characters of what torchrun said, for a cause
Point = Mapping[str, Any]


class RanksDied(RuntimeError):
    """The processes that train a point together died again and again."""


def launch(points: Sequence[Point], kind: str, ranks: int, desk: Desk) -> None:
    """Train a job by `ranks` processes, until its points have records.

    Raises
    ------
    Stopped
        If `desk` asked for it; checkpoints are written.
    TooBig
        If one sequence a pass does not fit.
    ScalingError
        As a process raised it: a full disk, say.
    RuntimeError
        If the processes die again and again without getting on.
    """
    hint = PointFiles.of(desk.out, points[0]["id"]).folder / "micro"
    hint.parent.mkdir(parents=True, exist_ok=True)
    if _read(hint) == 0:  # left by a launcher that was killed before it could say so
        hint.unlink()
    names, trunk = [p["id"] for p in points], str(points[0]["trunk"])
    starts, mark = 0, reached(desk.out, names, trunk)
    while any(read_record(desk.out, p["id"]) is None for p in points):
        before = _read(hint)
        code, said = _torchrun(points, kind, ranks, before, desk)
        if desk.stop():
            raise Stopped
        now, here = _read(hint), reached(desk.out, names, trunk)
        if now == 0:
            hint.unlink()
            raise TooBig
        starts = 1 if here != mark or now != before else starts + 1
        mark = here
        if code and starts >= MAX_STARTS:
            raise RanksDied(f"torchrun ended with {code}, {starts} times: {said[-TAIL:]}")
    hint.unlink(missing_ok=True)


def _read(hint: Path) -> int | None:
    try:
        return int(hint.read_text())
    except (OSError, ValueError):
        return None


def _torchrun(
    points: Sequence[Point], kind: str, ranks: int, micro: int | None, desk: Desk
) -> tuple[int, str]:
    """Run the processes to their end; return the exit code and the end of what they said."""
    job = {
        "out": str(desk.out),
        "device": desk.device.type,
        "setup": desk.setup.as_dict(),
        "points": [p["id"] for p in points],
        "kind": kind,
        "micro": micro,
    }
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc-per-node={ranks}",
            "-m",
            "scaling.training.ranks",
            json.dumps(job),
        ],
        stdin=subprocess.PIPE,  # ends when this process does, whatever ends it
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    lines: queue.Queue[str | None] = queue.Queue()
    said: list[str] = []
    threads = [
        threading.Thread(target=_pump, args=(process.stdout, lines), daemon=True),
        threading.Thread(target=_gather, args=(process.stderr, said), daemon=True),
    ]
    for thread in threads:
        thread.start()
    asked, failed = False, None
    try:
        while True:
            with contextlib.suppress(queue.Empty):
                line = lines.get(timeout=LOOK_SECONDS)
                if line is None:
                    break
                event = json.loads(line)
                if event["event"] == "error":
                    failed = error_of(event)
                else:
                    desk.tell(event.pop("event"), event.pop("id", None), **event)
            if desk.stop() and not asked:
                asked = True
                process.terminate()  # torchrun passes it on; they keep a checkpoint and leave
    finally:
        if process.poll() is None and not asked:
            os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    for thread in threads:
        thread.join()
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
    if failed is not None:
        raise failed
    return code, "".join(said)


def _pump(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _gather(stream: IO[str], said: list[str]) -> None:
    for line in stream:
        sys.stderr.write(line)  # the worker's log
        said[:] = [*said[-50:], line]


def _leave_with_the_worker() -> None:
    while os.read(0, 1):  # not by a buffer, whose lock would outlive this thread
        pass
    os._exit(1)  # it is gone: what is not done goes on from the last checkpoint


def main() -> None:
    """Be one of the processes; the first one tells what happens."""
    import torch
    import torch.distributed as dist

    from scaling.runs.records import load_plan
    from scaling.training.setup import Setup

    channel = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not be taken for events
    job = json.loads(sys.argv[1])
    rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda *_: stop.set())

    def tell(event: str, name: str | None = None, **fields: Any) -> None:
        if not rank:
            channel.write(json.dumps({"event": event, "id": name, **fields}) + "\n")

    cuda = job["device"] == "cuda"
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    out, plan = Path(job["out"]), load_plan(Path(job["out"]))
    points = {point["id"]: point for point in plan}
    ranks = dist.get_world_size()
    setup = Setup.of(job["setup"])
    desk = Desk(out, device, setup, plan, stop.is_set, tell, ranks=ranks, rank=rank)
    desk.micro = job["micro"]
    chosen = [points[name] for name in job["points"]]
    threading.Thread(target=_leave_with_the_worker, daemon=True).start()
    try:
        run_job(chosen, job["kind"], desk)
    except Stopped:
        pass
    except (ScalingError, OSError) as error:
        channel.write(json.dumps({"event": "error", **fields_of(error, out)}) + "\n")
        os._exit(1)  # the others wait for this process: torchrun ends them
    except NeedsSmaller as need:
        (PointFiles.of(out, chosen[0]["id"]).folder / "micro").write_text(str(need.micro))
        os._exit(1)  # the others wait for this process: torchrun ends them
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
