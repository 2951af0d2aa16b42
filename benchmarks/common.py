"""What the scripts of this folder share: published laws, plain tables, and how they are saved."""

import argparse
import datetime
import os
import platform
import subprocess
import textwrap
from importlib import metadata
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
WIDTH = 100
PACKAGES = ("numpy", "scipy", "pandas")
LOAD_AT_START = os.getloadavg()[0]

# Besiroglu et al. (2024) and Hoffmann et al. (2022), as printed.
BESIROGLU = {"E": 1.8172, "A": 482.0, "B": 2085.0, "alpha": 0.3478, "beta": 0.3658}
HOFFMANN = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}


def loss_of(law, n, d):
    """Loss of the additive law at N = `n` and D = `d`."""
    return law["E"] + law["A"] * n ** -law["alpha"] + law["B"] * d ** -law["beta"]


def best_size(law, compute):
    """Compute-optimal N under C = 6ND; Hoffmann et al. (2022), eq. 4."""
    alpha, beta = law["alpha"], law["beta"]
    scale = (alpha * law["A"] / (beta * law["B"])) ** (1.0 / (alpha + beta))
    return scale * (compute / 6.0) ** (beta / (alpha + beta))


def isoflop_sizes(law, budgets, sizes, decades, shifts=0.0):
    """N and C of an IsoFLOP design.

    Parameters
    ----------
    law : mapping
    budgets : ndarray
        Compute of each budget, shape (b,).
    sizes : int
        Sizes a budget.
    decades : float
        The sizes lie up to this many decades on either side of the centre.
    shifts : float or ndarray
        Decades from the optimum to the centre, shape (b,).

    Returns
    -------
    n, c : ndarray
        Shape (b * sizes,).
    """
    centre = np.log10(best_size(law, budgets)) + shifts
    n = 10 ** (centre[:, None] + np.linspace(-decades, decades, sizes)[None, :])
    return n.ravel(), np.repeat(budgets, sizes)


def options(description):
    """Argument parser with the option that every script has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--write", action="store_true", help="save under benchmarks/results")
    return parser


def table(header, rows, text=1):
    """Lay out a Markdown table; the first `text` columns start left, the others end right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[j]) for row in cells) for j in range(len(header))]
    rule = ["-" * w if j < text else "-" * (w - 1) + ":" for j, w in enumerate(widths)]
    return "\n".join(_line(row, widths, text) for row in (cells[0], rule, *cells[1:]))


def _line(cells, widths, text):
    padded = [
        cell.ljust(width) if j < text else cell.rjust(width)
        for j, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "|".join(["", *padded, ""])


def bullets(sentences):
    """Lay out notes as a list, wrapped."""
    return "\n".join(
        textwrap.fill(s, WIDTH, initial_indent="- ", subsequent_indent="  ") for s in sentences
    )


def setting(extra=()):
    """Say when, on what and with which versions the numbers were measured."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in (*PACKAGES, *extra))
    threads = os.environ.get("OMP_NUM_THREADS", "unset")
    text = (
        f"Measured {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, commit {_commit()}, Python "
        f"{platform.python_version()}, {versions}; {_processor()}, {os.cpu_count()} cores, "
        f"OMP_NUM_THREADS {threads}, load {LOAD_AT_START:.1f} at the start and "
        f"{os.getloadavg()[0]:.1f} at the end."
    )
    return textwrap.fill(text, WIDTH)


def _commit():
    def git(*words):
        command = ["git", "-C", str(HERE), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "../scaling")
        return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor():
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def publish(name, title, blocks, *, write, extra=()):
    """Print the blocks, and save them as ``results/NAME.md`` if `write`."""
    text = "\n\n".join([f"# {title}", *blocks, setting(extra)]) + "\n"
    print(text, end="")
    if write:
        folder = HERE / "results"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
        print(f"\nwrote benchmarks/results/{name}.md")
