"""Shared fixtures: real data by checksum, and files in the test's folder."""

import csv
import hashlib
import os
from pathlib import Path

import pytest

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["SCALING_CONFIG"] = os.devnull  # nobody's own settings


@pytest.fixture(scope="session")
def absent():
    """Return what to call where something is not there: skips, but fails in CI."""

    def end(reason):
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)

    return end


@pytest.fixture(scope="session")
def data_dir(absent):
    """Return the folder of other people's runs, which SCALING_DATA_DIR names."""
    root = os.environ.get("SCALING_DATA_DIR")
    if not root:
        absent("SCALING_DATA_DIR is not set: the public data are not bundled")
    path = Path(root)
    if not (path / "MANIFEST.csv").is_file():
        absent(f"SCALING_DATA_DIR has no MANIFEST.csv: {root}")
    return path


@pytest.fixture(scope="session")
def shared_file(data_dir):
    """Return the path of a file of `data_dir`, checked against the manifest."""
    with (data_dir / "MANIFEST.csv").open(newline="", encoding="utf-8") as handle:
        expected = {row["path"]: row["sha256"] for row in csv.DictReader(handle)}

    def find(name: str) -> Path:
        assert name in expected, f"{name} is not in MANIFEST.csv"
        path = data_dir / name
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        assert found == expected[name], f"{name} is not the file of the manifest"
        return path

    return find


@pytest.fixture
def write(tmp_path):
    """Write a file into the test's folder and return its path."""

    def make(name: str, text: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return make


@pytest.fixture
def small_table(tmp_path):
    """Write a table of 36 runs that follow a known law, and return its path."""
    rows = ["params,tokens,flops,loss"]
    for i in range(6):
        for j in range(6):
            n, d = 1e7 * 2.2**i, 1e9 * 2.0**j
            loss = 1.7 + 400 / n**0.34 + 410 / d**0.28 + 0.002 * ((i * 7 + j * 3) % 5 - 2)
            rows.append(f"{n},{d},{6 * n * d},{loss}")
    path = tmp_path / "results.csv"
    path.write_text("\n".join(rows) + "\n")
    return path
