"""Fits cite the law that was fitted and the methods that were used, and no others."""

from dataclasses import replace

import pytest

import scaling as sc
from scaling.fitting.citations import citations, methods_of
from scaling.fitting.optima import Allocation
from scaling.fitting.result import Fits
from scaling.laws.references import bibtex


@pytest.fixture(scope="module")
def fit(runs, hoffmann):
    return sc.fit(runs("chinchilla", hoffmann, noise=0.002), "chinchilla", bootstrap=20)


def test_a_fit_cites_its_law_its_methods_and_this_toolkit(fit):
    keys = citations(Fits((fit,)))
    assert {"hoffmann2022", "huber1964", "golub1973", "efron1979"} <= set(keys)
    assert {"li2025survey", "scalingstudy"} <= set(keys)
    assert not {"white1982", "field2007", "akima1970", "venzon1988"} & set(keys)
    assert bibtex(keys).count("@") == len(keys)


@pytest.mark.parametrize(
    ("kind", "cluster", "method"),
    [
        ("pairs bootstrap, percentile", "row", "pairs"),
        ("cluster bootstrap by trunk, percentile", "trunk", "cluster"),
        ("wild bootstrap, Webb weights, percentile", "row", "wild"),
        ("sandwich covariance, normal draws, percentile", "row", "delta"),
    ],
)
def test_intervals_cite_their_kind(fit, kind, cluster, method):
    made = replace(fit, interval=replace(fit.interval, kind=kind, cluster=cluster))
    others = {"pairs", "cluster", "wild", "delta"} - {method}
    assert method in methods_of(made)
    assert not others & set(methods_of(made))


def test_without_intervals_none_are_cited(fit):
    assert not {"pairs", "cluster", "wild", "delta"} & set(methods_of(replace(fit, interval=None)))


def test_approaches_cite_their_curve(fit):
    made = Allocation(None, "isoflop", 0.5, 0.5, method="spline of the loss in ln N")
    assert "akima1970" in citations(Fits((fit,), (made,)))
    other = replace(made, method="powers")
    assert "akima1970" not in citations(Fits((fit,), (other,)))
