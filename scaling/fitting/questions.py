"""Questions that decide how compute is spent, each answered with intervals.

How large a model on how much data (`optimal`), the least compute for a loss (`cheapest`), the data
or the size that a loss still needs (`needed`), and what a size off the optimum costs (`price`).
Inference is paid by ``2 N`` FLOP a token (Sardana et al. 2024). A question that the law cannot
answer is refused, with the nearest one that it can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, FitError, QuestionError
from scaling.fitting.allocation import (
    allocates,
    amount_for,
    best_size,
    least_cost,
    with_unique_data,
)
from scaling.fitting.prediction import Bands, Params, cost_of, extrapolation
from scaling.laws import Law
from scaling.laws.cost import Cost

if TYPE_CHECKING:
    from scaling.fitting.result import Fit

Array = NDArray[np.float64]
ENOUGH = 1e60  # FLOP, tokens or parameters that stand for no limit


def optimal(
    fit: Fit,
    *,
    C: Any,
    level: float | None = None,
    cost: str | Cost | None = None,
    inference_tokens: float = 0.0,
    unique_data: float | None = None,
    **held: float,
) -> pd.DataFrame:
    """Compute-optimal N and D, with the loss there.

    Parameters
    ----------
    fit : Fit
        Of a law of N and D.
    C : float or array_like
        Compute [FLOP] in the meaning of `cost`; with `inference_tokens`, training and inference
        together.
    level : float, optional
        Level of the intervals; the fit's own if None.
    cost : str or Cost, optional
        Formula of N and D; the fit's own if None.
    inference_tokens : float
        Tokens that the model will serve, at 2N FLOP each.
    unique_data : float, optional
        Distinct data [count]: read by a law of repeated data, else a cap on D.
    **held : float
        Values of the law's variables beside N and D.

    Returns
    -------
    DataFrame
        ``C, N, N_lo, N_hi, D, D_lo, D_hi, ratio, ratio_lo, ratio_hi`` (D/N), ``loss, lo, hi,
        factor, inside_hull``, and ``C_train`` with inference, ``capped`` with a cap; bounds are NaN
        without draws.

    Raises
    ------
    QuestionError
        SC430 if the law has no such optimum; SC432 if the data cannot be spent.
    """
    compute = _amounts("C", C)
    setting = _Setting.of(fit, cost, inference_tokens, unique_data, held)
    bands = Bands(fit, level)
    log_c = np.log(compute)

    def place(p: Params) -> tuple[Array, Array]:
        return setting.place(p, log_c)

    u, v = place(fit.params)
    if np.isnan(u).any():
        where = f"C = {compute[np.isnan(u)][0]:.3g}"
        expected = "a compute at which the loss along the budget has a minimum"
        found = f"law {fit.law.name} has no optimum there"
        raise QuestionError(Fault("SC430", where, found, expected))
    columns: dict[str, Any] = {"C": compute}
    drawn = place({k: d[:, None] for k, d in fit.draws.items()}) if fit.draws else None
    n, d = np.exp(u), np.exp(v)
    for name, mean, index in (("N", n, 0), ("D", d, 1), ("ratio", d / n, None)):
        columns[name] = mean
        draws = np.zeros((0, len(compute)))
        if drawn is not None:
            log = drawn[index] if index is not None else drawn[1] - drawn[0]
            draws = bands.about(mean, np.exp(log))
        columns[f"{name}_lo"], columns[f"{name}_hi"] = bands.ends(draws, compute.shape)

    def lowest(p: Params) -> Array:
        at = (u, v) if drawn is None or p is fit.params else drawn
        return setting.loss(p, np.exp(at[0]), np.exp(at[1]))

    columns |= _loss_columns(bands, lowest, compute.shape)
    columns |= extrapolation(fit, {"N": n, "D": d}, compute.shape)
    if inference_tokens:
        columns["C_train"] = setting.training.compute(n, d)
    if setting.cap is not None:
        columns["capped"] = d >= setting.cap * (1.0 - 1e-12)
    return pd.DataFrame(columns)


def at(
    fit: Fit,
    *,
    C: Any = (),
    N: Any = (),
    D: Any = (),
    level: float | None = None,
    cost: str | Cost | None = None,
    unique_data: float | None = None,
    **held: float,
) -> pd.DataFrame:
    """Loss at two of C, N and D; the third follows from the cost.

    Parameters
    ----------
    fit, level, cost, unique_data, held
        See `optimal`.
    C, N, D : float or array_like
        Two of them, the third left out.

    Returns
    -------
    DataFrame
        ``C, N, D, loss, lo, hi, run_lo, run_hi, factor, inside_hull``.

    Raises
    ------
    QuestionError
        SC430 if one alone is given, or nothing is left for the other; SC432 for data beyond the
        cap.
    """
    setting = _Setting.of(fit, cost, 0.0, unique_data, held)
    names = ("C", "N", "D")
    given = {k: _amounts(k, v) for k, v in zip(names, (C, N, D), strict=True) if np.size(v)}
    if len(given) != 2:
        missing = " and ".join(name for name in ("N", "D") if name not in given)
        found = f"{', '.join(given) or 'nothing'} alone says no loss"
        mend = "--params N --data D, or one of them with --flops C; --flops C alone is the optimum"
        raise QuestionError(Fault("SC430", f"law {fit.law.name}", found, f"also {missing}", mend))
    given = dict(zip(given, np.broadcast_arrays(*given.values()), strict=True))
    if "D" not in given:
        given["D"] = np.exp(setting.cost.log_tokens(np.log(given["N"]), np.log(given["C"])))
    elif "N" not in given:
        given["N"] = np.exp(setting.cost.log_size(np.log(given["D"]), np.log(given["C"])))
    else:
        given["C"] = setting.cost.compute(given["N"], given["D"])
    if not all(np.isfinite(value).all() for value in given.values()):
        raise QuestionError(Fault("SC430", "C", "is used up before anything is left", "more C"))
    setting.refuse_beyond_cap(given["D"])
    bands = Bands(fit, level)
    columns: dict[str, Any] = {name: given[name] for name in names}
    shape = given["C"].shape
    columns |= _loss_columns(bands, lambda p: setting.loss(p, given["N"], given["D"]), shape)
    return pd.DataFrame(columns | extrapolation(fit, given, shape))


def cheapest(
    fit: Fit,
    *,
    loss: Any,
    level: float | None = None,
    cost: str | Cost | None = None,
    inference_tokens: float = 0.0,
    unique_data: float | None = None,
    **held: float,
) -> pd.DataFrame:
    """Least compute that reaches a loss, and how to spend it.

    Parameters
    ----------
    fit, level, cost, inference_tokens, unique_data, held
        See `optimal`.
    loss : float or array_like
        Loss to reach.

    Returns
    -------
    DataFrame
        ``loss, C, C_lo, C_hi, N, N_lo, …, D, …, factor, inside_hull``; a bound is infinite where
        some draws never reach the loss.

    Raises
    ------
    QuestionError
        SC431 for a loss below what the law reaches with any compute.
    """
    target = _amounts("loss", loss)
    setting = _Setting.of(fit, cost, inference_tokens, unique_data, held)
    bands = Bands(fit, level)

    def least(p: Params) -> tuple[Array, Array, Array]:
        return least_cost(setting.law, p, np.log(target), setting.cost, setting.held, setting.cap)

    best = least(fit.params)
    if np.isnan(best[0]).any():
        raise _unreachable(fit, setting, float(target[np.isnan(best[0])][0]))
    drawn = least({k: d[:, None] for k, d in fit.draws.items()}) if fit.draws else None
    columns: dict[str, Any] = {"loss": target}
    for name, index in (("C", 0), ("N", 1), ("D", 2)):
        mean = np.exp(best[index])
        draws = np.zeros((0, len(target)))
        if drawn is not None:
            draws = bands.about(mean, np.exp(drawn[index]))
        columns[name] = mean
        columns[f"{name}_lo"], columns[f"{name}_hi"] = bands.ends(draws, target.shape)
    columns |= extrapolation(fit, {"N": columns["N"], "D": columns["D"]}, target.shape)
    if inference_tokens:
        columns["C_train"] = setting.training.compute(columns["N"], columns["D"])
    return pd.DataFrame(columns)


def needed(
    fit: Fit,
    *,
    loss: Any,
    N: Any = None,
    D: Any = None,
    level: float | None = None,
    unique_data: float | None = None,
    **held: float,
) -> pd.DataFrame:
    """Return the data that a model of N needs for a loss, or the size that D needs.

    Parameters
    ----------
    fit, level, unique_data, held
        See `optimal`.
    loss : float or array_like
    N, D : float or array_like
        One of them.

    Returns
    -------
    DataFrame
        ``loss, N, D, C`` with ``D_lo, D_hi`` or ``N_lo, N_hi``, ``C_lo, C_hi, factor,
        inside_hull``.

    Raises
    ------
    QuestionError
        SC431 for a loss that no amount reaches; SC432 for data beyond the cap.
    """
    if (N is None) == (D is None):
        expected = "N for the data that it needs, or D for the size"
        raise QuestionError(Fault("SC430", "needed", "both or none of N and D", expected))
    setting = _Setting.of(fit, None, 0.0, unique_data, held)
    target, given = np.broadcast_arrays(
        _amounts("loss", loss), _amounts("N" if D is None else "D", N if D is None else D)
    )
    known, asked = ("N", "D") if D is None else ("D", "N")
    bands = Bands(fit, level)

    def amount(p: Params) -> Array:
        return np.exp(
            amount_for(setting.law, p, np.log(target), asked, np.log(given), setting.held)
        )

    mean, draws = bands.of(amount)
    lost = np.isnan(mean)
    if lost.any():
        raise _never(fit, setting, known, asked, float(given[lost][0]), float(target[lost][0]))
    if asked == "D":
        setting.refuse_beyond_cap(mean)
    columns: dict[str, Any] = {"loss": target, known: given, asked: mean}
    columns[f"{asked}_lo"], columns[f"{asked}_hi"] = bands.ends(draws, target.shape)
    cost = cost_of(fit)
    for end, value in (
        ("", mean),
        ("_lo", columns[f"{asked}_lo"]),
        ("_hi", columns[f"{asked}_hi"]),
    ):
        pair = {known: given, asked: value}
        columns[f"C{end}"] = cost.compute(pair["N"], pair["D"])
    columns |= extrapolation(fit, {"N": columns["N"], "D": columns["D"]}, target.shape)
    return pd.DataFrame(columns)


def price(
    fit: Fit, *, C: float, off: Any, level: float | None = None, **held: float
) -> pd.DataFrame:
    """Price of a model `off` times as large as the best at the same compute.

    Parameters
    ----------
    fit, level, held
        See `optimal`.
    C : float
        Compute [FLOP].
    off : float or array_like
        Multiples of N*.

    Returns
    -------
    DataFrame
        ``off, C, N, D, loss, lo, hi, excess`` (loss above the best), ``excess_lo, excess_hi,
        compute_factor`` (compute that the best model would need less, as C over its own),
        ``compute_factor_lo, compute_factor_hi, factor, inside_hull``.

    Notes
    -----
    For the additive law the wasted share is ``((beta f^-alpha + alpha f^beta)/(alpha +
    beta))^(1/gamma) - 1`` with gamma = alpha beta/(alpha + beta), at every compute.
    """
    multiple = _amounts("off", off)
    setting = _Setting.of(fit, None, 0.0, None, held)
    bands = Bands(fit, level)
    log_c = np.full(len(multiple), np.log(_amounts("C", C)[0]))

    def place(p: Params) -> tuple[Array, Array, Array, Array]:
        u, v = setting.place(p, log_c)
        far = u + np.log(multiple)
        return u, v, far, setting.cost.log_tokens(far, log_c)

    def excess(p: Params) -> Array:
        u, v, far, less = place(p)
        loss = setting.loss(p, np.exp(far), np.exp(less))
        return np.asarray(loss - setting.loss(p, np.exp(u), np.exp(v)))

    def wasted(p: Params) -> Array:
        _, _, far, less = place(p)
        loss = setting.loss(p, np.exp(far), np.exp(less))

        best = least_cost(setting.law, p, np.log(loss), setting.cost, setting.held)[0]
        return np.asarray(np.exp(log_c - best))

    _, _, far, less = place(fit.params)
    n, d = np.exp(far), np.exp(less)
    columns: dict[str, Any] = {"off": multiple, "C": np.exp(log_c), "N": n, "D": d}
    columns |= _loss_columns(bands, lambda p: setting.loss(p, n, d), multiple.shape)
    for name, quantity in (("excess", excess), ("compute_factor", wasted)):
        columns[name], draws = bands.of(quantity)
        columns[f"{name}_lo"], columns[f"{name}_hi"] = bands.ends(draws, multiple.shape)
    columns |= extrapolation(fit, {"N": n, "D": d}, multiple.shape)
    return pd.DataFrame(columns)


# --------------------------------------------------------------------------------------- settings


class _Setting:
    """What a question holds fixed: the cost, the law's other variables, and the cap on data."""

    def __init__(
        self, law: Law, cost: Cost, training: Cost, held: Mapping[str, float], cap: float | None
    ) -> None:
        self.law, self.cost, self.training = law, cost, training
        self.held, self.cap = dict(held), cap

    @classmethod
    def of(
        cls,
        fit: Fit,
        cost: str | Cost | None,
        inference_tokens: float,
        unique_data: float | None,
        held: Mapping[str, float],
    ) -> _Setting:
        """Check a question against the law."""
        if not fit.identified:
            found = f"the fit is {fit.status}, so it answers no question"
            raise FitError(Fault("SC405", f"law {fit.law.name}", found, "an identified fit"))
        if not allocates(fit.law):
            refuse_allocation(fit)
        base = cost_of(fit)
        if cost is not None:
            base = cost if isinstance(cost, Cost) else Cost("given", cost)
        _ = base.expression
        if not np.isfinite(inference_tokens) or inference_tokens < 0:
            found = f"{inference_tokens:g}"
            raise ConfigError(Fault("SC004", "--inference-tokens", found, "0 or more"))
        whole = base
        if inference_tokens:
            formula = f"({base.formula}) + 2*N*{float(inference_tokens)!r}"
            whole = Cost(f"{base.name} and inference", formula)
        if unique_data is not None:
            unique_data = float(_amounts("unique_data", unique_data)[0])
            if "D_unique" in fit.law.variables:
                law = with_unique_data(fit.law, unique_data)
                return cls(law, whole, base, _held(law, held), None)
        return cls(fit.law, whole, base, _held(fit.law, held), unique_data)

    def place(self, p: Params, log_c: Array) -> tuple[Array, Array]:
        """Return ln N* and ln D*; see `scaling.fitting.allocation.best_size`."""
        return best_size(self.law, p, log_c, self.cost, self.held, self.cap)

    def loss(self, p: Params, N: Array, D: Array) -> Array:
        """Loss at N and D with the other variables held."""
        with np.errstate(all="ignore"):
            return self.law.loss(p, {**self.held, "N": N, "D": D})

    def refuse_beyond_cap(self, tokens: Array) -> None:
        """Refuse data that are not there and that the law cannot repeat."""
        if self.cap is not None and (tokens > self.cap).any():
            found = f"{float(tokens.max()):.3g} are needed, {self.cap:.3g} are there"
            expected = f"D up to {self.cap:.3g}: law {self.law.name} knows no repeated data"
            mend = "ask at that D, or fit a law of repeated data such as data-constrained"
            raise QuestionError(Fault("SC432", "D", found, expected, mend))


def _held(law: Law, held: Mapping[str, float]) -> dict[str, float]:
    others = [v for v in law.variables if v not in ("N", "D")]
    unknown = [name for name in held if name not in others]
    if unknown:
        expected = "one of " + ", ".join(others) if others else "N and D alone"
        found = f'the law does not read "{unknown[0]}"'
        raise QuestionError(Fault("SC430", f"law {law.name}", found, expected))
    missing = [name for name in others if name not in held]
    if missing:
        mend = f"--set {missing[0]}=VALUE"
        if missing[0] == "D_unique":
            mend = "--unique-data VALUE"
        found = f"reads {missing[0]} too, and no value was given"
        raise QuestionError(Fault("SC430", f"law {law.name}", found, "a value", mend))
    return {name: float(value) for name, value in held.items()}


def refuse_allocation(fit: Fit) -> None:
    """Refuse questions of compute to a law that reads no N and D, with the nearest question."""
    variables = fit.law.variables
    if fit.law.response != "loss":
        found = f"gives {fit.law.response}, not the loss"
        mend = "a law of the loss in N and D, such as chinchilla"
    else:
        found = f"reads {', '.join(variables)}, so it says nothing about how to divide compute"
        nearest = {"N": "--params", "D": "--data", "C": "--flops"}.get(variables[0])
        mend = f"ask for its loss: scaling predict FIT {nearest} VALUE" if nearest else ""
    expected = "a law of both N and D, such as chinchilla"
    raise QuestionError(Fault("SC430", f"law {fit.law.name}", found, expected, mend))


def _amounts(name: str, value: Any) -> Array:
    """Read positive, finite amounts, shape (m,).

    Raises
    ------
    ConfigError
        SC004 for anything else.
    """
    found = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if not len(found) or not (np.isfinite(found) & (found > 0)).all():
        raise ConfigError(Fault("SC004", name, f"{value}", "finite numbers above 0"))
    return found


def _loss_columns(
    bands: Bands, loss: Callable[[Params], Array], shape: tuple[int, ...]
) -> dict[str, Array]:
    mean, draws = bands.of(loss)
    lo, hi = bands.ends(draws, shape)
    run_lo, run_hi = bands.ends(bands.of_new_runs(draws), shape)
    return {"loss": mean, "lo": lo, "hi": hi, "run_lo": run_lo, "run_hi": run_hi}


def _unreachable(fit: Fit, setting: _Setting, loss: float) -> QuestionError:
    law = fit.law
    if setting.cap is not None:
        floor = float(setting.loss(fit.params, np.array(ENOUGH), np.array(setting.cap)))
        where = f"with {setting.cap:.3g} of data"
    else:
        floor = float(setting.loss(fit.params, np.array(ENOUGH), np.array(ENOUGH)))
        where = "with any compute"
    found = f"{loss:.6g} is below what law {law.name} reaches {where}: {floor:.6g}"
    return QuestionError(
        Fault("SC431", "loss", found, f"above {floor:.6g}", "ask for a loss above it")
    )


def _never(
    fit: Fit, setting: _Setting, known: str, asked: str, given: float, loss: float
) -> QuestionError:
    at = {known: np.array(given), asked: np.array(ENOUGH)}
    floor = float(setting.loss(fit.params, at["N"], at["D"]))
    found = f"{known} = {given:.3g} never reaches a loss of {loss:.6g}, whatever {asked}"
    expected = f"above {floor:.6g} at this {known}"
    mend = f"raise {known}, or ask for the cheapest way to the loss"
    return QuestionError(Fault("SC431", "loss", found, expected, mend))
