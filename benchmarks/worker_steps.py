"""Steps of points side by side, and of compiled passes."""

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
import torch
from worker_common import (
    LARGE,
    LR,
    SMALL,
    Ours,
    environment,
    median,
    point_of,
    ratio,
    synchronize,
    turns,
)

STACKS = (2, 4, 8, 16)
CPU_STACKED, CUDA_STACKED = ("4k", "10k", "30k", "0.1M", "1M"), ("0.1M", "1M", "10M")
CPU_COMPILED, CUDA_COMPILED = ("30k", "0.1M", "0.5M", "2M"), ("124M", "10M", "1M")
NEVER = "never"


def stacking(context):
    """Seeds x learning rates of one shape as one model, against one after another."""
    rows, skipped, best = [], [], {}
    ways = ("off", "graphs") if context.cuda else ("off",)
    for way in ways:
        for name in CUDA_STACKED if context.cuda else CPU_STACKED:
            size = SMALL[name]
            alone, cells, each = Ours([point_of(size)], context.device), [], 0.0
            for count in STACKS:
                if context.late():
                    skipped.append(f"{count} of {name} ({way})")
                    cells.append("")
                    continue
                points = [
                    point_of(size, seed=i // 2, lr=LR * (1.0 if i % 2 else 0.5))
                    for i in range(count)
                ]
                stack = Ours(points, context.device)
                loops = {"alone": alone.way(way), "stacked": stack.way(way)}
                rounds = context.rounds or (3 if context.cuda else 5)
                spent, _ = turns(loops, context.device, rounds=rounds, seconds=0.5)
                value, _ = ratio([count * s for s in spent["alone"]], spent["stacked"])
                best[name] = max(best.get(name, 0.0), value)
                cells.append(f"{value:.2f}")
                each = median(spent["alone"])
                del stack, loops
                gc.collect()
            rows.append((str(size), "eager" if way == "off" else way, f"{1e3 * each:.2f}", *cells))
    header = ("size", "pass", "ms a step alone", *(f"k = {count}" for count in STACKS))
    notes = [
        f"{context.name()}. k points of one shape (two learning rates, k / 2 seeds) stacked: k "
        "steps of one point over one step of the stack; above 1 the stack is faster.",
        "Bytes, context 32 (4k, 10k), 64 (30k) or 128, batch 8; in turns, medians; "
        f"{context.clock()}.",
        "Best of each size: " + ", ".join(f"{n} {v:.2f}" for n, v in best.items()) + ".",
    ]
    if skipped:
        notes.append(f"Left out for want of time: {', '.join(skipped)}.")
    return "Stacked points", [common.table(header, rows, text=2), common.bullets(notes)]


def compiling(context):
    """Passes compiled, against eager ones: what compiling takes and when it pays."""
    sizes = CUDA_COMPILED if context.cuda else CPU_COMPILED
    ways = ("inductor", "graphs") if context.cuda else ("inductor",)
    rows, skipped = [], []
    with tempfile.TemporaryDirectory() as own:
        shared = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
        for name in sizes:
            for way in ways:
                if context.late() or (way == "graphs" and name == "124M"):
                    skipped.append(f"{name} ({way})")
                    continue
                cache = Path(shared or own) / ("" if shared else f"{name}-{way}")
                cold = _in_process(name, way, cache, context)
                if "error" in cold:
                    rows.append((name, way, cold["error"], "", "", "", "", ""))
                    continue
                warm = _in_process(name, way, cache, context, steps=False)
                gain = cold["eager"] - cold["compiled"]
                pays = [
                    f"{found['compile'] / gain:,.0f}" if cold["ratio"] > 1 and gain > 0 else NEVER
                    for found in (cold, warm)
                ]
                rows.append((name, way, f"{cold['compile']:.1f}", f"{warm['compile']:.1f}",
                             f"{1e3 * cold['eager']:.2f}", f"{1e3 * cold['compiled']:.2f}",
                             f"{cold['ratio']:.2f}", " / ".join(pays)))  # fmt: skip
    header = ("size", "pass", "cold [s]", "warm [s]", "eager [ms]", "compiled [ms]",
              "eager/compiled", "pays after steps, cold / warm")  # fmt: skip
    notes = [
        f"{context.name()}. Each row in processes of its own: one with an empty cache of compiled "
        "code, then one that finds what the first has left.",
        "Seconds to compile are wall time until the first compiled step is done; steps in turns, "
        f"medians, {context.clock()}.",
    ]
    if skipped:
        notes.append(f"Left out, for want of time or of use: {', '.join(skipped)}.")
    return "Compiled passes", [common.table(header, rows, text=2), common.bullets(notes)]


def _in_process(name, way, cache, context, steps=True):
    """Measure in a new process; return what it found, or its error."""
    words = [name, way, context.device.type, "steps" if steps else "", str(context.rounds or 5)]
    done = subprocess.run(
        [sys.executable, str(Path(__file__)), *words], capture_output=True, text=True,
        env=environment(TORCHINDUCTOR_CACHE_DIR=str(cache)),
    )  # fmt: skip
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = done.stderr.strip().splitlines() or ["no answer"]
        return {"error": said[-1][:60]}
    return json.loads(lines[-1])


def _compiled(name, way, device, steps, rounds):
    """Compile a pass; time it against the eager one if `steps`."""
    size = (LARGE if device.type == "cuda" else SMALL)[name]
    ours = Ours([point_of(size)], device)
    eager = ours.way("off")
    eager(1)
    synchronize(device)
    began = time.perf_counter()
    compiled = ours.way(way)
    compiled(1)
    synchronize(device)
    found = {"compile": time.perf_counter() - began}
    if steps:
        loops = {"eager": eager, "compiled": compiled}
        spent, _ = turns(loops, device, rounds=rounds, seconds=1.0)
        found |= {way: median(values) for way, values in spent.items()}
        found["ratio"] = ratio(spent["eager"], spent["compiled"])[0]
    return found


def main():
    """Answer `_in_process`; without arguments do nothing."""
    if len(sys.argv) > 1:
        name, way, device, steps, rounds = sys.argv[1:]
        print(json.dumps(_compiled(name, way, torch.device(device), bool(steps), int(rounds))))


if __name__ == "__main__":
    main()
