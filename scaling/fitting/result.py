"""What a fit is: frozen values with status, intervals, messages and provenance.

`Fits` is the content of ``fit.json``; it is self-sufficient, so that prediction and reports never
fit again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Message
from scaling.fitting.effective_result import Effective
from scaling.fitting.optima import COST_6ND, Allocation
from scaling.fitting.parts import Check, Holdout, Interval, Objective
from scaling.laws import Law

if TYPE_CHECKING:
    import pandas as pd

    from scaling.fitting.recipes import Recipes

Array = NDArray[np.float64]
Status = Literal["converged", "at-bound", "max-iterations", "not-identified", "failed"]
SCHEMA = "scaling/fit@1"


@dataclass(frozen=True, repr=False)
class Fit:
    """A law fitted to the rows of one group.

    Attributes
    ----------
    group : str or None
        Group of the rows.
    law : Law
        What was fitted.
    params : mapping of str to float
        Estimates at full precision; with ``a`` and ``b`` where the law has a frontier.
    objective : Objective
        What was minimised, and its value.
    status : {"converged", "at-bound", "max-iterations", "not-identified", "failed"}
        Headline numbers may be quoted of the first two alone.
    n : int
        Rows that were fitted.
    messages : tuple of Message
        What limits the fit, and choices that were made.
    interval : Interval or None
        None without bootstrap.
    holdout : Holdout or None
        Error on the rows that were kept out, if any were.
    cost : mapping
        ``name`` and ``formula`` of the compute that a, b and allocations count.
    checks : tuple of Check
        What was looked at by itself.
    rows : mapping of str to list
        Columnar: every row of the group with ``row, run, N, D, C, loss, budget, seed, status,
        used, why, predicted, residual`` (log loss minus log prediction); missing is None.
    draws : mapping of str to ndarray
        Bootstrap replicates of the law's own parameters, shape (draws,).
    covariance : mapping
        ``{"names": [...], "matrix": [[...]]}`` over the replicates, or empty.
    certificate : mapping
        How the optimum was found: starts, agreement, gradient, condition, bounds.
    profiles : tuple of mapping
        Of each parameter that was asked for: its values, the deviance there, and where it crosses
        its limit.
    response : str
        Column that was fitted.
    table : mapping
        File, sha256, rows, convention, how each column was read, and rows that were dropped.
    sensitivity : mapping
        Columns, one row a choice of method; empty if it was not asked for.
    backtest : mapping
        Errors on larger runs than were fitted, by origin; empty if there is none. In ``fit.json``
        it stands among the ``laws``.

    Examples
    --------
    >>> fit.identified, sorted(fit.params)
    (True, ['A', 'B', 'E', 'a', 'alpha', 'b', 'beta'])
    >>> lo, hi = fit.intervals["alpha"]
    >>> lo < fit.params["alpha"] < hi
    True
    """

    group: str | None
    law: Law
    params: Mapping[str, float]
    objective: Objective
    status: Status
    n: int
    messages: tuple[Message, ...] = ()
    interval: Interval | None = None
    holdout: Holdout | None = None
    cost: Mapping[str, str] = field(default_factory=lambda: dict(COST_6ND))
    checks: tuple[Check, ...] = ()
    rows: Mapping[str, list[Any]] = field(default_factory=dict, repr=False)
    draws: Mapping[str, Array] = field(default_factory=dict, repr=False)
    covariance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    certificate: Mapping[str, Any] = field(default_factory=dict, repr=False)
    profiles: tuple[Mapping[str, Any], ...] = ()
    response: str = "loss"
    table: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sensitivity: Mapping[str, list[Any]] = field(default_factory=dict, repr=False)
    backtest: Mapping[str, Any] = field(default_factory=dict, repr=False)

    if TYPE_CHECKING:  # what is drawn lies beyond this package: `scaling` attaches it

        @property
        def plot(self) -> Any:
            """Figures, drawn with matplotlib: ``fit.plot.frontier()``; see `Plots`."""

    @property
    def intervals(self) -> Mapping[str, tuple[float, float]]:
        """Interval of each parameter; empty without bootstrap."""
        return self.interval.params if self.interval else {}

    @property
    def identified(self) -> bool:
        """Whether headline numbers may be quoted."""
        return self.status in ("converged", "at-bound")

    @property
    def members(self) -> Sequence[Mapping[str, Any]]:
        """Laws behind `auto`, heaviest first: ``law, weight, params``; empty for one law."""
        members: Sequence[Mapping[str, Any]] = self.certificate.get("auto", {}).get("members", ())
        return members

    @property
    def evidence_factor(self) -> float | None:
        """How far beyond what they were fitted to the forecasts of `auto` were checked."""
        factor: float | None = self.certificate.get("auto", {}).get("evidence_factor")
        return factor

    @cached_property
    def fitted(self) -> Mapping[str, Array]:
        """Columns N, D, C, loss and the law's variables of the fitted rows, as float arrays."""
        used = np.asarray(self.rows["used"], dtype=bool)
        return {
            name: np.asarray(self.rows[name], dtype=np.float64)[used]
            for name in dict.fromkeys(("N", "D", "C", "loss", *self.law.variables))
            if any(v is not None for v in self.rows.get(name, []))
        }

    def predict(self, *, interval: float | None = None, **x: Any) -> pd.DataFrame:
        """Predict the loss at values of the law's variables.

        Parameters
        ----------
        interval : float, optional
            Level of the intervals; the fit's own if None.
        **x : float or array_like
            Value of each variable of the law, such as ``N=1e9, D=2e10``; they broadcast.

        Returns
        -------
        DataFrame
            A row a point: the inputs; ``loss``; ``lo, hi``, the interval of the curve; ``run_lo,
            run_hi``, that of one new run; ``factor``, compute over the largest that was fitted;
            ``inside_hull``, whether the point lies among the runs. Bounds are NaN without draws.

        Raises
        ------
        QuestionError
            SC430 if a variable of the law is missing.
        ConfigError
            SC004 for values that are not finite, or not above 0 for N, D or C.

        Examples
        --------
        >>> list(fit.predict(N=1e9, D=[2e10, 4e10])["inside_hull"])
        [False, False]
        """
        from scaling.fitting.prediction import predict

        return predict(self, level=interval, **x)

    def optimal(self, *, C: Any, interval: float | None = None, **more: Any) -> pd.DataFrame:
        """Say how large a model, on how much data, is best for a compute, and its loss.

        Parameters
        ----------
        C : float or array_like
            Compute [FLOP]; with `inference_tokens`, training and inference together.
        interval : float, optional
            Level of the intervals; the fit's own if None.
        **more : float or str
            ``cost``, a formula of N and D for C; ``inference_tokens``, served at 2N FLOP each;
            ``unique_data``, distinct data [count]: read by a law of repeated data, else a cap on
            D; and values of the law's variables beside N and D.

        Returns
        -------
        DataFrame
            ``C, N, N_lo, N_hi, D, D_lo, D_hi, ratio`` (D/N) ``, ratio_lo, ratio_hi, loss, lo, hi,
            run_lo, run_hi, factor, inside_hull``; ``C_train`` with inference and ``capped`` with
            a cap.

        Raises
        ------
        QuestionError
            SC430 if the law has no such optimum; SC432 if the data cannot be spent.

        Examples
        --------
        >>> best = fit.optimal(C=[1e21, 1e22])
        >>> [f"{size:.1e}" for size in best["N"]]
        ['1.8e+09', '5.0e+09']
        """
        from scaling.fitting.questions import optimal

        return optimal(self, C=C, level=interval, **more)

    def cheapest(self, *, loss: Any, interval: float | None = None, **more: Any) -> pd.DataFrame:
        """Say the least compute that reaches a loss, and how to spend it.

        Parameters
        ----------
        loss : float or array_like
            Loss to reach, in the unit of the runs.
        interval : float, optional
            Level of the intervals; the fit's own if None.
        **more : float or str
            As for `optimal`.

        Returns
        -------
        DataFrame
            ``loss, C, C_lo, C_hi, N, …, D, …, factor, inside_hull``; a bound is infinite where
            some draws never reach the loss.

        Raises
        ------
        QuestionError
            SC431 for a loss below what the law reaches with any compute.

        Examples
        --------
        >>> fit.cheapest(loss=1.0)
        Traceback (most recent call last):
        scaling.errors.QuestionError: error[SC431] ...
        """
        from scaling.fitting.questions import cheapest

        return cheapest(self, loss=loss, level=interval, **more)

    def needed(self, *, loss: Any, interval: float | None = None, **more: Any) -> pd.DataFrame:
        """Return the data that a model of N needs for a loss, or the size that D needs.

        Parameters
        ----------
        loss : float or array_like
            Loss to reach.
        interval : float, optional
            Level of the intervals; the fit's own if None.
        **more : float or str
            ``N`` or ``D`` [count], one of them; else as for `optimal`.

        Returns
        -------
        DataFrame
            ``loss, N, D, C`` with bounds of what was asked, ``factor, inside_hull``.

        Raises
        ------
        QuestionError
            SC431 for a loss that no amount reaches; SC432 for data beyond the cap.

        Examples
        --------
        >>> bool(fit.needed(loss=2.5, N=1e9)["D"][0] < fit.needed(loss=2.5, N=5e8)["D"][0])
        True
        """
        from scaling.fitting.questions import needed

        return needed(self, loss=loss, level=interval, **more)

    def price(
        self, *, C: Any, off: Any, interval: float | None = None, **more: Any
    ) -> pd.DataFrame:
        """Return the price of a model `off` times as large as the best at the same compute.

        Parameters
        ----------
        C : float or array_like
            Compute [FLOP].
        off : float or array_like
            Multiples of N*, each asked at every compute.
        interval : float, optional
            Level of the intervals; the fit's own if None.
        **more : float or str
            As for `optimal`.

        Returns
        -------
        DataFrame
            ``C, off, N, D, loss, lo, hi``; ``excess``, the loss above the best; ``compute_factor``,
            C over the compute at which the best model has this loss; both with bounds.

        Raises
        ------
        QuestionError
            SC430 where such a model leaves nothing for data; SC432 for data beyond the cap.

        Examples
        --------
        >>> bool(fit.price(C=1e21, off=0.5)["compute_factor"][0] > 1)
        True
        """
        from scaling.fitting.questions import price

        return price(self, C=C, off=off, level=interval, **more)

    def summary(self) -> str:
        """Return the text that `scaling fit` prints for this fit."""
        from scaling.fitting.summary import summarise

        return summarise(self)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        group = "" if self.group is None else f", group {self.group}"
        values = ", ".join(f"{name} {value:.4g}" for name, value in self.params.items())
        shown = f": {values}" if self.identified and values else ""
        return f"Fit({self.law.name}{group}, {self.n} rows, {self.status}{shown})"

    def save(self, path: str | Path) -> None:
        """Write a ``fit.json`` with this fit alone; `scaling.load` reads it back."""
        laws = (self.backtest,) if self.backtest else ()
        Fits((self,), table=self.table, laws=laws).save(path)

    def as_dict(self, *, full: bool = True) -> dict[str, Any]:
        """Return the JSON form; without rows and draws unless `full`."""
        out: dict[str, Any] = {
            "group": self.group,
            "law": self.law.name,
            "formula": self.law.formula,
            "n": self.n,
            "objective": vars(self.objective),
            "params": dict(self.params),
            "cost": dict(self.cost),
            "interval": None if self.interval is None else self.interval.as_dict(),
            "holdout": None if self.holdout is None else vars(self.holdout),
            "members": [dict(m) for m in self.members],
            "evidence_factor": self.evidence_factor,
            "status": self.status,
            "messages": [m.as_dict() for m in self.messages],
            "checks": [vars(c) for c in self.checks],
        }
        if full:
            out |= {
                "rows": dict(self.rows),
                "draws": {k: [float(x) for x in v] for k, v in self.draws.items()},
                "covariance": dict(self.covariance),
                "certificate": dict(self.certificate),
                "profiles": [dict(p) for p in self.profiles],
                "declaration": self.law.declaration(),
                "response": self.response,
                "sensitivity": dict(self.sensitivity),
            }
        return out


@dataclass(frozen=True, repr=False)
class Fits(Mapping[tuple[str | None, str], Fit]):
    """All fits of one table: a mapping (group, law name) -> Fit, with allocations.

    Attributes
    ----------
    fits : tuple of Fit
    allocations : tuple of Allocation
    table : mapping
        File, sha256, rows, used, convention, columns and dropped rows of the table.
    provenance : mapping
        Versions, command, seed and settings of the fit.
    agreement : tuple of mapping
        One a pair of approaches: how far their exponents differ, and whether by chance.
    effective : tuple of Effective
        What groups are worth in data of a reference.
    laws : tuple of mapping
        One a law and group that could be scored on larger runs than it was fitted to, best first
        within a group. The first of a group has the ``messages`` about it, if there are any.
    curves : mapping of str to list
        Thinned learning curves of the runs, columnar. Empty if none were read.
    compared : tuple of Recipes
        Groups against the first of them.

    Examples
    --------
    >>> several = sc.fit(runs, ["chinchilla", "coupled"], bootstrap=0)
    >>> list(several)
    [(None, 'chinchilla'), (None, 'coupled')]
    >>> several[None, "coupled"].status
    'converged'
    """

    fits: tuple[Fit, ...]
    allocations: tuple[Allocation, ...] = ()
    table: Mapping[str, Any] = field(default_factory=dict, repr=False)
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    agreement: tuple[Mapping[str, Any], ...] = ()
    effective: tuple[Effective, ...] = ()
    laws: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    curves: Mapping[str, list[Any]] = field(default_factory=dict, repr=False)
    compared: tuple[Recipes, ...] = ()

    if TYPE_CHECKING:  # what is drawn lies beyond this package: `scaling` attaches it

        @property
        def plot(self) -> Any:
            """Figures, drawn with matplotlib: ``fits.plot.frontier()``; see `Plots`."""

    def __getitem__(self, key: tuple[str | None, str]) -> Fit:
        for fit in self.fits:
            if (fit.group, fit.law.name) == key:
                return fit
        raise KeyError(key)

    def __iter__(self) -> Iterator[tuple[str | None, str]]:
        return iter((fit.group, fit.law.name) for fit in self.fits)

    def __len__(self) -> int:
        return len(self.fits)

    def __repr__(self) -> str:
        return f"Fits({', '.join(map(repr, (*self.fits, *self.allocations, *self.effective)))})"

    @property
    def messages(self) -> tuple[Message, ...]:
        """Every message of the table and of what was found in it, without repeats."""
        found = [Message.from_dict(m) for m in self.table.get("messages", [])]
        for fit in self.fits:
            found += fit.messages
        for allocation in self.allocations:
            found += allocation.messages
        for item in self.effective:
            found += item.every_message
        for row in self.laws:
            found += [Message.from_dict(m) for m in row.get("messages", [])]
        return tuple(dict.fromkeys(found))

    def as_dict(self, *, full: bool = True) -> dict[str, Any]:
        """Return the JSON form of a ``fit.json``; without rows, draws and curves unless `full`."""
        out = {
            "schema": SCHEMA,
            "table": dict(self.table),
            "fits": [fit.as_dict(full=full) for fit in self.fits],
            "allocations": [a.as_dict(full=full) for a in self.allocations],
            "agreement": [dict(row) for row in self.agreement],
            "effective": [item.as_dict(full=full) for item in self.effective],
            "laws": [dict(row) if full else _without_rows(row) for row in self.laws],
            "compared": [item.as_dict() for item in self.compared],
            "provenance": dict(self.provenance),
        }
        return out | {"curves": dict(self.curves)} if full else out

    def to_json(self, *, full: bool = True) -> str:
        """Return JSON text; numbers that are not finite become null."""
        return json.dumps(plain(self.as_dict(full=full)), indent=1, allow_nan=False) + "\n"

    def save(self, path: str | Path) -> None:
        """Write a ``fit.json`` in one step; very large ones have a ``fit.npz`` beside them."""
        from scaling.fitting import packed

        packed.save(Path(path), plain(self.as_dict()))


def objective_label(fit: Fit) -> str:
    """Name of what a fit minimised, with its threshold."""
    o = fit.objective
    return o.name if o.delta is None else f"{o.name} delta {o.delta:g}"


def _without_rows(row: Mapping[str, Any]) -> dict[str, Any]:
    """A law's row without what it says of single held-out runs."""
    backtest = dict(row["backtest"])
    single = ("errors", "losses", "test_factor")
    backtest["origins"] = [
        {k: v for k, v in origin.items() if k not in single} for origin in backtest["origins"]
    ]
    return {**row, "backtest": backtest}


def plain(value: Any) -> Any:
    """Turn NumPy scalars and non-finite numbers into what JSON can say."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.tolist()]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
