"""The text that ``scaling fit`` prints."""

import re

import numpy as np
import pytest

import scaling as sc
from scaling.fitting.summary import digits, summarise_allocation


@pytest.fixture(scope="module")
def fit(runs, hoffmann):
    """Return a good fit."""
    frame = runs("chinchilla", hoffmann, noise=0.003)
    return sc.fit(frame, "chinchilla", bootstrap=30, interval=0.9, holdout="N > 9e9")


def lines(text, name):
    """Return the lines that give the value of a parameter."""
    return re.findall(rf"^  {name} +[-\d].*$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.347311, 0.0123, "0.347"),
        (0.347311, 0.00123, "0.3473"),
        (482.01, 124.6, "480"),
        (1.8172, None, "1.817"),
        (1.8172, 0.0, "1.817"),
        (1.8172, float("nan"), "1.817"),
        (482.0, 12000.0, "480"),
        (0.0, 0.2, "0"),
    ],
)
def test_digits_follow_the_error(value, error, text):
    assert digits(value, error) == text


def test_every_parameter_has_a_line_with_its_interval(fit):
    text = fit.summary()
    for name, (lo, hi) in fit.intervals.items():
        (line,) = lines(text, name)
        shown = line.split("–")
        assert len(shown) == 2
        assert float(shown[1].split()[0]) == pytest.approx(hi, rel=0.1), lo
    assert f"90% intervals: {fit.interval.kind}\n  30 draws, 0 failed" in text
    assert "N* ∝ C^a under C = 6*N*D" in text
    assert "log-huber delta 0.001, sum" in text
    assert "converged" in text
    assert "hold-out N > 9e9: 6 rows" in text


def test_every_message_is_printed_with_its_code(fit):
    text = fit.summary()
    assert fit.messages
    for m in fit.messages:
        mark = "  " if m.severity == "info" else "! "
        assert f"{mark}{m.text} [{m.code}]" in text


def test_what_is_not_identified_is_not_printed(runs, hoffmann):
    n = np.geomspace(1e7, 1e10, 15)
    fit = sc.fit(runs("chinchilla", hoffmann, {"N": n, "D": 20 * n}), bootstrap=10)
    text = fit.summary()
    assert "no headline numbers" in text
    for name in fit.params:
        assert lines(text, name) == []


def test_minima_and_exponents(runs, hoffmann):
    law = sc.law("chinchilla")
    compute = np.repeat([1e18, 1e19, 1e20, 1e21], 7)
    size = law.frontier.size(hoffmann, compute) * np.tile(np.geomspace(0.3, 3, 7), 4)
    size[:7] *= 8  # the first budget is not bracketed
    x = {"N": size, "D": compute / 6 / size}
    frame = runs(law, hoffmann, x, noise=1e-3).assign(budget=compute)
    text = summarise_allocation(sc.isoflop(frame, minimum="parabola", bootstrap=30))
    assert text.count("N* ") == 3
    assert "refused: " in text
    assert "a 0." in text
    assert "noise injection" in text
    assert "[SC406]" in text
