"""Speed of what a person waits for: help, fits and suggestions on 245 rows, a plan of 1e5 points.

Every pair is timed in turns and compared by medians, since one timing says little.
"""

import csv
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROUNDS = 9
LARGE = """schema = 1
[data]
source = "external"
[model]
context = 1024
[design]
kind = "grid"
params = [1e6, 2e6, 5e6, 1e7, 2e7, 5e7, 1e8, 2e8, 5e8, 1e9]
data = [1e9, 2e9, 5e9, 1e10, 2e10, 5e10, 1e11, 2e11, 5e11, 1e12]
seeds = 1000
"""


def seconds(command):
    began = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return time.perf_counter() - began


def alternate(commands, rounds):
    """Return the median of each command [s], timed in turns."""
    times = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            times[name].append(seconds(command))
    return {name: statistics.median(values) for name, values in times.items()}


def table(path, rows=245):
    """Write runs that follow the published law with 0.3% noise."""
    rng = np.random.default_rng(0)
    n = np.exp(rng.uniform(np.log(4e7), np.log(1.6e10), rows))
    d = np.exp(rng.uniform(np.log(4e8), np.log(3e11), rows))
    loss = (1.8172 + 482.0 / n**0.3478 + 2085.0 / d**0.3658) * np.exp(rng.normal(0, 3e-3, rows))
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["N", "D", "loss"])
        writer.writerows(zip(n, d, loss, strict=True))


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.csv"
        table(path)
        large = Path(folder) / "large.toml"
        large.write_text(LARGE)
        fit = ["-m", "scaling", "fit", str(path)]
        found = alternate(
            {
                "import typer": ["-c", "import typer"],
                "scaling --help": ["-m", "scaling", "--help"],
                "import numpy, pandas, scipy": ["-c", "import numpy, pandas, scipy.special"],
                "scaling fit, 245 rows, no bootstrap": [*fit, "--bootstrap", "0"],
                "scaling fit, 245 rows, 1,000 refits": fit,
                "sweep suggest, 245 rows": ["-m", "scaling", "sweep", "suggest", str(path)],
                "sweep plan, 100,000 points": ["-m", "scaling", "sweep", "plan", str(large)],
            },
            ROUNDS,
        )
    for name, value in found.items():
        print(f"{value:7.3f} s  {name}")
    print(f"{found['scaling --help'] - found['import typer']:+7.3f} s  help over typer alone")


if __name__ == "__main__":
    main()
