"""Time and memory of reading and checking a million runs, beside a bare `pandas.read_csv`.

Each reading is a process of its own, in turns; what counts is the ratio of medians.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import common
import numpy as np

MEASURE = """
import resource, sys, time
began = time.perf_counter()
{body}
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
WAYS = {
    "scaling.read": "import scaling as sc; sc.read(sys.argv[1], quiet=True)",
    "scaling read_table": ("from scaling.runs.read import read_table; read_table(sys.argv[1])"),
    "pandas.read_csv": "import pandas as pd; pd.read_csv(sys.argv[1])",
}


def write(path, rows):
    """Write runs of a published law with names, a seed, a learning rate and a data set."""
    rng = np.random.default_rng(0)
    n, d = 10 ** rng.uniform(6, 10, rows), 10 ** rng.uniform(9, 12, rows)
    loss = common.loss_of(common.BESIROGLU, n, d) * (1 + 0.01 * rng.standard_normal(rows))
    with path.open("w") as handle:
        handle.write("run,params,tokens,flops,val_loss,seed,lr,dataset\n")
        for i in range(rows):
            handle.write(
                f"r{i},{n[i]:.0f},{d[i]:.0f},{6 * n[i] * d[i]:.6g},{loss[i]:.6f},"
                f"{i % 5},{1e-3 / (1 + i % 3)},c{i % 4}\n"
            )


def measure(body, path):
    """Return seconds, start of Python excluded, and the peak of memory [GiB]."""
    code = MEASURE.format(body=body)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True
    )
    seconds, peak = map(float, done.stdout.split())
    return seconds, peak


def main():
    parser = common.options(__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, default=1e6)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    found = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.csv"
        write(path, int(args.rows))
        size = path.stat().st_size / 2**20
        for _ in range(args.rounds):
            for name, body in WAYS.items():
                found[name].append(measure(body, path))
    median = {
        name: [statistics.median(column) for column in zip(*values, strict=True)]
        for name, values in found.items()
    }
    bare = median["pandas.read_csv"][0]
    rows = [
        (name, f"{seconds:.1f}", f"{seconds / bare:.1f}", f"{peak:.2f}")
        for name, (seconds, peak) in median.items()
    ]
    notes = common.bullets(
        [
            f"{int(args.rows):,} rows of 8 columns, {size:.0f} MiB, medians of {args.rounds} "
            "rounds; imports are part of the time.",
            "`read_csv` checks nothing: no row's length, no cell's text, no name, no value.",
        ]
    )
    blocks = [common.table(("reading", "s", "ratio", "GiB"), rows), notes]
    common.publish("reading", "Reading a million runs", blocks, write=args.write)


if __name__ == "__main__":
    main()
