"""Groups that share parameters: the joint optimum against scipy, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import least_squares

import scaling as sc
from scaling.errors import ConfigError

TRUTHS = {
    "x": {"E": 1.7, "A": 400.0, "B": 400.0, "alpha": 0.34, "beta": 0.28},
    "y": {"E": 1.9, "A": 700.0, "B": 900.0, "alpha": 0.34, "beta": 0.28},
}
SHARE = ("alpha", "beta")


@pytest.fixture(scope="module")
def frame(runs):
    """Return two groups with the same exponents."""
    parts = [
        runs("chinchilla", truth, noise=0.003, seed=i).assign(group=name)
        for i, (name, truth) in enumerate(TRUTHS.items())
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def fits(frame):
    return sc.fit(frame, "chinchilla", objective="log-mse", share=SHARE, bootstrap=60)


def test_the_joint_optimum_is_that_of_scipy(frame, fits):
    u, v = np.log(frame.N.to_numpy()), np.log(frame.D.to_numpy())
    y, second = np.log(frame.loss.to_numpy()), (frame.group == "y").to_numpy().astype(int)

    def residual(z):
        e, a, b = z[0:2][second], z[2:4][second], z[4:6][second]
        return np.log(e + np.exp(a - z[6] * u) + np.exp(b - z[7] * v)) - y

    start = [1.7, 1.9, *np.log([400, 700, 400, 900]), 0.34, 0.28]
    best = least_squares(residual, start, xtol=1e-15, ftol=1e-15, gtol=1e-15)
    x, other = fits.fits
    assert x.objective.value == pytest.approx(2 * best.cost, rel=1e-9)
    assert other.objective.value == x.objective.value
    found = [x.params["E"], other.params["E"], x.params["alpha"], x.params["beta"]]
    assert found == pytest.approx([best.x[0], best.x[1], best.x[6], best.x[7]], rel=1e-5)


def test_each_group_has_its_fit(frame, fits):
    assert [f.group for f in fits.fits] == ["x", "y"]
    for fit, truth in zip(fits.fits, TRUTHS.values(), strict=True):
        assert fit.n == len(frame) // 2
        assert set(fit.intervals) == {*truth, "a", "b"}
        assert fit.params["E"] == pytest.approx(truth["E"], rel=0.05)
        assert "SC422" in [m.code for m in fit.messages]
        assert len(fit.rows["row"]) == fit.n
    one, two = fits.fits
    for name in SHARE:
        assert one.params[name] == two.params[name]
        assert one.intervals[name] == two.intervals[name]
    assert one.params["E"] != two.params["E"]


def test_sharing_narrows_the_exponents(frame, fits):
    alone = sc.fit(frame[frame.group == "x"], "chinchilla", objective="log-mse", bootstrap=60)
    lo, hi = alone.intervals["alpha"]
    low, high = fits.fits[0].intervals["alpha"]
    assert high - low < hi - lo


@pytest.mark.parametrize(
    "options",
    [{"share": ("gamma",)}, {"share": SHARE, "where": 'group == "x"'},
     {"share": SHARE, "holdout": "N > 1e9"}, {"share": SHARE, "profile": ("E",)}],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_shared(frame, options):
    with pytest.raises(ConfigError) as caught:
        sc.fit(frame, "chinchilla", bootstrap=0, **options)
    assert caught.value.code == "SC004"
