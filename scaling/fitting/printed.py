"""Figures that a paper printed, held against what was fitted.

A figure names a quantity, what it was printed as, and how far off it may be. These can be named:

- a parameter of the law, ``a`` or ``b``, as its estimate, standard error or end of its interval;
- ``objective``, ``n``, ``r2`` and ``r2_log`` (share of the variance of the response, or of its
  logarithm, that is explained), ``rmse_log``, all of the fitted rows;
- ``holdout_rmse_log`` and ``holdout_bias_log``;
- ``loss``, what the law gives at values of its variables, or the lowest at C alone;
- ``N``, ``D`` and ``D/N`` of the optimum at C;
- ``error`` of the prediction of a run: how far off it is, as a share of what was observed;
- of an isoFLOP or envelope approach: ``a``, ``b``, at C ``N``, ``D``, ``D/N`` and ``loss``, and
  ``loss_factor`` and ``loss_exponent`` of the lowest loss as a power of C.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, FitError, QuestionError, clip, listed
from scaling.fitting.optima import Allocation
from scaling.fitting.result import Fit, Fits

Array = NDArray[np.float64]
Found = TypeVar("Found", Fit, Allocation)
OPTIMUM = {"N": "N", "D": "D", "D/N": "ratio"}
STATISTICS = {"estimate": "", "se": "standard error", "lo": "lower end", "hi": "upper end"}


@dataclass(frozen=True)
class Printed:
    """A figure that was printed.

    Attributes
    ----------
    quantity : str
        What it is; see the module.
    value : float
    tolerance, relative : float or None
        How far off the found value may be, as it stands or as a share of `value`; one of them.
    source : str
        Citation, with the table or equation.
    note : str
    statistic : {"estimate", "se", "lo", "hi"}
        Of a quantity with an interval: itself, its standard error, or an end of its interval.
    at : mapping
        Values of the law's variables, or of C.
    run : str or None
        Run that ``error`` is about; `at` replaces values of its variables.
    mean : bool
        Whether it is the mean over all fits that the selectors leave.
    fit, law, group, objective : str or None
        Which fit: the name of its section, the law, the group, the objective.
    approach : {"surface", "isoflop", "envelope"}
        Whether it is of a fit or of an allocation.
    """

    quantity: str
    value: float
    source: str
    tolerance: float | None = None
    relative: float | None = None
    note: str = ""
    statistic: str = "estimate"
    at: Mapping[str, float] = field(default_factory=dict)
    run: str | None = None
    mean: bool = False
    fit: str | None = None
    law: str | None = None
    group: str | None = None
    approach: str = "surface"
    objective: str | None = None

    @property
    def allowed(self) -> float:
        """How far off the found value may be."""
        if self.tolerance is not None:
            return self.tolerance
        return abs(self.value) * (self.relative or 0.0)

    @property
    def label(self) -> str:
        """What it is, in words."""
        parts = ["mean " + self.quantity if self.mean else self.quantity]
        if self.statistic != "estimate":
            parts.append(STATISTICS[self.statistic])
        text = ", ".join(parts)
        if self.run is not None:
            text += f" of {self.run}"
        if self.at:
            text += " at " + ", ".join(f"{k} = {v:g}" for k, v in self.at.items())
        return text

    @property
    def of(self) -> str:
        """Whose it is, in words: what its selectors say."""
        chosen = [self.fit, self.law, self.objective, self.group]
        if self.approach != "surface":
            chosen.insert(1, self.approach)
        return ", ".join(text for text in chosen if text)


def compare_with_printed(
    parts: Sequence[tuple[str | None, Fits]], figures: Sequence[Printed]
) -> list[dict[str, Any]]:
    """Hold what was found against what was printed.

    Parameters
    ----------
    parts : sequence of (str or None, Fits)
        What each fit of a study gave, by the name of its section.
    figures : sequence of Printed

    Returns
    -------
    list of dict
        In the order of `figures`: ``quantity`` and ``of`` in words, ``printed``, ``found`` (None
        where there is none, with ``why``), ``tolerance`` as a difference, ``agrees``, ``source``,
        ``note``, and the selectors ``fit, law, group, approach``.

    Raises
    ------
    ConfigError
        SC012 for a figure that names no fit, several, or an unknown quantity.
    """
    return [_row(parts, figure, number) for number, figure in enumerate(figures, start=1)]


def _row(parts: Sequence[tuple[str | None, Fits]], figure: Printed, number: int) -> dict[str, Any]:
    where = f"[[printed]] {number} {figure.quantity}"
    found, why = None, ""
    try:
        found = _found(parts, figure, where)
    except (QuestionError, FitError) as error:
        why = error.faults[0].found
    agrees = found is not None and bool(abs(found - figure.value) <= figure.allowed)
    return {
        "quantity": figure.label,
        "of": figure.of,
        "printed": figure.value,
        "found": found,
        "tolerance": figure.allowed,
        "agrees": agrees,
        "why": why,
        "source": figure.source,
        "note": figure.note,
        "fit": figure.fit,
        "law": figure.law,
        "group": figure.group,
        "approach": figure.approach,
    }


def _found(parts: Sequence[tuple[str | None, Fits]], figure: Printed, where: str) -> float:
    """Return the quantity of the one fit or allocation that is meant, or the mean over all."""
    chosen = [part for name, part in parts if figure.fit in (None, name)]
    if figure.approach == "surface":
        fits = [f for part in chosen for f in part.fits if _meant(f, figure)]
        values = [_of_fit(f, figure, where) for f in _several(fits, figure, where)]
    else:
        allocations = [a for part in chosen for a in part.allocations if _is(a, figure)]
        values = [_of_allocation(a, figure, where) for a in _several(allocations, figure, where)]
    if not np.isfinite(values).all():
        raise QuestionError(Fault("SC430", figure.quantity, "is not finite"))
    return float(np.mean(values))


def _meant(fit: Fit, figure: Printed) -> bool:
    return (
        figure.law in (None, fit.law.name)
        and figure.group in (None, fit.group)
        and figure.objective in (None, fit.objective.name)
    )


def _is(allocation: Allocation, figure: Printed) -> bool:
    same = allocation.approach == figure.approach
    return same and figure.group in (None, allocation.group)


def _several(found: Sequence[Found], figure: Printed, where: str) -> Sequence[Found]:
    if not found or (len(found) > 1 and not figure.mean):
        count = "no fit" if not found else f"{len(found)} fits"
        text = f'{count} for "{clip(figure.of)}"' if figure.of else count
        expected = "one: fit, law, group, objective or approach choose it"
        raise ConfigError(Fault("SC012", where, text, expected, "mean = true averages several"))
    return found


# ------------------------------------------------------------------------------------ of a fit


def _of_fit(fit: Fit, figure: Printed, where: str) -> float:
    name = figure.quantity
    if name in SCORES:
        return _estimate_only(figure, where, SCORES[name](fit))
    if name == "error":
        return _estimate_only(figure, where, _error(fit, figure, where))
    if name == "loss":
        return _loss(fit, figure, where)
    if name in OPTIMUM:
        if "C" not in figure.at:
            raise ConfigError(Fault("SC012", where, "at no C", "at = { C = 1e21 }"))
        frame = fit.optimal(**_named(figure.at))
        return _cell(frame.iloc[0], OPTIMUM[name], figure, where)
    if name not in fit.params:
        known = listed([*fit.params, *SCORES, *OPTIMUM, "loss", "error"], 30)
        raise ConfigError(Fault("SC012", where, "is nothing that this fit has", known))
    if figure.statistic == "estimate":
        return float(fit.params[name])
    interval = fit.interval
    if interval is None or name not in interval.params:
        raise QuestionError(Fault("SC430", name, "has no interval: the fit had no replicates"))
    if figure.statistic == "se":
        return float(interval.se[name])
    return float(interval.params[name][figure.statistic == "hi"])


def _estimate_only(figure: Printed, where: str, value: float) -> float:
    if figure.statistic != "estimate":
        found = f'statistic = "{figure.statistic}", and it has no interval'
        raise ConfigError(Fault("SC012", where, found, "no statistic"))
    return value


def _fitted_rows(fit: Fit) -> tuple[Array, Array]:
    """Return what was observed and what is predicted on the fitted rows."""
    used = np.asarray(fit.rows["used"], dtype=bool)
    observed, predicted = (
        np.asarray(fit.rows[name], dtype=np.float64)[used] for name in (fit.response, "predicted")
    )
    return observed, predicted


def _r2(fit: Fit, *, logs: bool) -> float:
    observed, predicted = (np.log(v) if logs else v for v in _fitted_rows(fit))
    spread = ((observed - observed.mean()) ** 2).sum()
    return float(1.0 - ((observed - predicted) ** 2).sum() / spread)


def _rmse_log(fit: Fit) -> float:
    observed, predicted = _fitted_rows(fit)
    return float(np.sqrt((np.log(predicted / observed) ** 2).mean()))


def _holdout(fit: Fit, name: str) -> float:
    if fit.holdout is None:
        raise QuestionError(Fault("SC430", "holdout", "no rows were held out"))
    return float(getattr(fit.holdout, name))


SCORES: Mapping[str, Callable[[Fit], float]] = {
    "objective": lambda fit: fit.objective.value,
    "n": lambda fit: float(fit.n),
    "r2": lambda fit: _r2(fit, logs=False),
    "r2_log": lambda fit: _r2(fit, logs=True),
    "rmse_log": _rmse_log,
    "holdout_rmse_log": lambda fit: _holdout(fit, "rmse_log"),
    "holdout_bias_log": lambda fit: _holdout(fit, "bias_log"),
}


def _named(at: Mapping[str, float]) -> dict[str, Any]:
    """Return values as keyword arguments."""
    return dict(at)


def _loss(fit: Fit, figure: Printed, where: str) -> float:
    at = set(figure.at)
    if set(fit.law.variables) <= at:
        frame = fit.predict(**_named(figure.at))
    elif "C" in at and not {"N", "D"} & at:
        frame = fit.optimal(**_named(figure.at))
    else:
        expected = "values of " + ", ".join(fit.law.variables) + ", or of C"
        raise ConfigError(
            Fault("SC012", where, f"at {', '.join(sorted(at)) or 'nothing'}", expected)
        )
    return _cell(frame.iloc[0], "loss", figure, where)


def _cell(row: Any, name: str, figure: Printed, where: str) -> float:
    """Read an answer, or an end of its interval, off its columns."""
    if figure.statistic == "se":
        raise ConfigError(Fault("SC012", where, "has no standard error", "lo, hi or none"))
    if figure.statistic != "estimate":
        name = figure.statistic if name == "loss" else f"{name}_{figure.statistic}"
    return float(row[name])


def _error(fit: Fit, figure: Printed, where: str) -> float:
    """How far off a run's prediction is, perhaps one at other values of its variables."""
    runs = fit.rows.get("run", [])
    at = [i for i, run in enumerate(runs) if run is not None and str(run) == figure.run]
    if len(at) != 1:
        found = f'run "{clip(str(figure.run))}" stands {len(at)} times'
        raise ConfigError(Fault("SC012", where, found, "run = the name of one run of the table"))
    own = {name: float(fit.rows[name][at[0]]) for name in fit.law.variables}
    predicted = float(fit.law.loss(fit.params, {**own, **figure.at}))
    return abs(predicted / float(fit.rows[fit.response][at[0]]) - 1.0)


# ----------------------------------------------------------------------------- of an allocation


def _of_allocation(allocation: Allocation, figure: Printed, where: str) -> float:
    name = figure.quantity
    if name in ("a", "b"):
        return _exponent(allocation, name, figure, where)
    _estimate_only(figure, where, 0.0)
    if name in ("loss_factor", "loss_exponent"):
        level, slope = _line(allocation, "loss")
        return float(np.exp(level)) if name == "loss_factor" else slope
    if name not in ("N", "D", "D/N", "loss") or "C" not in figure.at:
        known = "a, b, loss_factor, loss_exponent; N, D, D/N, loss at = { C = … }"
        raise ConfigError(Fault("SC012", where, "is nothing that an allocation has", known))
    log_c = float(np.log(figure.at["C"]))
    logs = {k: _line(allocation, k) for k in (("N", "D") if name == "D/N" else (name,))}
    values = {k: level + slope * log_c for k, (level, slope) in logs.items()}
    return float(np.exp(values["D"] - values["N"] if name == "D/N" else values[name]))


def _exponent(allocation: Allocation, name: str, figure: Printed, where: str) -> float:
    if figure.statistic == "se":
        raise ConfigError(Fault("SC012", where, "has no standard error", "lo, hi or none"))
    value = getattr(allocation, name)
    if figure.statistic != "estimate":
        ends = (allocation.interval or {}).get(name)
        value = None if ends is None else ends[figure.statistic == "hi"]
    if value is None:
        raise QuestionError(Fault("SC430", name, f"{allocation.approach} gives none"))
    return float(value)


def _line(allocation: Allocation, name: str) -> tuple[float, float]:
    if name not in allocation.line:
        raise QuestionError(Fault("SC430", name, f"{allocation.approach} gives no line of it"))
    level, slope = allocation.line[name]
    return float(level), float(slope)
