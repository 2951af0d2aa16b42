"""The whole chain against a truth that is known exactly: the entropy rate of a Markov chain."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from scaling.planning.study import read_study
from scaling.runs.manifest import resolve

STUDY = Path(__file__).parents[1] / "sweeps" / "known-truth.toml"


@pytest.mark.slow
def test_fitted_floor_is_the_entropy_rate(tmp_path):
    pytest.importorskip("torch", reason="torch is needed to train")
    command = [sys.executable, "-m", "scaling", "study", str(STUDY), "-o", str(tmp_path)]
    subprocess.run([*command, "--no-pdf"], check=True, timeout=3000)
    truth = resolve("markov", read_study(STUDY).data.options).entropy
    losses = pd.read_csv(tmp_path / "results.csv").loss
    assert truth < losses.min() <= 1.02 * truth
    (fit,) = json.loads((tmp_path / "fit.json").read_text())["fits"]
    low, high = fit["interval"]["params"]["E"]
    assert low <= truth <= high
    assert high - low < 0.1 * truth
