"""Is what a plan says of its cost true? Bench, estimate, train the quickstart, and compare.

The machine is measured right before and right after the training, so that a load that came or went
shows; on an idle machine both estimates agree.
"""

import os
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import common
import numpy as np

from scaling import api
from scaling.planning.costing.calibration import Calibration
from scaling.planning.costing.cost import total, wall_seconds
from scaling.runs.records import read_record

STUDY = Path(__file__).parents[1] / "sweeps" / "quickstart.toml"
LIMIT = 0.15


def command(*words):
    """Run a command of the package and return its seconds."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "scaling", *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def bench(study, path, seconds, workers):
    spent = command("bench", str(study), "-o", str(path), "--force", "--seconds", f"{seconds:g}",
                    "--shapes", "1000", "--workers", str(workers))  # fmt: skip
    return Calibration.read(path), spent


def planned(args, path):
    """The study's plan, with the seconds of a calibration."""
    study = tomllib.loads(args.study.read_text(encoding="utf-8"))
    engine = {"workers": args.workers, "calibration": str(path)}
    return api.plan({**study, "engine": {**study.get("engine", {}), **engine}})


def interpolated(calibration):
    """Relative errors of a step's seconds where every other shape was not measured."""
    ordered = sorted(calibration.shapes, key=lambda key: calibration.shapes[key].flops)
    half = replace(calibration, shapes={key: calibration.shapes[key] for key in ordered[::2]})
    left_out = [calibration.shapes[key] for key in ordered[1::2]]
    rates = half.rates(
        [""] * len(left_out), [e.family for e in left_out], [e.flops for e in left_out]
    )
    return np.abs(rates.step / np.array([e.step for e in left_out]) - 1)


def quick():
    """Seconds to cost 100,000 points of 1,000 shapes, and one more time as a search would."""
    entry = {"family": "f", "evaluation_seconds": 1e-4, "setup_seconds": 0.1,
             "compile_seconds": 0.0, "memory_bytes": None, "mfu": None}  # fmt: skip
    flops = np.geomspace(1e6, 1e12, 40)
    shapes = {
        f"s{i}": {**entry, "flops": f, "seconds_per_step": 1e-3 + f / 1e11, "low": 1e-3,
                  "high": 20.0} for i, f in enumerate(flops)
    }  # fmt: skip
    calibration = Calibration.of({
        "schema": "scaling/calibration@3", "device": "cpu", "kind": "cpu", "torch": "",
        "peak_flops": None, "peak_source": None,
        "threads": 1, "workers": 2, "start_seconds": 2.0, "record_seconds": 0.0, "shapes": shapes,
    })  # fmt: skip
    began = time.perf_counter()
    many = np.geomspace(1e6, 1e12, 1000)
    rates = calibration.rates([f"x{i}" for i in range(1000)], ["f"] * 1000, many)
    which, steps = np.arange(100_000) % 1000, np.full(100_000, 1000)
    found = total(rates.times(which, steps, 2048), np.ones(100_000), 8, calibration=calibration)
    first = time.perf_counter() - began
    assert found.seconds is not None
    began = time.perf_counter()
    rates.times(which, steps, 2048).seconds.sum()
    return first, time.perf_counter() - began


def main():
    parser = common.options(__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, default=STUDY)
    parser.add_argument("--seconds", type=float, default=2.0, help="to measure each shape")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, files = Path(name), [Path(name) / f"{when}.json" for when in ("before", "after")]
        before, spent = bench(args.study, files[0], args.seconds, args.workers)
        planned(args, files[0]).write(folder / "out")
        wall = command("sweep", "run", str(folder / "out"), "--workers", str(args.workers))
        after, _ = bench(args.study, files[1], args.seconds, args.workers)
        plans = [planned(args, path) for path in files]
        records = [read_record(folder / "out", p.id) for p in plans[0]]
    assert all(r["status"] == "done" for r in records)
    trained = np.array([r["seconds"] for r in records])
    known = wall_seconds(trained, args.workers)
    rows, points = [], []
    for label, plan, found in zip(("before", "after"), plans, (before, after), strict=True):
        w = plan.total.wall_seconds
        rows.append((f"estimate, measured {label}", f"{w.value:.1f}", f"{w.low:.1f}-{w.high:.1f}",
                     f"{w.value / wall:.3f}"))  # fmt: skip
        ratio = np.array([p.seconds for p in plan]) / trained
        error = interpolated(found)
        points.append((label, f"{np.median(ratio):.3f}", f"{np.quantile(ratio, 0.1):.3f}",
                       f"{np.quantile(ratio, 0.9):.3f}", f"{np.median(error):.1%}",
                       f"{error.max():.1%}"))  # fmt: skip
    errors = [abs(plan.total.wall_seconds.value / wall - 1) for plan in plans]
    rows += [
        ("measured: the command `sweep run`", f"{wall:.1f}", "", "1"),
        ("points as they were trained, dealt anew", f"{known:.1f}", "", f"{known / wall:.3f}"),
    ]
    change = abs(float(rows[0][1]) / float(rows[1][1]) - 1)
    first, again = quick()
    publish(args, plans[0], rows, points, [
        f"Error of the estimate before the run: {errors[0]:.1%}, of the one after: {errors[1]:.1%} "
        f"(aim {LIMIT:.0%}: {'met' if max(errors) <= LIMIT else 'not met'} by both). They differ "
        f"by {change:.1%}: "
        + ("the machine was steady." if change < 0.05 else
           "the load or the clock of the machine changed between them."),
        f"Measuring {len(before.shapes)} shapes took {spent:.0f} s, {args.seconds:g} s a shape; "
        f"start of a worker {before.start_seconds:.2f} s, a record "
        f"{1e3 * before.record_seconds:.1f} ms.",
        "Interpolation: every other shape in order of FLOP is left out and read off the others.",
        f"Costing 100,000 points of 1,000 shapes takes {first:.3f} s with totals and wall time, "
        f"{1e3 * again:.1f} ms for each further look at their seconds.",
    ])  # fmt: skip


def publish(args, plan, rows, points, notes):
    title = f"Cost of {args.study.name}: {len(plan)} points on {args.workers} workers"
    common.publish(
        "plan_cost",
        title,
        [
            common.table(("wall time", "seconds", "range", "of measured"), rows),
            "Points: estimate over the seconds of their records; error of interpolated steps.",
            common.table(("measured", "median", "10%", "90%", "median error", "largest"), points),
            common.bullets(notes),
        ],
        write=args.write,
        extra=("torch",),
    )


if __name__ == "__main__":
    main()
