"""Training data: the same on every call, and known exactly where they claim to be."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scaling.errors import ConfigError, TrainingError
from scaling.runs.manifest import load, resolve
from scaling.runs.sources.markov import entropy_rate, transition_matrix

ROOT = Path(__file__).parents[2]
SMALL = {"symbols": 8, "tokens": 60_000, "validation_tokens": 6_000}
CHAIN = {"symbols": 16, "concentration": 0.3, "seed": 5}
AGAIN = (
    "from scaling.runs.manifest import resolve\n"
    "print(resolve('stdlib').hash)\n"
    f"print(resolve('markov', {SMALL!r}).hash)"
)


def test_hashes_are_the_same_in_another_process():
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"}
    out = subprocess.run(
        [sys.executable, "-c", AGAIN], capture_output=True, text=True, env=env, check=True
    )
    assert out.stdout.split() == [resolve("stdlib").hash, resolve("markov", SMALL).hash]


def test_the_standard_library_as_data():
    manifest = resolve("stdlib")
    train, validation = load(manifest.as_dict())
    assert (len(train), len(validation)) == (manifest.train_tokens, manifest.validation_tokens)
    assert manifest.entropy is None
    assert manifest.vocabulary == 256
    assert 0.01 < len(validation) / len(train) < 0.2
    assert b"class OrderedDict(dict)" in train.tobytes() + validation.tobytes()


def test_validation_text_is_not_in_the_training_text():
    train, validation = (part.tobytes() for part in load(resolve("stdlib").as_dict()))
    files = [f for f in validation.split(b"\0") if len(f) > 200]
    assert len(files) > 10
    assert not any(b"\0" + f + b"\0" in train for f in files)


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_entropy_rate_from_the_stationary_distribution(seed):
    """Compare with the left eigenvector of the chain, found by powers."""
    chain = transition_matrix(CHAIN | {"seed": seed})
    pi = np.linalg.matrix_power(chain, 4096).mean(axis=0)
    logs = np.log(chain, out=np.zeros_like(chain), where=chain > 0)
    expected = -sum(pi[i] * chain[i, j] * logs[i, j] for i in range(16) for j in range(16))
    assert entropy_rate(chain) == pytest.approx(expected, rel=1e-9)
    options = {**CHAIN, "seed": seed, "tokens": 1000, "validation_tokens": 100}
    assert resolve("markov", options).entropy == pytest.approx(expected, rel=1e-9)


def test_entropy_rates_known_by_hand():
    assert entropy_rate(np.full((4, 4), 0.25)) == pytest.approx(np.log(4), rel=1e-12)
    assert entropy_rate(np.array([[0.0, 1.0], [1.0, 0.0]])) == pytest.approx(0, abs=1e-12)
    p, q = 0.2, 0.5  # two states: pi = (q, p) / (p + q)
    h = [-x * np.log(x) - (1 - x) * np.log(1 - x) for x in (p, q)]
    chain = np.array([[1 - p, p], [q, 1 - q]])
    assert entropy_rate(chain) == pytest.approx((q * h[0] + p * h[1]) / (p + q), rel=1e-12)


def test_samples_follow_the_chain():
    options = {"symbols": 4, "seed": 3, "tokens": 400_000, "validation_tokens": 1000}
    manifest = resolve("markov", options)
    train, _ = load(manifest.as_dict())
    counts = np.zeros((4, 4))
    np.add.at(counts, (train[:-1], train[1:]), 1)
    observed = counts / counts.sum(axis=1, keepdims=True)
    chain = transition_matrix(dict(manifest.options))
    error = np.sqrt(chain * (1 - chain) / counts.sum(axis=1, keepdims=True))
    assert (np.abs(observed - chain) < 5 * error + 1e-3).all()


def test_what_differs_has_another_hash():
    base = resolve("markov", SMALL).hash
    for change in ({"seed": 1}, {"symbols": 9}, {"concentration": 0.4}, {"tokens": 60_001}):
        assert resolve("markov", SMALL | change).hash != base


def test_naming_a_default_changes_nothing():
    """Study files give options as floats; the default is the same data, so the same manifest."""
    explicit = {**{k: float(v) for k, v in SMALL.items()}, "seed": 0.0}
    from scaling.runs.files import canonical_json

    assert canonical_json(resolve("markov", SMALL).as_dict()) == canonical_json(
        resolve("markov", explicit).as_dict()
    )


def test_data_that_differ_from_the_plan_are_refused():
    manifest = resolve("markov", SMALL).as_dict() | {"hash": "0" * 64}
    with pytest.raises(TrainingError) as caught:
        load(manifest)
    assert (caught.value.code, caught.value.exit_code) == ("SC305", 1)


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("wikipedia", {}),
        ("stdlib", {"tokens": 5}),
        ("markov", {"token": 5}),
        ("markov", {"symbols": 1}),
        ("markov", {"symbols": 257}),
        ("markov", {"symbols": 8.5}),
        ("markov", {"seed": -1}),
        ("markov", {"concentration": 0.0}),
        ("markov", {"concentration": float("nan")}),
        ("markov", {"tokens": float("nan")}),
        ("markov", {"tokens": float("inf")}),
        ("markov", {"tokens": 0}),
        ("markov", {"tokens": 1e15}),
        ("markov", {"validation_tokens": 0}),
        ("markov", {"tokens": "many"}),
    ],
)
def test_options_that_cannot_be_meant(source, options):
    small = {"tokens": 1000, "validation_tokens": 100} if source == "markov" else {}
    with pytest.raises(ConfigError) as caught:
        resolve(source, small | options)
    assert caught.value.code in ("SC011", "SC012")
