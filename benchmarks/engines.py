"""What does an engine cost: time per point beyond the point's own, and 2,000 points of no work."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import common

from scaling import api
from scaling.runs.records import load_plan
from scaling.training.engines.journal import read_journal

ENGINES = ("local", "ray", "slurm")
MARKOV = {
    "source": "markov",
    "options": {"symbols": 16, "tokens": 60_000, "validation_tokens": 2_000},
}
POINTS, MANY = 60, 2000
LOCAL_AIM, STATUS_AIM = 0.050, 1.0  # seconds
SAMPLE_SECONDS = 1.0


def plan(folder, count, **engine):
    """Plan points that train for a moment."""
    study = {"schema": 1, "data": MARKOV, "model": {"context": 16, "layers": 1},
             "design": {"kind": "grid", "params": [9e2], "data": [3.3e3], "seeds": count},
             "engine": engine}  # fmt: skip
    api.plan(study).write(folder)


def command(folder, engine, workers):
    return [sys.executable, "-m", "scaling", "sweep", "run", str(folder), "--engine", engine,
            "--workers", str(workers), "--device", "cpu"]  # fmt: skip


def there(engine):
    """Whether an engine can be measured here."""
    if engine == "ray":
        return shutil.which("ray", path=str(Path(sys.executable).parent)) is not None
    return engine != "slurm" or subprocess.run(
        ["sh", "-c", "sinfo -h"], capture_output=True, check=False
    ).returncode == 0  # fmt: skip


def overhead(args):
    """Wall time per point beyond the point's own, of one worker after another engine."""
    rows, local = [], None
    for engine in args.engines:
        if not there(engine):
            print(f"{engine}: left out, it is not there\n", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory(dir=args.folder) as name:
            out = Path(name) / "out"
            plan(out, args.points, slurm={"poll_seconds": 1})
            began = time.time()
            subprocess.run(command(out, engine, 1), check=True, capture_output=True)
            whole = time.time() - began
            events = [e for path in (out / "logs").glob("*.jsonl") for e in read_journal(path)[0]]
            starts = sorted(e["time"] for e in events if e["event"] == "start")
            ends = sorted(e["time"] for e in events if e["event"] == "done")
            assert len(starts) == len(ends) == args.points
            own = [b - a for a, b in zip(starts, ends, strict=True)]
            gaps = [b - a for a, b in zip(ends, starts[1:], strict=False)]
            beyond = (ends[-1] - starts[0] - sum(own)) / (args.points - 1)
            if engine == "local":
                local = beyond
            around = starts[0] - began, whole - (ends[-1] - began)
            cells = [f"{1000 * t:.1f}" for t in (median(own), beyond, median(gaps), max(gaps))]
            rows.append((engine, args.points, *cells, *(f"{t:.1f}" for t in around)))
    header = ("engine", "points", "a point's own [ms]", "beyond it, mean [ms]", "median [ms]",
              "largest [ms]", "command to first start [s]", "last end to prompt [s]")  # fmt: skip
    notes = [
        "Points of a few steps on one worker, one after another. A point's own time is from its "
        "start to its record; beyond it is what lies between the record of one and the start of "
        "the next, in the journals of the processes.",
        "Slurm: three virtual nodes on this host, one job at a time; points of one shape share "
        "jobs, and between two jobs lie the scheduler, a new process and the import of torch.",
    ]
    if local is not None:
        met = "met" if local < LOCAL_AIM else "not met"
        notes.append(f"local: {1000 * local:.1f} ms (aim under {1000 * LOCAL_AIM:.0f}: {met}).")
    return "What an engine costs", [common.table(header, rows), common.bullets(notes)]


def many(args):
    """2,000 points of no work: memory of the driver, progress, and the time of status."""
    rows = []
    for engine in [e for e in args.engines if e != "slurm" and there(e)]:
        with tempfile.TemporaryDirectory(dir=args.folder) as name:
            out = Path(name) / "out"
            plan(out, args.many)
            began = time.monotonic()
            process = subprocess.Popen(
                command(out, engine, 2),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            lines, samples = [], []
            reader = threading.Thread(target=lines.extend, args=(process.stderr,))
            reader.start()
            while process.poll() is None:
                samples.append((len(lines), memory(process.pid)))
                time.sleep(SAMPLE_SECONDS)
            reader.join()
            assert process.returncode == 0, lines[-5:]
            seconds = time.monotonic() - began
            told = sum("points" in line and line.startswith("[") for line in lines)
            tenth = next(rss for seen, rss in samples if seen > args.many / 10)
            last = [rss for _, rss in samples if rss][-1]
            looks = [timed([sys.executable, "-m", "scaling", "sweep", "status", str(out)])
                     for _ in range(5)]  # fmt: skip
            assert len(load_plan(out)) == args.many
            sizes = [f"{rss:.0f}" for rss in (tenth, last, max(rss for _, rss in samples))]
            looked = f"{median(looks):.2f}"
            rows.append((engine, args.many, f"{seconds:.0f}", told, *sizes, looked))
    header = ("engine", "points", "seconds", "lines of progress", "driver after a tenth [MB]",
              "at the end [MB]", "most [MB]", "status [s]")  # fmt: skip
    notes = [
        "Two workers. Memory is the resident set of the driver's process. The time of `sweep "
        f"status` is of the whole command, median of 5 (aim under {STATUS_AIM:g} s)."
    ]
    return f"{args.many:,} points of no work", [common.table(header, rows), common.bullets(notes)]


def memory(pid):
    """Resident set of a process [MB]; 0 if it has gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    line = next((line for line in text.splitlines() if line.startswith("VmRSS")), "VmRSS: 0")
    return int(line.split()[1]) / 1024


def timed(words):
    began = time.monotonic()
    subprocess.run(words, check=True, capture_output=True)
    return time.monotonic() - began


PARTS = {"overhead": overhead, "many": many}


def main():
    parser = common.options(__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", default="all", choices=["all", *PARTS])
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--points", type=int, default=POINTS)
    parser.add_argument("--many", type=int, default=MANY)
    parser.add_argument("--folder", type=Path, help="where sweeps lie; all nodes must see it")
    args = parser.parse_args()
    for name in PARTS if args.part == "all" else [args.part]:
        title, blocks = PARTS[name](args)
        common.publish(f"engines_{name}", title, blocks, write=args.write, extra=("torch", "ray"))
        print(flush=True)


if __name__ == "__main__":
    main()
