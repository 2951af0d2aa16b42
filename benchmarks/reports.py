"""Time and size of reports: 250 and 1,000 runs with 1,000 replicates, and 20,000 runs.

Fits are made once, from simulated runs; what is timed is the command, start-up included.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import scaling as sc

ROUNDS = 5
CASES = {"250 runs": (250, 1000), "1,000 runs": (1000, 1000), "20,000 runs": (20_000, 20)}
TRUTH = {"E": 1.82, "A": 482.0, "B": 2085.0, "alpha": 0.348, "beta": 0.366}


def runs(count, seed=0):
    """Return runs on seven budgets, two in three of them repeated under another seed."""
    rng = np.random.default_rng(seed)
    budgets = np.geomspace(1e18, 1e21, 7)
    budget = budgets[np.arange(count) % len(budgets)]
    size = np.sqrt(budget / 120.0) * np.exp(rng.uniform(-1.5, 1.5, count))
    data = budget / (6.0 * size)
    clean = sc.law("chinchilla").loss(TRUTH, {"N": size, "D": data})
    loss = clean * np.exp(rng.normal(0.0, 0.004, count))
    names = [f"run-{k:05d}" for k in range(count)]
    columns = {"run": names, "budget": budget, "N": size, "D": data, "C": budget, "loss": loss}
    return pd.DataFrame(columns)


def seconds(command):
    """Return how long a command takes."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "scaling", *command], check=True, capture_output=True)
    return time.perf_counter() - began


def main():
    """Print a line for each case and rendering."""
    with tempfile.TemporaryDirectory() as folder:
        for name, (count, draws) in CASES.items():
            table, fit = Path(folder) / "runs.csv", Path(folder) / "fit.json"
            runs(count).to_csv(table, index=False)
            options = ["--bootstrap", str(draws), "-o", str(fit), "--force"]
            ways = ["surface", "isoflop"] if count < 20_000 else ["surface"]
            approaches = [word for way in ways for word in ("--approach", way)]
            seconds(["fit", str(table), *approaches, *options])
            for ending in ("html", "pdf", "md", "txt", "json"):
                target = Path(folder) / f"report.{ending}"
                command = ["report", str(fit), "-o", str(target), "--force"]
                took = [seconds(command) for _ in range(ROUNDS if count < 20_000 else 1)]
                size = target.stat().st_size / 1e6
                print(f"{name:12} {ending:5} {statistics.median(took):6.2f} s {size:6.2f} MB")


if __name__ == "__main__":
    main()
