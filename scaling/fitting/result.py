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
from scaling.laws import Law

if TYPE_CHECKING:
    import pandas as pd

    from scaling.fitting.recipes import Recipes

Array = NDArray[np.float64]
Status = Literal["converged", "at-bound", "max-iterations", "not-identified", "failed"]
SCHEMA = "scaling/fit@1"


@dataclass(frozen=True)
class Objective:
    """The minimised function: ``name`` of the loss, Huber ``delta``, ``reduction``, ``value``."""

    name: str
    delta: float | None
    reduction: str
    value: float


@dataclass(frozen=True)
class Interval:
    """Intervals of the parameters, with what a reader needs to judge them.

    Attributes
    ----------
    level : float
        Nominal coverage.
    kind : str
        How they were made, for example ``"pairs bootstrap, percentile"``.
    draws, failed : int
        Replicates that converged, and those that did not.
    cluster : str
        What was resampled: ``"row"`` or ``"trunk"``.
    clusters : int
        How many of them there are.
    params : mapping of str to (float, float)
        Interval of each parameter, ``a`` and ``b`` included.
    se : mapping of str to float
        Standard deviation over the draws.
    factor : float
        Small-sample factor by which what follows from the draws is spread about its estimate.
    """

    level: float
    kind: str
    draws: int
    failed: int
    cluster: str
    clusters: int
    params: Mapping[str, tuple[float, float]]
    se: Mapping[str, float]
    factor: float = 1.0


@dataclass(frozen=True)
class Holdout:
    """Error on rows that were kept out of the fit, in logs of the loss."""

    where: str
    n: int
    rmse_log: float
    bias_log: float
    coverage: float | None
    factor: float | None


@dataclass(frozen=True)
class Check:
    """An automatic check: ``name``, ``verdict``, what was ``found`` and what passing ``wanted``."""

    name: str
    verdict: Literal["pass", "warn", "fail"]
    found: str
    code: str | None = None
    wanted: str = ""


@dataclass(frozen=True)
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
    status : str
        ``converged``, ``at-bound``, ``max-iterations``, ``not-identified`` or ``failed``.
    messages : tuple of Message
    interval : Interval or None
        None without bootstrap.
    n : int
        Rows that were fitted.
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
        Deviance along a parameter; see `scaling.fitting.estimate.profiles`.
    response : str
        Column that was fitted.
    sensitivity : mapping
        Columns of `scaling.fitting.sensitivity.panel`; empty if it was not asked for.
    backtest : mapping
        Own row of `scaling.fitting.backtest.compare_laws`; empty if there is none. In ``fit.json``
        it stands among the ``laws``.
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
        """Predict runs at values of the law's variables; see `fitting.prediction.predict`."""
        from scaling.fitting.prediction import predict

        return predict(self, level=interval, **x)

    def optimal(self, *, C: Any, interval: float | None = None, **more: Any) -> pd.DataFrame:
        """Compute-optimal N and D; see `scaling.fitting.questions.optimal`."""
        from scaling.fitting.questions import optimal

        return optimal(self, C=C, level=interval, **more)

    def cheapest(self, *, loss: Any, interval: float | None = None, **more: Any) -> pd.DataFrame:
        """Least compute for a loss; see `scaling.fitting.questions.cheapest`."""
        from scaling.fitting.questions import cheapest

        return cheapest(self, loss=loss, level=interval, **more)

    def needed(self, *, loss: Any, interval: float | None = None, **more: Any) -> pd.DataFrame:
        """Return D for a loss at N, or N at D; see `scaling.fitting.questions.needed`."""
        from scaling.fitting.questions import needed

        return needed(self, loss=loss, level=interval, **more)

    def price(
        self, *, C: Any, off: Any, interval: float | None = None, **more: Any
    ) -> pd.DataFrame:
        """Price of `off` times N*; see `scaling.fitting.questions.price`."""
        from scaling.fitting.questions import price

        return price(self, C=C, off=off, level=interval, **more)

    def summary(self) -> str:
        """Return the text that `scaling fit` prints for this fit."""
        from scaling.fitting.summary import summarise

        return summarise(self)

    def __str__(self) -> str:
        return self.summary()

    def save(self, path: str | Path) -> None:
        """Write a ``fit.json`` with this fit alone."""
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
            "interval": None if self.interval is None else _interval_dict(self.interval),
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


@dataclass(frozen=True)
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
        One a pair of approaches; see `scaling.fitting.agreement.compare_approaches`.
    effective : tuple of Effective
        What groups are worth in data of a reference; see `scaling.fitting.effective`.
    laws : tuple of mapping
        One a law and group that could be scored on larger runs than it was fitted to, best first
        within a group; see `scaling.fitting.backtest.compare_laws`. The first of a group has the
        ``messages`` about it, if there are any.
    curves : mapping of str to list
        Thinned learning curves of the runs; see `scaling.runs.learning`. Empty if none were read.
    compared : tuple of Recipes
        Groups against the first of them; see `scaling.fitting.comparison.compare_groups`.
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

    def __getitem__(self, key: tuple[str | None, str]) -> Fit:
        for fit in self.fits:
            if (fit.group, fit.law.name) == key:
                return fit
        raise KeyError(key)

    def __iter__(self) -> Iterator[tuple[str | None, str]]:
        return iter((fit.group, fit.law.name) for fit in self.fits)

    def __len__(self) -> int:
        return len(self.fits)

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
        """Return the JSON form of ``fit.json``."""
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
        """Write ``fit.json`` in one step; see `scaling.fitting.packed` for very large ones."""
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


def _interval_dict(interval: Interval) -> dict[str, Any]:
    out = dict(vars(interval))
    out["params"] = {k: list(v) for k, v in interval.params.items()}
    out["se"] = dict(interval.se)
    return out


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
