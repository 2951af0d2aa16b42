"""Questions that decide how compute is spent, each answered with intervals.

How large a model on how much data (`optimal`), the least compute for a loss (`cheapest`), the data
or the size that a loss still needs (`needed`), and what a size off the optimum costs (`price`).
Inference is paid by ``2 N`` FLOP a token (Sardana et al. 2024). A question that the law cannot
answer is refused, with the nearest one that it can.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import Fault, QuestionError
from scaling.fitting.allocation import amount_for, least_cost
from scaling.fitting.prediction import Bands, Params, extrapolation
from scaling.fitting.setting import Setting, amounts, never, unreachable
from scaling.laws.cost import Cost

if TYPE_CHECKING:
    from scaling.fitting.result import Fit

Array = NDArray[np.float64]


@np.errstate(all="ignore")  # what a draw answers may lie beyond any number
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
    compute = amounts("C", C)
    setting = Setting.of(fit, cost, inference_tokens, unique_data, held)
    bands = Bands(fit, level)
    log_c = np.log(compute)

    def place(p: Params) -> tuple[Array, Array]:
        return setting.place(p, log_c)

    u, v = place(fit.params)
    if np.isnan(u).any():
        where = f"C = {compute[np.isnan(u)][0]:.3g}"
        expected = "a compute at which the loss along the budget has a minimum"
        found = f"law {fit.law.name} has no optimum there"
        if setting.law is not fit.law:
            found += ": the distinct data are used up, and more compute no longer helps"
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
    setting = Setting.of(fit, cost, 0.0, unique_data, held)
    names = ("C", "N", "D")
    given = {k: amounts(k, v) for k, v in zip(names, (C, N, D), strict=True) if np.size(v)}
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


@np.errstate(all="ignore")  # what a draw answers may lie beyond any number
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
    target = amounts("loss", loss)
    setting = Setting.of(fit, cost, inference_tokens, unique_data, held)
    bands = Bands(fit, level)

    def least(p: Params) -> tuple[Array, Array, Array]:
        return least_cost(setting.law, p, np.log(target), setting.cost, setting.held, setting.cap)

    best = least(fit.params)
    if np.isnan(best[0]).any():
        raise unreachable(fit, setting, float(target[np.isnan(best[0])][0]))
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


@np.errstate(all="ignore")  # what a draw answers may lie beyond any number
def needed(
    fit: Fit,
    *,
    loss: Any,
    N: Any = None,
    D: Any = None,
    level: float | None = None,
    cost: str | Cost | None = None,
    unique_data: float | None = None,
    **held: float,
) -> pd.DataFrame:
    """Return the data that a model of N needs for a loss, or the size that D needs.

    Parameters
    ----------
    fit, level, cost, unique_data, held
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
    setting = Setting.of(fit, cost, 0.0, unique_data, held)
    target, given = np.broadcast_arrays(
        amounts("loss", loss), amounts("N" if D is None else "D", N if D is None else D)
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
        raise never(fit, setting, known, asked, float(given[lost][0]), float(target[lost][0]))
    setting.refuse_beyond_cap(mean if asked == "D" else given)
    columns: dict[str, Any] = {"loss": target, known: given, asked: mean}
    columns[f"{asked}_lo"], columns[f"{asked}_hi"] = bands.ends(draws, target.shape)
    for end in ("", "_lo", "_hi"):
        pair = {known: given, asked: columns[f"{asked}{end}"]}
        columns[f"C{end}"] = setting.cost.compute(pair["N"], pair["D"])
    columns |= extrapolation(fit, {"N": columns["N"], "D": columns["D"]}, target.shape)
    return pd.DataFrame(columns)


@np.errstate(all="ignore")  # what a draw answers may lie beyond any number
def price(
    fit: Fit,
    *,
    C: Any,
    off: Any,
    level: float | None = None,
    cost: str | Cost | None = None,
    inference_tokens: float = 0.0,
    unique_data: float | None = None,
    **held: float,
) -> pd.DataFrame:
    """Price of a model `off` times as large as the best at the same compute.

    Parameters
    ----------
    fit, level, cost, inference_tokens, unique_data, held
        See `optimal`.
    C : float or array_like
        Compute [FLOP].
    off : float or array_like
        Multiples of N*, each asked at every compute.

    Returns
    -------
    DataFrame
        ``C, off, N, D, loss, lo, hi, excess`` (loss above the best), ``excess_lo, excess_hi,
        compute_factor`` (C over the compute at which the best model has this loss),
        ``compute_factor_lo, compute_factor_hi, factor, inside_hull``.

    Raises
    ------
    QuestionError
        SC430 where such a model leaves nothing for data; SC432 for data beyond the cap.

    Notes
    -----
    For the additive law the wasted share is ``((beta f^-alpha + alpha f^beta)/(alpha +
    beta))^(1/gamma) - 1`` with gamma = alpha beta/(alpha + beta), at every compute.
    """
    grid = np.meshgrid(amounts("C", C), amounts("off", off), indexing="ij")
    compute, multiple = (values.ravel() for values in grid)
    setting = Setting.of(fit, cost, inference_tokens, unique_data, held)
    bands = Bands(fit, level)
    log_c = np.log(compute)

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
        log_loss = np.log(setting.loss(p, np.exp(far), np.exp(less)))
        best = least_cost(setting.law, p, log_loss, setting.cost, setting.held, setting.cap)[0]
        return np.asarray(np.exp(log_c - best))

    _, _, far, less = place(fit.params)
    if np.isnan(less).any():
        where = f"{multiple[np.isnan(less)][0]:g} times N*"
        found = "costs more than C before it sees any data"
        raise QuestionError(Fault("SC430", where, found, "a smaller model"))
    n, d = np.exp(far), np.exp(less)
    setting.refuse_beyond_cap(d)
    columns: dict[str, Any] = {"C": compute, "off": multiple, "N": n, "D": d}
    columns |= _loss_columns(bands, lambda p: setting.loss(p, n, d), multiple.shape)
    for name, quantity in (("excess", excess), ("compute_factor", wasted)):
        columns[name], draws = bands.of(quantity)
        columns[f"{name}_lo"], columns[f"{name}_hi"] = bands.ends(draws, multiple.shape)
    columns |= extrapolation(fit, {"N": n, "D": d}, multiple.shape)
    return pd.DataFrame(columns)


def _loss_columns(
    bands: Bands, loss: Callable[[Params], Array], shape: tuple[int, ...]
) -> dict[str, Array]:
    mean, draws = bands.of(loss)
    lo, hi = bands.ends(draws, shape)
    run_lo, run_hi = bands.ends(bands.of_new_runs(draws), shape)
    return {"loss": mean, "lo": lo, "hi": hi, "run_lo": run_lo, "run_hi": run_hi}
