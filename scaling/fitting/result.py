"""What a fit is: frozen values with status, intervals, messages and provenance.

`Fits` is the content of ``fit.json``; it is self-sufficient, so that prediction and reports never
fit again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, Message, clip
from scaling.laws import LAWS, Law, Parameter, get
from scaling.runs.files import write_atomic

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Status = Literal["converged", "at-bound", "max-iterations", "not-identified", "failed"]
Approach = Literal["surface", "isoflop", "envelope"]
SCHEMA = "scaling/fit@1"
COST_6ND = {"name": "6nd", "formula": "6*N*D"}


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
    """An automatic check: ``name``, ``verdict`` (pass, warn, fail) and what was ``found``."""

    name: str
    verdict: Literal["pass", "warn", "fail"]
    found: str
    code: str | None = None


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

    @property
    def intervals(self) -> Mapping[str, tuple[float, float]]:
        """Interval of each parameter; empty without bootstrap."""
        return self.interval.params if self.interval else {}

    @property
    def identified(self) -> bool:
        """Whether headline numbers may be quoted."""
        return self.status in ("converged", "at-bound")

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

    def optimal(self, *, C: Any, interval: float | None = None) -> pd.DataFrame:
        """Compute-optimal N and D; see `scaling.fitting.prediction.optimal`."""
        from scaling.fitting.prediction import optimal

        return optimal(self, C=C, level=interval)

    def summary(self) -> str:
        """Return the text that `scaling fit` prints for this fit."""
        from scaling.fitting.summary import summarise

        return summarise(self)

    def save(self, path: str | Path) -> None:
        """Write a ``fit.json`` with this fit alone."""
        Fits((self,), table=self.table).save(path)

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
            "members": [],
            "evidence_factor": None,
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
                "declaration": _declaration(self.law),
                "response": self.response,
                "sensitivity": [],
            }
        return out


@dataclass(frozen=True)
class Minimum:
    """The loss minimum of one budget; ``why`` says why it was refused, if it was."""

    budget: float
    N: float | None
    D: float | None
    loss: float | None
    bracketed: bool
    why: str | None = None


@dataclass(frozen=True)
class Allocation:
    """N*(C) ∝ C^a and D*(C) ∝ C^b by one approach.

    Attributes
    ----------
    group : str or None
    approach : {"surface", "isoflop", "envelope"}
    a, b : float or None
        None where there is no honest exponent.
    interval : mapping or None
        ``{"level", "kind", "a": [lo, hi], "b": [lo, hi]}``.
    minima : tuple of Minimum
        One a budget; empty for the surface.
    line : mapping
        ``{"N": [intercept, slope], "D": [...]}`` of ln N*, ln D* on ln C; empty if none.
    curves : tuple of mapping
        Fitted curve of each budget for drawing: ``{"budget", "N": [...], "loss": [...]}``.
    cost : mapping
        Meaning of C.
    messages : tuple of Message
    """

    group: str | None
    approach: Approach
    a: float | None
    b: float | None
    interval: Mapping[str, Any] | None = None
    minima: tuple[Minimum, ...] = ()
    line: Mapping[str, list[float]] = field(default_factory=dict)
    curves: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    cost: Mapping[str, str] = field(default_factory=lambda: dict(COST_6ND))
    messages: tuple[Message, ...] = ()
    method: str = ""

    def as_dict(self, *, full: bool = True) -> dict[str, Any]:
        """Return the JSON form; without curves unless `full`."""
        out: dict[str, Any] = {
            "group": self.group,
            "approach": self.approach,
            "method": self.method,
            "a": self.a,
            "b": self.b,
            "interval": None if self.interval is None else dict(self.interval),
            "minima": [vars(m) for m in self.minima],
            "line": dict(self.line),
            "cost": dict(self.cost),
            "messages": [m.as_dict() for m in self.messages],
        }
        if full:
            out["curves"] = [dict(c) for c in self.curves]
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
    """

    fits: tuple[Fit, ...]
    allocations: tuple[Allocation, ...] = ()
    table: Mapping[str, Any] = field(default_factory=dict, repr=False)
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

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
        """Every message of the table, the fits and the allocations, without repeats."""
        found = [Message.from_dict(m) for m in self.table.get("messages", [])]
        for fit in self.fits:
            found += fit.messages
        for allocation in self.allocations:
            found += allocation.messages
        return tuple(dict.fromkeys(found))

    def as_dict(self, *, full: bool = True) -> dict[str, Any]:
        """Return the JSON form of ``fit.json``."""
        table = dict(self.table)
        return {
            "schema": SCHEMA,
            "table": table,
            "fits": [fit.as_dict(full=full) for fit in self.fits],
            "allocations": [a.as_dict(full=full) for a in self.allocations],
            "provenance": dict(self.provenance),
        }

    def to_json(self, *, full: bool = True) -> str:
        """Return JSON text; numbers that are not finite become null."""
        return json.dumps(_plain(self.as_dict(full=full)), indent=1, allow_nan=False) + "\n"

    def save(self, path: str | Path) -> None:
        """Write ``fit.json`` in one step."""
        write_atomic(Path(path), self.to_json())


def load(path: str | Path) -> Fits:
    """Read a ``fit.json``.

    Raises
    ------
    ConfigError
        SC005 or SC101 if the file is missing or not a fit.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(Fault("SC005", str(path), f"cannot be read: {error.strerror}")) from None
    except ValueError as error:
        raise ConfigError(Fault("SC101", str(path), f"is not JSON: {error}", SCHEMA)) from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise ConfigError(Fault("SC101", str(path), f"schema {found!r}", SCHEMA))
    try:
        return from_dict(data)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = clip(f"{type(error).__name__} {error}")
        mend = "scaling fit RESULTS.csv -o FILE writes a whole one"
        raise ConfigError(
            Fault("SC101", str(path), f"is not a whole fit: {reason}", SCHEMA, mend)
        ) from None


def from_dict(data: Mapping[str, Any]) -> Fits:
    """Inverse of `Fits.as_dict` with ``full=True``."""
    table = data["table"]
    fits = tuple(_fit_from(item, table) for item in data["fits"])
    allocations = tuple(_allocation_from(item) for item in data["allocations"])
    return Fits(fits, allocations, table, data.get("provenance", {}))


def _fit_from(item: Mapping[str, Any], table: Mapping[str, Any]) -> Fit:
    law = _law_from(item)
    interval = item["interval"]
    return Fit(
        group=item["group"],
        law=law,
        params=item["params"],
        objective=Objective(**item["objective"]),
        status=item["status"],
        n=item["n"],
        messages=tuple(Message.from_dict(m) for m in item["messages"]),
        interval=None
        if interval is None
        else Interval(
            **{**interval, "params": {k: (v[0], v[1]) for k, v in interval["params"].items()}}
        ),
        holdout=None if item["holdout"] is None else Holdout(**item["holdout"]),
        cost=item["cost"],
        checks=tuple(Check(**c) for c in item.get("checks", [])),
        rows=item.get("rows", {}),
        draws={k: np.asarray(v, dtype=np.float64) for k, v in item.get("draws", {}).items()},
        covariance=item.get("covariance", {}),
        certificate=item.get("certificate", {}),
        profiles=tuple(item.get("profiles", [])),
        response=item.get("response", law.response),
        table=table,
    )


def _declaration(law: Law) -> dict[str, Any]:
    """What is needed to evaluate a law that no catalogue knows."""
    return {
        "variables": list(law.variables),
        "response": law.response,
        "parameters": [
            {"name": p.name, "role": p.role, "meaning": p.meaning} for p in law.parameters
        ],
    }


def _law_from(item: Mapping[str, Any]) -> Law:
    """The catalogue's law where it has the same formula, else the declaration in the file."""
    if item["law"] in LAWS and LAWS[item["law"]].formula == item["formula"]:
        return LAWS[item["law"]]
    found = item.get("declaration")
    if found is None:
        return get(item["law"])
    parts = tuple(
        Parameter(p["name"], p["role"], -np.inf, np.inf, meaning=p["meaning"])
        for p in found["parameters"]
    )
    return Law(
        name=item["law"],
        formula=item["formula"],
        parameters=parts,
        variables=tuple(found["variables"]),
        reference="as declared in the file",
        response=found["response"],
    )


def _allocation_from(item: Mapping[str, Any]) -> Allocation:
    return Allocation(
        group=item["group"],
        approach=item["approach"],
        a=item["a"],
        b=item["b"],
        interval=item["interval"],
        minima=tuple(Minimum(**m) for m in item["minima"]),
        line=item.get("line", {}),
        curves=tuple(item.get("curves", [])),
        cost=item["cost"],
        messages=tuple(Message.from_dict(m) for m in item.get("messages", [])),
        method=item.get("method", ""),
    )


def _interval_dict(interval: Interval) -> dict[str, Any]:
    out = dict(vars(interval))
    out["params"] = {k: list(v) for k, v in interval.params.items()}
    out["se"] = dict(interval.se)
    return out


def _plain(value: Any) -> Any:
    """Turn NumPy scalars and non-finite numbers into what JSON can say."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return [_plain(v) for v in value.tolist()]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
