"""From runs to fits: laws, minima of budgets, the envelope, and what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from scaling.api.words import with_keywords

if TYPE_CHECKING:
    import pandas as pd

    from scaling.fitting.effective_result import Effective
    from scaling.fitting.optima import Allocation
    from scaling.fitting.result import Fit, Fits
    from scaling.laws import Law


@with_keywords
def fit(
    data: pd.DataFrame,
    law: str | Law | Sequence[str | Law] | None = None,
    *,
    formula: str | None = None,
    approach: str | Sequence[str] = "surface",
    objective: str = "log-huber",
    delta: float | str | None = 1e-3,
    reduction: str = "sum",
    bootstrap: int = 1000,
    interval: float = 0.95,
    seed: int = 0,
    group: str | None = None,
    where: str | None = None,
    holdout: str | None = None,
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    weights: str | None = None,
    noise: str | None = None,
    method: str = "pairs",
    response: str | None = None,
    profile: Sequence[str] = (),
    share: Sequence[str] = (),
    cost: str | None = None,
    sensitivity: bool = False,
    backtest: bool | None = None,
    convention: str | None = None,
) -> Fit | Fits:
    """Fit a law to a table of runs.

    Parameters
    ----------
    data : DataFrame
        With columns that can be read as N, D, C and loss, a row a run; it is not changed.
    law : str, Law or sequence, optional
        Names as ``scaling laws list`` prints them, ``"auto"`` to weigh several by what they
        forecast, or laws of your own. Without it and without `formula`, ``"chinchilla"`` where
        there are N and D, else a power law of the one there is.
    formula : str, optional
        A law of your own: ``"E + A/N**alpha"``. Names that are columns are variables, the others
        parameters.
    approach : {"surface", "isoflop", "envelope"} or a sequence of them
        ``isoflop`` and ``envelope`` are added to ``.allocations`` with their defaults, so that
        figures and reports hold all approaches side by side.
    objective : {"log-huber", "huber", "log-mse", "mse", "asymmetric"}
        What is minimised: a loss of ln prediction - ln observation, or of their difference;
        ``asymmetric`` charges predictions above the observation ten times.
    delta : float or "auto"
        Threshold of Huber's loss, in the residual's unit; ``"auto"`` takes it from the residuals.
    reduction : {"sum", "mean"}
        Of the losses of rows; it moves the objective's value, not the estimate.
    bootstrap : int
        Replicates behind the intervals; 0 for none.
    interval : float
        Level of the intervals, between 0 and 1.
    seed : int
        Of the replicates.
    group : str, optional
        Column to split by, a fit a value; the column ``group`` if there is one and None is given.
    where : str, optional
        Condition on the rows to use: ``"loss < 3.4"``.
    holdout : str, optional
        Condition on rows that are predicted instead of fitted: ``"C > 1e20"``.
    fixed : mapping of str to float, optional
        Parameters held at a value.
    bounds : mapping of str to (float, float), optional
        Bounds that replace the law's.
    weights : str, optional
        Weight of each row, by an expression of columns.
    noise : str, optional
        Standard deviation of each row in the objective's scale, by an expression; rows count by
        its inverse square.
    method : {"pairs", "wild", "delta"}
        How intervals are made: runs drawn anew, residuals drawn anew, or linearised.
    response : str, optional
        Column that the law gives; the law's own, mostly ``loss``, if None.
    profile : sequence of str
        Parameters whose profile is traced, into ``fit.profiles``; ``["all"]`` for every one.
    share : sequence of str
        Parameters that are the same in every group.
    cost : str, optional
        What a, b and allocations count as compute: ``"6nd"`` (if None), ``"table"`` (the table's
        own C), or a formula of N and D.
    sensitivity : bool
        Whether to fit again in some fifty ways; ``fit.sensitivity`` then holds a row for each.
    backtest : bool, optional
        Whether to score laws on larger runs than they are fitted to; ``fit.backtest`` then holds
        the errors. Wherever there are replicates if None.
    convention : str, optional
        What N counts, in your words.

    Returns
    -------
    Fit or Fits
        One law on one group gives one `Fit`; several, or other approaches, give `Fits`, a
        mapping from ``(group, law)``. A fit that is not identified is returned too: see
        ``fit.status``.

    Raises
    ------
    TableError
        All faults of the table at once, such as SC105 for a column that is missing.
    ConfigError
        SC004 for an option or an unknown law, SC020 for a formula.
    FitError
        SC401 if there are no more runs than parameters: no estimate exists.

    Examples
    --------
    >>> found = sc.fit(runs, bootstrap=0)
    >>> found.law.name, found.status, found.n
    ('chinchilla', 'converged', 35)
    >>> round(found.params["alpha"], 2)
    0.34
    >>> sc.fit(runs, formula="E + K/C**gamma", where="N < 3e8", bootstrap=0).law.names
    ('E', 'K', 'gamma')
    >>> both = sc.fit(runs, approach=["surface", "isoflop"], bootstrap=0)
    >>> [(allocation.approach, round(allocation.a, 2)) for allocation in both.allocations]
    [('surface', 0.45), ('isoflop', 0.45)]
    """
    from scaling.fitting.analyse import analyse, needs_a_loss
    from scaling.fitting.options import Options
    from scaling.laws import Law
    from scaling.laws.formula import from_formula
    from scaling.runs.read import from_frame

    options = Options(
        objective,
        delta,
        reduction,
        bootstrap,
        interval,
        seed,
        fixed or {},
        bounds or {},
        holdout,
        weights,
        noise,
        method,
        response,
        tuple(profile),
        tuple(share),
        cost,
    )
    laws: list[str | Law] = []
    if law is not None:
        laws = [law] if isinstance(law, (str, Law)) else list(law)
    approaches = [approach] if isinstance(approach, str) else list(approach)
    table = from_frame(
        data,
        convention=convention,
        where=where,
        needs_loss=needs_a_loss(laws, response),
        group=group,
        curves="envelope" in approaches,
    )
    if formula is not None:
        laws.append(from_formula(formula, map(str, table.frame), response))
    found = analyse(
        table,
        laws=laws,
        approaches=approaches,
        group=group,
        options=options,
        sensitivity=sensitivity,
        backtest=backtest,
    )
    return found.fits[0] if len(found) == 1 and approaches == ["surface"] else found


@with_keywords
def isoflop(
    data: pd.DataFrame,
    *,
    minimum: str = "powers",
    edge: str = "refuse",
    bootstrap: int = 1000,
    interval: float = 0.95,
    seed: int = 0,
    resample: str = "noise",
) -> Allocation:
    """Find the loss minimum of each budget and the exponents through them.

    Chinchilla's approach 2 (Hoffmann et al. 2022, section 3.2). Several groups are taken as one.

    Parameters
    ----------
    data : DataFrame
        With N, D, C and loss, and preferably ``budget`` [FLOP]; without it budgets are found by
        clustering C, and a message says so. A budget needs four sizes or more.
    minimum : {"powers", "parabola", "cubic", "quartic", "spline"}
        Curve of a budget: two powers of N whose exponents are pooled over budgets, which has no
        bias on additive laws; a polynomial of the loss in ln N; or Akima's spline in logs.
    edge : {"refuse", "keep"}
        What to do with minima that the sizes of their budget do not bracket.
    bootstrap : int
        Replicates behind the interval; 0 for none.
    interval : float
        Level, between 0 and 1.
    seed : int
        Of the replicates.
    resample : {"noise", "bootstrap"}
        Whether replicates draw the noise about the curves anew, or the runs of each budget.

    Returns
    -------
    Allocation
        Its ``minima`` hold N*, D* and the loss of each budget, or why there is none; ``a`` and
        ``b`` are the exponents, None with fewer than three minima.

    Raises
    ------
    ConfigError
        SC004 for an option that cannot be meant.
    TableError
        SC105 if N, D, C or the loss is missing.

    Examples
    --------
    >>> found = sc.isoflop(runs)
    >>> [minimum.bracketed for minimum in found.minima]
    [True, True, True, True, True]
    >>> round(found.a, 2)
    0.45
    """
    import numpy as np

    from scaling.fitting.isoflop import Options, isoflop_allocation
    from scaling.runs.read import from_frame

    table = from_frame(data)
    options = Options(minimum, edge, bootstrap, interval, seed, resample)
    return isoflop_allocation(table, options, None, np.ones(len(table), dtype=bool))


@with_keywords
def envelope(
    data: pd.DataFrame,
    *,
    bins: int | tuple[float, float, int] | None = None,
    edge: str = "refuse",
    bootstrap: int = 1000,
    interval: float = 0.95,
    seed: int = 0,
) -> Allocation:
    """Find the best runs at their compute and the power laws through them.

    Chinchilla's approach 1 (Hoffmann et al. 2022, section 3.1). Several groups are taken as one.

    Parameters
    ----------
    data : DataFrame
        With C and loss, and N and D for exponents: finished runs, or whole learning curves with a
        row for each point of a run (``sc.read(..., curves=True)``).
    bins : int or (float, float, int), optional
        Equal bins of log C, or their ends [FLOP] and number, of which each gives its lowest loss;
        if None, the corners of the lower convex hull of ln loss in ln C, without bins.
    edge : {"refuse", "keep"}
        What to do with winners of the smallest or largest size, beside which a better may lie.
    bootstrap : int
        Replicates behind the interval; 0 for none.
    interval : float
        Level, between 0 and 1.
    seed : int
        Of the replicates.

    Returns
    -------
    Allocation
        ``a`` is None with fewer than three winners between the smallest and the largest size;
        ``line["loss"]`` is the frontier. The winners are the luckiest of noisy runs, and a message
        says so.

    Raises
    ------
    ConfigError
        SC004 for an option that cannot be meant.
    TableError
        SC105 if C or the loss is missing.

    Examples
    --------
    >>> found = sc.envelope(runs, bootstrap=0)
    >>> found.approach, found.method
    ('envelope', 'lower convex hull of ln loss in ln C')
    """
    import numpy as np

    from scaling.fitting.envelope import Options, envelope_allocation
    from scaling.runs.read import from_frame

    table = from_frame(data, curves=True)
    options = Options(bins, edge, bootstrap, interval, seed)
    return envelope_allocation(table, options, None, np.ones(len(table), dtype=bool))


@with_keywords
def effective(
    data: pd.DataFrame,
    *,
    reference: str,
    form: str = "multiplier",
    response: str | None = None,
    group: str | None = None,
    where: str | None = None,
    objective: str = "log-huber",
    delta: float | str | None = 1e-3,
    bootstrap: int = 1000,
    interval: float = 0.95,
    seed: int = 0,
) -> Effective:
    """Say how much data of a reference group the treatment of every other group is worth.

    Parameters
    ----------
    data : DataFrame
        Runs with columns that can be read as group, D, a loss, and N where sizes differ.
    reference : str
        Group that measures: no augmentation, or training from scratch.
    form : {"multiplier", "transfer"}
        ``L_group(N, D) = L_ref(N, m D)``, or ``D_T = D_E - D_F = k D_F**alpha N**beta`` (Hernandez
        et al. 2021).
    response : str, optional
        Column to compare; the loss if None.
    group : str, optional
        Column to split by; ``group`` if None.
    where : str, optional
        Condition on rows.
    objective : {"log-huber", "huber", "log-mse", "mse", "asymmetric"}
        What is minimised, as in `fit`.
    delta : float or "auto"
        Threshold of Huber's loss, as in `fit`.
    bootstrap : int
        Replicates behind the intervals; 0 for none.
    interval : float
        Level of the intervals, between 0 and 1.
    seed : int
        Of the replicates.

    Returns
    -------
    Effective
        ``.treatments``, ``.to_frame()``, ``.summary()`` and ``.as_dict()`` show it.

    Raises
    ------
    ScalingError
        SC004 for an unknown reference or one group only; SC401 for too few runs of it; SC433 if no
        group shares a size with it.

    Examples
    --------
    >>> better = runs.assign(loss=law.loss(truth, runs.assign(D=2 * runs["D"])))
    >>> both = pd.concat([runs.assign(group="plain"), better.assign(group="augmented")])
    >>> found = sc.effective(both, reference="plain", bootstrap=20)
    >>> round(found["augmented"].multiplier["m"], 1)
    2.0
    """
    from scaling.fitting.effective import Ask, effective_data
    from scaling.fitting.options import Options
    from scaling.runs.read import from_frame
    from scaling.runs.table import finished

    needs_loss = response in (None, "loss")
    table = finished(from_frame(data, where=where, needs_loss=needs_loss, group=group))
    options = Options(
        objective, delta, bootstrap=bootstrap, interval=interval, seed=seed, response=response
    )
    return effective_data(table, Ask(form, reference), group=group, options=options)


@overload
def load(path: str | Path, *, whole: Literal[True]) -> Fits: ...


@overload
def load(path: str | Path, *, whole: bool = False) -> Fit | Fits: ...


def load(path: str | Path, *, whole: bool = False) -> Fit | Fits:
    """Read a ``fit.json``.

    Parameters
    ----------
    path : str or Path
        What ``scaling fit -o``, a study or ``fit.save`` wrote.
    whole : bool
        Return `Fits` even of one law: what lies beside it in the file, such as the minima of
        isoFLOP curves in ``.allocations``, is not of the `Fit`.

    Returns
    -------
    Fit or Fits
        One `Fit` if the file holds one and `whole` is false, else `Fits`. Nothing is fitted again:
        rows, draws and checks are read back.

    Raises
    ------
    ConfigError
        SC005 if the file cannot be read, SC101 if it is not a whole fit.

    Examples
    --------
    >>> fit.save("fit.json")
    >>> sc.load("fit.json").params == fit.params
    True
    >>> list(sc.load("fit.json", whole=True))
    [(None, 'chinchilla')]
    """
    from scaling.fitting.stored import load as load_fits

    found = load_fits(path)
    return found.fits[0] if len(found) == 1 and not whole else found


def law(name: str) -> Law:
    """Return a law of the catalogue, or of an installed package, by its name.

    Parameters
    ----------
    name : str
        As ``scaling laws list`` prints it.

    Returns
    -------
    Law
        With its formula, bounded parameters and published values.

    Raises
    ------
    ConfigError
        SC004 with the nearest names; also for ``auto``, which weighs laws and has no formula.

    Examples
    --------
    >>> sc.law("chinchilla").formula
    'E + A/N**alpha + B/D**beta'
    >>> sc.law("chinchilla").published[0].source
    'Hoffmann et al. 2022, approach 3'
    """
    from scaling.laws import get

    return get(name)
