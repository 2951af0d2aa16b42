"""The learning-rate tuning stage: few sizes, an interior optimum at each, a law, and its check.

The stage trains a few small sizes at multiples of a recipe's rate. At each size the best rate is
the minimum of a parabola in ln lr through the loss near the best run; a rate that lies at an edge
of those tried is refused. The law ``lr = k N**p`` through the optima then replaces the recipe's
rate, and is checked at the largest affordable size before a plan spends its budget on it.

Runs that diverged say that their rate is too high and bracket an optimum from above.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from scaling.errors import ConfigError, Fault, Message, PlanError, counted
from scaling.planning.recipes.optima import Optimum, Trials, find, rounded, trials_of
from scaling.planning.recipes.tuned import Check, Tuned

__all__ = [
    "Cell",
    "Check",
    "Optimum",
    "Tuned",
    "cells",
    "check_rate",
    "coordinate_widths",
    "settle",
]

Stage = Literal["tune", "check"]
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
CHECK_FACTORS = (0.5, 1.0, 2.0)
LEAST_SIZES = 3
POWER = (-1.5, 0.5)
PARABOLA = 0.05  # what a parabola may miss the best rate by, in ln lr, whatever the noise
SLACK = np.log(1.2)  # a rate this near to the best is as good
MOST_SLACK = 0.5 * np.log(2.0)  # half a step of the check, however wide the intervals are


@dataclass(frozen=True)
class Cell:
    """A run of the stage: N, D, the factor on the rate of its recipe, the seed and the stage.

    The recipe of a ``check`` cell is the tuned one (`Recipe.with_tuning`).
    """

    N: float
    D: float
    factor: float
    seed: int
    stage: Stage


def cells(
    sizes: Sequence[float],
    *,
    ratio: float | None = None,
    tokens: float | None = None,
    factors: Sequence[float] = FACTORS,
    seeds: int = 1,
    check: float | None = None,
    check_factors: Sequence[float] = CHECK_FACTORS,
) -> list[Cell]:
    """Enumerate the runs of the tuning stage, then those of its check, by size, factor and seed.

    Parameters
    ----------
    sizes : sequence of float
        N of the tuning runs; at least 3.
    ratio, tokens : float
        D/N of the runs, or one D for all of them; exactly one of the two.
    factors, check_factors : sequence of float
        Multiples of the rate; at least 3.
    seeds : int
    check : float, optional
        N at which the law is checked; larger than every size.

    Raises
    ------
    ConfigError
        SC012 for options that contradict each other.
    PlanError
        SC217 for too few sizes or factors.
    """
    own = sorted(set(sizes))
    if (ratio is None) == (tokens is None):
        found = "ratio and tokens" if ratio is not None else "neither ratio nor tokens"
        raise ConfigError(Fault("SC012", "[tuning]", found, "one of the two"))
    if check is not None and own and check <= own[-1]:
        expected = f"more than the largest tuned size, {own[-1]:g}"
        raise ConfigError(Fault("SC012", "[tuning] check", f"{check:g}", expected))
    faults = []
    if len(own) < LEAST_SIZES:
        faults.append(("sizes", len(own)))
    faults += [
        (name, len(set(given)))
        for name, given in (("factors", factors), ("check_factors", check_factors))
        if len(set(given)) < LEAST_SIZES
    ]
    if faults:
        raise PlanError(
            [
                Fault("SC217", f"[tuning] {name}", counted(n, "value"), "at least 3")
                for name, n in faults
            ]
        )
    stages: list[tuple[Stage, list[float], Sequence[float]]] = [("tune", own, factors)]
    if check is not None:
        stages.append(("check", [check], check_factors))
    return [
        Cell(size, ratio * size if ratio is not None else tokens or 0.0, factor, seed, stage)
        for stage, at, multiples in stages
        for size in at
        for factor in sorted(set(multiples))
        for seed in range(seeds)
    ]


def settle(
    rows: Iterable[Mapping[str, Any]],
    *,
    recipe: str,
    power: tuple[float, float] = POWER,
    noise: float | None = None,
    level: float = 0.95,
) -> Tuned:
    """Fit ``lr = k N**p`` through the best rates of a finished tuning stage.

    Parameters
    ----------
    rows : iterable of mapping
        Runs with ``N, D, lr, loss, status, seed`` and perhaps ``stage``; those of the check are
        left to `check_rate`.
    recipe : str
        Full name of the recipe whose rate was multiplied.
    power : tuple of float
        Bounds of p.
    noise : float, optional
        Standard deviation of ln loss between seeds; by default from repeated seeds, if there are.
    level : float
        Of the intervals.

    Raises
    ------
    PlanError
        SC215 where the best rate lies at an edge, with the run that would help; SC217 with fewer
        than 3 sizes or 3 finished rates at a size.
    """
    tuning = [row for row in rows if row.get("stage", "tune") == "tune"]
    trials = trials_of(tuning)
    if len(trials) < LEAST_SIZES:
        expected = f"at least {LEAST_SIZES} sizes with finished runs"
        raise PlanError(Fault("SC217", "the tuning stage", f"{len(trials)} sizes", expected))
    faults = [fault for trial in trials if (fault := trial.fault()) is not None]
    if faults:
        raise PlanError(faults)
    optima = find(trials, noise)
    return _through(optima, recipe=recipe, power=power, level=level)


def _through(
    optima: tuple[Optimum, ...], *, recipe: str, power: tuple[float, float], level: float
) -> Tuned:
    """Weighted least squares in logs by the fitting engine, and the errors that follow.

    Where every optimum has a standard error, they give that of the law, widened if the optima
    scatter more than they say (Birge 1932); else the scatter about the law does.
    """
    from scipy.special import stdtrit

    given = all(o.se is not None for o in optima)
    deviation = np.array([np.hypot(o.se or 0.0, PARABOLA) if given else 1.0 for o in optima])
    k, p, notes = _fit(optima, deviation, power)
    u = np.log([o.N for o in optima])
    left = np.log([o.lr for o in optima]) - np.log(k) - p * u
    weight = deviation**-2.0
    centre = float((weight * u).sum() / weight.sum())
    freedom = len(optima) - 2
    scatter = float((weight * left**2).sum() / freedom)
    widen = np.sqrt(max(1.0, scatter) if given else scatter)
    upper = 0.5 * (1.0 + level)
    known = optima[0].freedom or np.inf  # of the noise behind the errors
    quantile = float(stdtrit(known if given else freedom, upper))
    se_p = float(widen / np.sqrt((weight * (u - centre) ** 2).sum()))
    return Tuned(
        recipe=recipe,
        k=rounded(k),
        p=rounded(p),
        level=level,
        p_interval=(rounded(p - quantile * se_p), rounded(p + quantile * se_p)),
        centre=rounded(centre),
        se_level=rounded(widen / np.sqrt(weight.sum())),
        se_p=rounded(se_p),
        quantile=rounded(quantile),
        optima=optima,
        messages=notes,
    )


def _fit(
    optima: tuple[Optimum, ...], deviation: Any, power: tuple[float, float]
) -> tuple[float, float, tuple[Message, ...]]:
    """Estimate k and p; says so (SC404) where p lies on its bound."""
    import pandas as pd

    from scaling.fitting.analyse import analyse
    from scaling.fitting.options import Options
    from scaling.laws import Law
    from scaling.laws.pieces import free_exponent, scale
    from scaling.runs.read import from_frame

    starts = tuple(float(x) for x in np.linspace(*power, 5))
    law = Law(
        name="lr-size",
        title="Best learning rate against parameters",
        formula="k*N**p",
        parameters=(scale("k", "coefficient"), free_exponent("p", "N", starts)),
        variables=("N",),
        response="lr",
        reference="the tuning stage",
    )
    columns = {"N": [o.N for o in optima], "lr": [o.lr for o in optima]}
    frame = pd.DataFrame({**columns, "deviation": deviation})
    options = Options(
        objective="log-mse", delta=None, bootstrap=0, noise="deviation", bounds={"p": power}
    )
    runs = from_frame(frame, needs_loss=False)
    fit = analyse(runs, laws=[law], options=options, backtest=False).fits[0]
    notes = tuple(message for message in fit.messages if message.code == "SC404")
    return fit.params["k"], fit.params["p"], notes


def check_rate(
    tuned: Tuned, rows: Iterable[Mapping[str, Any]], *, noise: float | None = None
) -> Tuned:
    """Compare the law with the best rate at the check size.

    They agree where they differ by no more than a fifth, or, up to a factor √2, by no more than
    the interval of the law and of the optimum together.

    Parameters
    ----------
    tuned : Tuned
    rows : iterable of mapping
        As for `settle`; only those with the stage ``check`` count, of one size.
    noise : float, optional

    Returns
    -------
    Tuned
        With its `check`, and SC216 among its messages if they disagree.

    Raises
    ------
    PlanError
        SC217 without 3 finished rates at one size.
    """
    trials = trials_of([row for row in rows if row.get("stage") == "check"])
    if len(trials) != 1:
        found = f"{len(trials)} sizes with finished runs"
        raise PlanError(Fault("SC217", "the check of the tuning stage", found, "one size"))
    trial = trials[0]
    fault = trial.fault()
    if fault is not None and fault.code != "SC215":
        raise PlanError(fault)
    predicted, lo, hi = tuned.rate(trial.N)
    best = None if fault is not None else find(trials, noise)[0]
    agrees = False
    if best is not None:
        error = np.hypot(tuned.error(trial.N), np.hypot(best.se or 0.0, PARABOLA))
        apart = abs(float(np.log(best.lr / predicted)))
        allowed = max(SLACK, min(MOST_SLACK, tuned.quantile * float(error)))
        agrees = rounded(apart) <= rounded(allowed)
    check = Check(
        N=trial.N,
        D=trial.D,
        predicted=predicted,
        lo=lo,
        hi=hi,
        found=None if best is None else best.lr,
        se=None if best is None else best.se,
        excess=rounded(trial.excess(predicted)),
        agrees=agrees,
    )
    kept = tuple(m for m in tuned.messages if m.code != "SC216")
    return replace(tuned, check=check, messages=(*kept, *_disagreement(trial, check)))


def _disagreement(trial: Trials, check: Check) -> list[Message]:
    if check.agrees:
        return []
    best = trial.best_rate
    where = f"near {check.found:.3g}" if check.found else f"at or beyond {best:.3g}, an edge"
    text = (
        f"At N = {check.N:.4g} the law of the tuned sizes gives a rate of {check.predicted:.3g}, "
        f"the best is {where}; the loss there is {abs(np.expm1(-check.excess)):.2%} lower."
    )
    return [Message("SC216", text)]


COORDINATE_FACTORS = (0.5, 1, 2, 4, 8)


def coordinate_widths(base: int, step: int = 4) -> tuple[int, ...]:
    """Return the widths of a coordinate check around a base width, multiples of `step`."""
    found = {max(step, round(base * factor / step) * step) for factor in COORDINATE_FACTORS}
    return tuple(sorted(found))
