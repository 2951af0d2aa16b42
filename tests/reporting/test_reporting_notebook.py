"""What notebooks show: short, escaped, with the warnings, and nothing of unidentified fits."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.errors import ConfigError, Message

LAW = sc.law("chinchilla")
TRUTH = dict(LAW.published[0].params)


def grid(multiplier=1.0, seed=0, group="A"):
    rng = np.random.default_rng(seed)
    parts = []
    for budget in (1e18, 1e19, 1e20, 1e21):
        n = float(LAW.frontier.size(TRUTH, budget)) * np.geomspace(0.25, 4, 7)
        x = {"N": n, "D": budget / 6 / n}
        gamma = TRUTH["alpha"] * TRUTH["beta"] / (TRUTH["alpha"] + TRUTH["beta"])
        loss = TRUTH["E"] + (LAW.loss(TRUTH, x) - TRUTH["E"]) * multiplier**-gamma
        loss = loss * np.exp(0.002 * rng.standard_normal(7))
        parts.append(pd.DataFrame({**x, "C": budget, "budget": budget, "loss": loss}))
    return pd.concat(parts, ignore_index=True).assign(group=group)


@pytest.fixture(scope="module")
def fit():
    return sc.fit(grid(), "chinchilla", bootstrap=50)


def test_a_fit(fit):
    page = fit._repr_html_()
    assert len(page) < 10_000
    for text in ("chinchilla", "28 rows", "converged", "alpha", "95% intervals", "C = 6*N*D"):
        assert text in page
    assert page.count("<tr>") == 1 + len(fit.params)


def test_a_terminal_shows_a_line(fit):
    """A shell shows what a value is in a line; `print` says more."""
    alone = replace(fit, law=sc.law("chinchilla"), group=None)
    assert repr(alone).startswith("Fit(chinchilla, 28 rows, converged: E 1.")
    assert (
        repr(replace(fit, status="not-identified"))
        == "Fit(chinchilla, group A, 28 rows, not-identified)"
    )
    minima = sc.isoflop(grid(), bootstrap=0)
    study = {"schema": 1, "data": {"source": "stdlib"}, "model": {"family": "decoder"},
             "design": {"kind": "grid", "params": [1e4], "data": [1e6, 2e6]}}  # fmt: skip
    shown = (sc.fit(grid(), bootstrap=0, approach=["surface", "isoflop"]), minima, fit.law,
             sc.report(fit), sc.compare(fit), sc.plan(study))  # fmt: skip
    for value in shown:
        assert repr(value).startswith(f"{type(value).__name__}(")
        assert len(repr(value)) < 300
        assert "\n" not in repr(value)


def test_other_approaches_are_shown_beside_the_fits():
    found = sc.fit(grid(), bootstrap=0, approach=["surface", "isoflop", "envelope"])
    page = found._repr_html_()
    assert [a.approach for a in found.allocations] == ["surface", "isoflop", "envelope"]
    assert "<b>isoflop: a = " in page
    assert "<b>envelope: a = " in page
    assert len(page) < 10_000
    assert "isoflop" in dir(found.plot)


def test_what_is_not_identified_is_not_shown(fit):
    page = replace(fit, status="not-identified")._repr_html_()
    assert "No headline numbers" in page
    assert "<table>" not in page


def test_texts_are_escaped_and_warnings_shown(fit):
    evil = Message("SC405", "<script>alert(1)</script>")
    page = replace(fit, group="<b>x</b>", messages=(evil,) * 9)._repr_html_()
    assert "<script>" not in page
    assert "<b>x" not in page
    assert "SC405" in page
    assert "4 more warnings" in page


def test_approaches():
    for found in (sc.isoflop(grid(), bootstrap=50), sc.envelope(grid(), bootstrap=50)):
        page = found._repr_html_()
        assert found.approach in page
        assert f"a = {found.a:.3f}" in page
        assert len(page) < 10_000


def test_comparisons(fit):
    both = pd.concat([grid(), grid(1.2, 1, "B")], ignore_index=True)
    page = sc.compare(sc.fit(both, "chinchilla", bootstrap=30))._repr_html_()
    assert "Recipes" in page
    assert "group B" in page
    laws = sc.compare(sc.fit(grid(), ["chinchilla", "over-training"], bootstrap=0))._repr_html_()
    assert "Laws" in laws
    assert "over-training" in laws
    assert "papers" in sc.compare([fit])._repr_html_()


def test_several_fits():
    both = pd.concat([grid(), grid(1.2, 1, "B")], ignore_index=True)
    page = sc.fit(both, "chinchilla", bootstrap=30)._repr_html_()
    assert page.count("chinchilla") >= 2
    assert len(page) < 20_000


def test_a_report_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="no fits"):
        sc.report([])
