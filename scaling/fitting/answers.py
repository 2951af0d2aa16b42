"""One question put to everything in a ``fit.json``: rows with intervals, from each that can answer.

Surfaces answer by their law, isoFLOP minima and envelopes by their lines. What cannot answer is
named with the reason; if nothing can, the first reason is raised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from scaling.errors import ConfigError, Fault, FitError, Message, QuestionError
from scaling.fitting import questions
from scaling.fitting.allocation import allocates
from scaling.fitting.optima import Allocation
from scaling.fitting.options import check_level
from scaling.fitting.prediction import cost_of, predict
from scaling.fitting.result import Fit, Fits
from scaling.fitting.setting import amounts, refuse_allocation, refuse_unidentified

Array = NDArray[np.float64]
FAR, TOO_FAR = 100.0, 3000.0
ROUNDING = 1e-6
LINES = ("isoflop", "envelope")
OPTIONS = {
    "C": "--flops", "N": "--params", "D": "--data", "loss": "--target-loss", "off": "--off",
}  # fmt: skip
BOUNDED = ("C", "N", "D", "ratio", "excess", "compute_factor")


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes
    ----------
    C, N, D, loss : tuple of float
        Compute [FLOP], parameters, tokens and target losses; empty where not given. Those given
        are of one length, or of length one.
    off : tuple of float
        Multiples of N* whose price is asked.
    inference_tokens, unique_data, cost
        See `scaling.fitting.questions.optimal`.
    held : mapping
        Values of the law's variables beside N and D.
    level : float or None
        Level of the intervals; that of each fit if None.
    """

    C: tuple[float, ...] = ()
    N: tuple[float, ...] = ()
    D: tuple[float, ...] = ()
    loss: tuple[float, ...] = ()
    off: tuple[float, ...] = ()
    inference_tokens: float = 0.0
    unique_data: float | None = None
    cost: str | None = None
    held: Mapping[str, float] = field(default_factory=dict)
    level: float | None = None

    def __post_init__(self) -> None:
        for name, option in OPTIONS.items():
            if getattr(self, name):
                amounts(option, getattr(self, name))
        if self.level is not None:
            check_level(self.level)
        given = [name for name in ("C", "N", "D", "loss") if getattr(self, name)]
        if not given and not self.held:
            expected = "--flops, --params, --data or --target-loss"
            raise ConfigError(Fault("SC004", "predict", "nothing to predict at", expected))
        if {"C", "N", "D"} <= set(given) or (self.loss and len(given) > 2):
            raise ConfigError(
                Fault("SC004", "predict", "more is given than is free", "two of C, N, D and loss")
            )
        if {"C", "loss"} <= set(given):
            found, expected = "--flops with --target-loss", "one of them"
            raise ConfigError(Fault("SC004", "predict", found, expected))
        if self.off and given != ["C"]:
            raise ConfigError(Fault("SC004", "--off", "without a compute", "--flops C --off K"))
        if self.inference_tokens and given not in (["C"], ["loss"]):
            expected = "with --flops C or --target-loss L alone: it moves what is best"
            raise ConfigError(
                Fault("SC004", "--inference-tokens", "asked of a given run", expected)
            )
        lengths = {len(getattr(self, name)) for name in given} - {1}
        if len(lengths) > 1:
            found = " and ".join(map(str, sorted(lengths))) + " values"
            raise ConfigError(Fault("SC004", "predict", found, "lists of one length"))


@dataclass(frozen=True)
class Answer:
    """What one fit or allocation answers.

    Attributes
    ----------
    group : str or None
    law : str
        Name of the law, or the approach of an allocation.
    kind : str
        ``optimum, loss, cheapest, data, size`` or ``price``.
    level : float
    cost : str
        Formula of C.
    how : str
        Kind of the intervals; empty without any.
    frame : DataFrame
    variables : tuple of str
        What the law reads.
    checked : float or None
        How far beyond the runs the forecasts of weighted laws were checked; None of one law.
    """

    group: str | None
    law: str
    kind: str
    level: float
    cost: str
    how: str
    frame: pd.DataFrame = field(repr=False)
    variables: tuple[str, ...] = ("N", "D")
    checked: float | None = None

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of ``scaling/predict@1``."""
        out = []
        for row in self.frame.to_dict("records"):
            interval: dict[str, Any] = {"level": self.level}
            for name in BOUNDED:
                if f"{name}_lo" in row and not np.isnan(row[f"{name}_lo"]):
                    interval[name] = [_number(row[f"{name}_lo"]), _number(row[f"{name}_hi"])]
            for name, stem in (("loss", ""), ("run", "run_")):
                if f"{stem}lo" in row and not np.isnan(row[f"{stem}lo"]):
                    interval[name] = [_number(row[f"{stem}lo"]), _number(row[f"{stem}hi"])]
            inside = row.get("inside_hull")
            item: dict[str, Any] = {"group": self.group, "law": self.law, "question": self.kind}
            item |= {name: _number(row.get(name)) for name in ("C", "N", "D", "loss")}
            item["interval"] = interval if len(interval) > 1 else None
            item["extrapolation"] = {
                "factor": _number(row["factor"]),
                "inside_hull": None if inside is None else bool(inside),
            }
            extra = ("off", "excess", "compute_factor", "C_train", "capped", "ratio")
            item |= {name: _number(row[name]) for name in extra if name in row}
            out.append(item)
        return out

    @property
    def messages(self) -> tuple[Message, ...]:
        """What must be said of these rows: how far out they are."""
        factor = float(np.nanmax(self.frame["factor"])) if len(self.frame) else 0.0
        if not factor > 1.0 + ROUNDING:
            return ()
        what = self.variables[0] if len(self.variables) == 1 else "compute"
        text = f"{self.law} is extrapolated to {factor:.3g} times the largest fitted {what}"
        if what == "loss":
            text = f"{self.law} is extrapolated beyond the fitted losses, by a factor {factor:.3g}"
        if self.law in LINES:
            text = f"{self.law} is extrapolated to {factor:.3g} times the largest optimum it used"
            text += "; its loss line has no floor, so it falls too low there"
        if self.checked is not None:
            text += f"; its forecasts were checked up to {self.checked:.3g} times"
            if factor > self.checked * (1.0 + ROUNDING):
                text += ", further out intervals grow by rule"
        if factor > TOO_FAR:
            return (Message("SC410", text + ": a guess.", "error"),)
        unchecked = self.checked is not None and factor > self.checked * (1.0 + ROUNDING)
        told = factor > FAR or self.law in LINES or unchecked
        return (Message("SC410", text + ".", "warning" if told else "info"),)


def _number(value: Any) -> Any:
    if value is None or isinstance(value, (bool, np.bool_)):
        return None if value is None else bool(value)
    number = float(value)
    return number if np.isfinite(number) else None


def answers(fits: Fits, question: Question) -> tuple[list[Answer], list[Message]]:
    """Put a question to every fit and allocation.

    Returns
    -------
    answers : list of Answer
    messages : list of Message
        Extrapolation, and why some gave no answer.

    Raises
    ------
    QuestionError, FitError
        The first reason, if nothing can answer.
    """
    found: list[Answer] = []
    refused: list[QuestionError | FitError] = []
    for fit in fits.fits:
        try:
            found.append(_of_fit(fit, question))
        except (QuestionError, FitError) as error:
            refused.append(error)
    for allocation in fits.allocations:
        if allocation.approach != "surface" and _lines_answer(question):
            made = _of_lines(allocation, question)
            found += [made] if made is not None else []
    lines = [a for a in fits.allocations if a.approach != "surface"]
    if not found:
        raise refused[0] if refused else _nobody(lines)
    messages = [m for answer in found for m in answer.messages]
    answered = {(answer.law, answer.group) for answer in found}
    for fit in fits.fits:
        if (fit.law.name, fit.group) in answered:
            messages += [m for m in fit.messages if m.severity != "info"]
    for a in lines:
        if (a.approach, a.group) in answered:
            messages += [m for m in a.messages if m.severity != "info"]
    if lines and not _lines_answer(question):
        names = " and ".join(dict.fromkeys(a.approach for a in lines))
        messages.append(Message("SC430", f"{names} answer --flops alone: left out.", "info"))
    for reason in refused:
        fault = reason.faults[0]
        messages.append(Message(fault.code, f"{fault.where}: {fault.found}.", "warning"))
    return found, list(dict.fromkeys(messages))


def _nobody(lines: Sequence[Allocation]) -> QuestionError:
    found = "holds no surface"
    if lines and not any(a.line for a in lines):
        names = " and ".join(dict.fromkeys(a.approach for a in lines))
        found += f", and {names} found no line through optima"
    expected = "a surface fit; isoFLOP minima and envelopes with a line answer --flops alone"
    return QuestionError(Fault("SC430", "fit", found, expected))


def _of_fit(fit: Fit, q: Question) -> Answer:
    refuse_unidentified(fit)
    kind, frame = _frame(fit, q)
    level = q.level or (fit.interval.level if fit.interval else 0.95)
    cost = q.cost or cost_of(fit).formula
    if q.inference_tokens:
        cost += f" + 2*N*{q.inference_tokens:g}"
    how = fit.interval.kind if fit.interval else ""
    if "C" not in frame or not {"N", "D"} <= set(fit.law.variables):
        cost = ""
    checked = fit.evidence_factor if kind != "cheapest" else None  # a factor of compute, not loss
    variables = fit.law.variables
    return Answer(fit.group, fit.law.name, kind, level, cost, how, frame, variables, checked)


def _frame(fit: Fit, q: Question) -> tuple[str, pd.DataFrame]:
    """Ask the function that answers this question."""
    more: dict[str, Any] = dict(q.held)
    spend: dict[str, Any] = {"cost": q.cost, "inference_tokens": q.inference_tokens}
    if not allocates(fit.law):
        return "loss", _plain(fit, q)
    if q.off:
        return "price", questions.price(
            fit, C=q.C, off=q.off, level=q.level, unique_data=q.unique_data, **spend, **more
        )
    if q.loss and not (q.N or q.D):
        return "cheapest", questions.cheapest(
            fit, loss=q.loss, level=q.level, unique_data=q.unique_data, **spend, **more
        )
    if q.loss:
        given: dict[str, Any] = {"N": q.N or None, "D": q.D or None}
        found = questions.needed(
            fit,
            loss=q.loss,
            level=q.level,
            cost=q.cost,
            unique_data=q.unique_data,
            **given,
            **more,
        )
        return ("data" if q.N else "size"), found
    if q.C and not (q.N or q.D):
        return "optimum", questions.optimal(
            fit, C=q.C, level=q.level, unique_data=q.unique_data, **spend, **more
        )
    return "loss", questions.at(
        fit, C=q.C, N=q.N, D=q.D, level=q.level, cost=q.cost, unique_data=q.unique_data, **more
    )


def _plain(fit: Fit, q: Question) -> pd.DataFrame:
    """Predict by a law that divides no compute: its variables must be those that were given."""
    given = {name: getattr(q, name) for name in ("C", "N", "D") if getattr(q, name)} | dict(q.held)
    if q.loss and "loss" in fit.law.variables:
        given["loss"] = q.loss
    elif q.loss:
        refuse_allocation(fit)
    for option, value in (
        ("--unique-data", q.unique_data), ("--inference-tokens", q.inference_tokens or None),
        ("--cost", q.cost),
    ):  # fmt: skip
        if value is not None:
            found = f"law {fit.law.name} reads {', '.join(fit.law.variables)} alone"
            raise QuestionError(Fault("SC430", option, found, "a law of both N and D"))
    missing = [v for v in fit.law.variables if v not in given]
    beside = [v for v in given if v not in fit.law.variables]
    if beside or len(missing) == len(fit.law.variables):
        refuse_allocation(fit)
    if missing:
        names = {"N": "--params VALUE", "D": "--data VALUE", "C": "--flops VALUE"}
        mend = names.get(missing[0], f"--set {missing[0]}=VALUE")
        found = f"reads {missing[0]} too, and no value was given"
        raise QuestionError(Fault("SC430", f"law {fit.law.name}", found, "a value", mend))
    return predict(fit, level=q.level, **given)


# ------------------------------------------------------------------------------------------ lines


def _lines_answer(q: Question) -> bool:
    """Whether lines through optima can answer: only what is best at a compute."""
    plain = not (q.N or q.D or q.loss or q.off or q.held or q.inference_tokens)
    return bool(q.C) and plain and q.unique_data is None and q.cost is None


def _of_lines(allocation: Allocation, q: Question) -> Answer | None:
    """Answer from power laws through minima or winners; None where there are none."""
    line = allocation.line
    if not line or not allocation.minima:
        return None
    compute = np.asarray(q.C, dtype=np.float64)
    interval = allocation.interval or {}
    level = q.level or float(interval.get("level", 0.95))
    tail = 50.0 * (1.0 - level)
    used = [m for m in allocation.minima if m.N is not None or "N" not in line]
    columns: dict[str, Any] = {"C": compute}
    for name, stem in (("N", "N_"), ("D", "D_"), ("loss", "")):
        if name not in line:
            continue
        mean = line[name][0] + line[name][1] * np.log(compute)
        ends = np.full((2, len(compute)), np.nan)
        if name in allocation.draws:
            starts, slopes = (np.asarray(x)[:, None] for x in allocation.draws[name])
            ends = np.percentile(starts + slopes * np.log(compute), [tail, 100.0 - tail], axis=0)
            # What the line leaves over at the optima is no noise of theirs: it is added.
            wide = float(stdtrit(max(1, len(used) - 2), 1.0 - tail / 100.0))
            wide *= allocation.left.get(name, 0.0) if name == "loss" else 0.0
            ends = mean + np.array([[-1.0], [1.0]]) * np.hypot(np.abs(ends - mean), wide)
        columns[name] = np.exp(mean)
        columns[f"{stem}lo"], columns[f"{stem}hi"] = np.exp(ends)
    if {"N", "D"} <= set(columns):
        columns["ratio"] = columns["D"] / columns["N"]
    columns["factor"] = compute / max(m.budget for m in used)
    columns["inside_hull"] = [None] * len(compute)
    return Answer(
        allocation.group,
        allocation.approach,
        "optimum",
        level,
        allocation.cost["formula"],
        str(interval.get("kind", "")),
        pd.DataFrame(columns),
    )


def select(fits: Fits, laws: Sequence[str], group: str | None) -> Fits:
    """Return the fits and allocations of some laws, approaches or groups.

    Raises
    ------
    ConfigError
        SC004 with what there is, if nothing is left.
    """

    def wanted(name: str, own: str | None) -> bool:
        return (not laws or name in laws) and (group is None or own == group)

    kept = tuple(f for f in fits.fits if wanted(f.law.name, f.group) or wanted("surface", f.group))
    lines = [a for a in fits.allocations if a.approach != "surface"]
    allocations = tuple(a for a in lines if wanted(a.approach, a.group))
    if kept or allocations:
        return replace(fits, fits=kept, allocations=allocations)
    names = dict.fromkeys([f.law.name for f in fits.fits] + [a.approach for a in lines])
    seen = [*(f.group for f in fits.fits), *(a.group for a in lines)]
    groups = dict.fromkeys(str(name) for name in seen if name is not None)
    if group is not None and group not in groups:
        known = f"groups {', '.join(groups)}" if groups else "none: the table has no groups"
        raise ConfigError(Fault("SC004", "--group", f"no group {group}", known))
    found = "nothing called " + ", ".join(laws)
    raise ConfigError(Fault("SC004", "--law", found, "laws " + ", ".join(names)))
