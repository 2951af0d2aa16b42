"""What a fit is made of beside its law: objective, intervals, hold-out and checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Objective:
    """The function that was minimised.

    Attributes
    ----------
    name : {"log-huber", "huber", "log-mse", "mse", "asymmetric"}
        Loss of a residual.
    delta : float or None
        Threshold of Huber's loss, in the residual's unit; None for squares.
    reduction : {"sum", "mean"}
        Over the rows.
    value : float
        At the optimum.
    """

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

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        out = dict(vars(self))
        out["params"] = {k: list(v) for k, v in self.params.items()}
        out["se"] = dict(self.se)
        return out


@dataclass(frozen=True)
class Holdout:
    """Error on rows that were kept out of the fit, in logs of the loss.

    Attributes
    ----------
    where : str
        Condition that kept them out.
    n : int
        How many.
    rmse_log : float
        Root mean square of ln loss - ln prediction.
    bias_log : float
        Its mean; above 0 where the fit predicts too little.
    coverage : float or None
        Share of the rows inside the interval of a new run; None without draws.
    factor : float or None
        Their largest compute over the largest that was fitted.
    """

    where: str
    n: int
    rmse_log: float
    bias_log: float
    coverage: float | None
    factor: float | None


@dataclass(frozen=True)
class Check:
    """An automatic check.

    Attributes
    ----------
    name : str
    verdict : {"pass", "warn", "fail"}
    found : str
        What was found, in words.
    code : str or None
        Of the message that says more.
    wanted : str
        What passing takes.
    """

    name: str
    verdict: Literal["pass", "warn", "fail"]
    found: str
    code: str | None = None
    wanted: str = ""
