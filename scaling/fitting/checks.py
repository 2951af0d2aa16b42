"""What the data and the fit can bear: checks with codes, and the verdict on identification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Message, counted
from scaling.fitting.parts import Check, Interval

Array = NDArray[np.float64]
MIN_RATIO_SPAN = 2.0  # of D/N, below which a ray is all there is
GOOD_RATIO_SPAN = 8.0  # a design of ±3 in N at one compute spans 9
GOOD_LEVELS = {"N": 5, "D": 4, "C": 5}  # 4 to 5 sizes are usual in published grids
GOOD_SPAN = {"N": 10.0, "D": 8.0, "C": 10.0}  # of D, that of the ratios D/N
FEW_LEVELS = 4
ROUNDED = 0.99  # whole steps leave a planned factor a little short
FEW_CLUSTERS = 12
AGREEMENT = 0.25  # share of starts; the rest may end in poorer optima, or on the way
UNEVEN = 3.5  # t value beyond which a trend of the residuals is told: 1 in 2000 by chance
TREND_SHARE = 0.10  # of the residuals' variance, below which a trend is no matter
SADDLE_SHARE = 0.15  # the same of a saddle, which a few runs in the corners make
RIDGE = 1e-9
SCALES = ("N", "D", "C")
SADDLE = "ln N x ln D"
SADDLE_ROWS = 12  # fewest rows for a test of the product of ln N and ln D


def design_checks(x: Mapping[str, Array], parameters: int, n: int) -> list[Check]:
    """Judge where the runs lie, before looking at any loss."""
    checks = [
        Check(
            "points against parameters",
            "pass" if n >= 2 * parameters else "warn",
            f"{n} runs for {parameters} parameters",
            None if n >= 2 * parameters else "SC401",
            "two runs a parameter, or more",
        )
    ]
    for name, values in x.items():
        levels, span = _spread(values)
        verdict: Literal["pass", "warn", "fail"]
        if name in SCALES:
            enough = levels >= GOOD_LEVELS[name] and span >= ROUNDED * GOOD_SPAN[name]
            verdict = "pass" if enough else "warn" if levels >= FEW_LEVELS else "fail"
            wanted = f"{GOOD_LEVELS[name]} values or more over a factor {GOOD_SPAN[name]:g}"
        else:
            verdict = "pass" if levels >= 3 else "warn" if levels == 2 else "fail"
            wanted = "3 values or more"
        checks.append(
            Check(
                f"spread of {name}",
                verdict,
                f"{counted(levels, 'value')} over a factor {span:.3g}",
                None if verdict == "pass" else "SC403",
                wanted,
            )
        )
    if {"N", "D"} <= set(x):
        span = ray_span(x)
        good = span >= ROUNDED * GOOD_RATIO_SPAN
        verdict = "pass" if good else "warn" if span > MIN_RATIO_SPAN else "fail"
        checks.append(
            Check(
                "range of D/N",
                verdict,
                f"factor {span:.3g} at equal compute",
                None if verdict == "pass" else "SC402",
                f"two ratios or more, a factor {GOOD_RATIO_SPAN:g} apart or more",
            )
        )
    return checks


def _spread(values: Array) -> tuple[int, float]:
    """Distinct values, and the factor they span; infinite where one is 0."""
    if (values > 0).all():
        return len(np.unique(np.round(np.log(values), 3))), float(values.max() / values.min())
    return len(np.unique(np.round(values, 6))), np.inf


def ray_span(x: Mapping[str, Array]) -> float:
    """How far the runs leave a line in (ln N, ln D), as a factor of D/N across the line.

    A ladder of constant D/N, or any other one-dimensional path, has span 1 and cannot tell the
    terms of N and D apart.
    """
    u, v = np.log(x["N"]), np.log(x["D"])
    centred = np.stack([u - u.mean(), v - v.mean()])
    axes = np.linalg.svd(centred, full_matrices=False)[0]
    across = axes[:, 1] @ centred
    return float(np.exp(np.sqrt(2.0) * (across.max() - across.min())))


def fit_checks(x: Mapping[str, Array], r: Array, condition: float, agreement: float) -> list[Check]:
    """Judge the optimum and its residuals.

    Parameters
    ----------
    x : mapping
        Variables.
    r : ndarray
        Residuals in logs, prediction minus observation.
    condition : float
        Reciprocal condition of the scaled curvature at the optimum.
    agreement : float
        Share of starts that reached the best objective.
    """
    checks = [
        Check(
            "starts agree",
            "pass" if agreement >= AGREEMENT else "warn",
            f"{agreement:.0%} of starts reached the best objective",
            None if agreement >= AGREEMENT else "SC407",
            f"{AGREEMENT:.0%} of starts or more",
        ),
        Check(
            "curvature",
            "pass" if condition > RIDGE else "fail",
            f"reciprocal condition {condition:.1e}",
            None if condition > RIDGE else "SC405",
            f"a Hessian with a reciprocal condition above {RIDGE:.0e}",
        ),
    ]
    for name, values in x.items():
        slope, t = _trend(np.log(values) if (values > 0).all() else values, r)
        checks.append(_residual_check(name, slope, t, len(r)))
    if {"N", "D"} <= set(x) and len(r) >= SADDLE_ROWS:
        u, v = np.log(x["N"]), np.log(x["D"])
        checks.append(_residual_check("D/N", *_trend(v - u, r), len(r)))
        bent = _saddle(u, v, r)
        if bent is not None:
            checks.append(_residual_check(SADDLE, *bent, len(r)))
    return checks


def _residual_check(name: str, slope: float, t: float, n: int) -> Check:
    """Judge one trend of the residuals by its t value and by how much of them it is."""
    share = t**2 / (t**2 + max(n - 2, 1))
    least = SADDLE_SHARE if name == SADDLE else TREND_SHARE
    bad = abs(t) > UNEVEN and share >= least
    unit = "per unit" if name == SADDLE else "per factor e"
    return Check(
        f"residuals against {name}",
        "warn" if bad else "pass",
        f"slope {100 * slope:+.2f}% {unit}, t = {t:+.1f}, {share:.0%} of their variance",
        "SC414" if bad else None,
        f"|t| at most {UNEVEN:g}, or less than {least:.0%} of the variance",
    )


def _saddle(u: Array, v: Array, r: Array) -> tuple[float, float] | None:
    """Slope of `r` on the product of `u` and `v` beside both, and its t value: a saddle's.

    A law that couples N and D wrongly leaves a saddle, which neither trend alone shows. None where
    the product is no direction of its own.
    """
    u, v = u - u.mean(), v - v.mean()
    plane = np.column_stack([np.ones_like(u), u, v])
    product = u * v
    product = product - plane @ np.linalg.lstsq(plane, product, rcond=None)[0]
    rest = r - plane @ np.linalg.lstsq(plane, r, rcond=None)[0]
    square = float(product @ product)
    if square <= 1e-8 * float((u * v) @ (u * v)):
        return None
    slope = float(product @ rest) / square
    left = rest - slope * product
    error = np.sqrt(float(left @ left) / (len(r) - 4) / square)
    return slope, slope / error if error > 0 else 0.0


def noise_checks(x: Mapping[str, Array], r: Array) -> list[Check]:
    """Judge whether the residuals are of one size, and independent.

    Parameters
    ----------
    x : mapping
        Variables.
    r : ndarray
        Residuals in the objective's scale.
    """
    checks = []
    size = np.abs(r - np.median(r))
    for name, values in x.items():
        u = np.log(values) if (values > 0).all() else values
        slope, t = _trend(u, size / max(float(size.mean()), 1e-300))
        bad = abs(t) > UNEVEN and abs(slope) * float(np.ptp(u)) > 1.0
        if bad:
            found = f"their size changes by {slope:+.2f} of its mean per factor e, t = {t:+.1f}"
            wanted = f"residuals of one size over {name}: |t| at most {UNEVEN:g}"
            checks.append(Check(f"noise against {name}", "warn", found, "SC420", wanted))
        share = _shared(values, r)
        if share is not None and share[1] < 1e-3:
            found = f"{share[0]:.0%} of the variance is between values of {name}"
            wanted = f"residuals that do not depend on the value of {name}"
            checks.append(Check(f"residuals within {name}", "warn", found, "SC421", wanted))
    found, wanted = "one size over the runs, not clustered", "one size, independent"
    return checks or [Check("noise", "pass", found, None, wanted)]


def _shared(values: Array, r: Array) -> tuple[float, float] | None:
    """Share of the variance between levels of a variable, and its chance under independence.

    One-way analysis of variance; None where levels hardly repeat.
    """
    from scipy.special import fdtrc

    levels, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    between, within = len(levels) - 1, len(r) - len(levels)
    if between < 2 or within < len(levels):
        return None
    means = np.bincount(index, weights=r) / counts
    outside = float((counts * (means - r.mean()) ** 2).sum())
    inside = float(((r - means[index]) ** 2).sum())
    if inside <= 0:
        return None
    ratio = (outside / between) / (inside / within)
    return outside / (outside + inside), float(fdtrc(between, within, ratio))


def _trend(u: Array, r: Array) -> tuple[float, float]:
    """Least-squares slope of `r` on `u` and its t value."""
    u = u - u.mean()
    square = float(u @ u)
    if square <= 0 or len(u) < 4:
        return 0.0, 0.0
    slope = float(u @ (r - r.mean())) / square
    rest = r - r.mean() - slope * u
    error = np.sqrt(float(rest @ rest) / (len(u) - 2) / square)
    return slope, slope / error if error > 0 else 0.0


def interval_messages(
    interval: Interval,
    params: Mapping[str, float],
    lowest: float,
    open_ended: Sequence[str] = (),
) -> list[Message]:
    """Warnings that follow from the draws.

    Parameters
    ----------
    interval : Interval
    params : mapping
        Estimates.
    lowest : float
        Lowest loss seen.
    open_ended : sequence of str
        Free parameters that are no exponents and enter non-linearly.
    """
    messages = []
    total = interval.draws + interval.failed
    if interval.failed > 0.01 * total:
        messages.append(
            Message("SC409", f"{interval.failed} of {total} bootstrap replicates failed.")
        )
    if interval.clusters < FEW_CLUSTERS:
        messages.append(
            Message(
                "SC412",
                f"Only {interval.clusters} independent clusters "
                f"({interval.cluster}): intervals are too narrow.",
            )
        )
    for name in open_ended:
        lo, hi = interval.params[name]
        if hi - lo > 2.0 * abs(params[name]):
            text = f"{name} is not pinned down: {interval.level:.0%} interval {lo:.3g} to {hi:.3g}."
            messages.append(Message("SC418", text))
    if "E" in params:
        lo, hi = interval.params["E"]
        if lo <= 1e-6 * lowest or hi >= lowest:
            text = "The interval of the irreducible loss reaches "
            text += "0" if lo <= 1e-6 * lowest else "the lowest loss seen"
            messages.append(Message("SC411", text + ": do not quote E."))
    return messages


def told(checks: Sequence[Check], messages: Sequence[Message]) -> list[Message]:
    """Return messages for checks that did not pass and whose code nothing has told yet."""
    said = {m.code for m in messages}
    return [
        Message(c.code, f"{c.name}: {c.found}.")
        for c in checks
        if c.verdict != "pass" and c.code is not None and c.code not in said
    ]


def widest_exponent(interval: Interval, params: Mapping[str, float]) -> tuple[str, float] | None:
    """The exponent whose interval is widest relative to its estimate, and that ratio."""
    widths = {
        name: (hi - lo) / max(abs(params[name]), 1e-12)
        for name, (lo, hi) in interval.params.items()
        if name in ("alpha", "beta", "gamma", "a")
    }
    if not widths:
        return None
    worst = max(widths, key=lambda name: widths[name])
    return worst, widths[worst]
