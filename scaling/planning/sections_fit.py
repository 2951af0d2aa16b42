"""The sections of a study file that say what is fitted, and what a paper printed of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from scaling.fitting.options import Options
from scaling.planning.sections_base import Count, Ends, Finite, Positive, Section, Share


class FitSection(Section):
    """One fit of the results."""

    name: Annotated[str, Field(min_length=1, max_length=60)] | None = None
    law: str | Annotated[list[str], Field(min_length=1)] | None = None
    formula: str | None = None
    response: str | None = None
    effective: Literal["multiplier", "transfer"] | None = None
    reference: str | None = None
    approach: list[Literal["surface", "isoflop", "envelope"]] = Field(
        default=["surface", "isoflop"]
    )
    objective: Literal["log-huber", "huber", "log-mse", "mse"] = "log-huber"
    delta: Positive | Literal["auto"] = 1e-3
    reduction: Literal["sum", "mean"] = "sum"
    fix: dict[str, Finite] = Field(default_factory=dict)
    bound: dict[str, Ends] = Field(default_factory=dict)
    weights: str | None = None
    noise: str | None = None
    minimum: Literal["powers", "parabola", "cubic", "quartic", "spline"] = "powers"
    bins: Count | Annotated[list[Positive], Field(min_length=3, max_length=3)] | None = None
    map: dict[str, str] = Field(default_factory=dict)
    group: str | None = None
    where: str | None = None
    holdout: str | None = None
    bootstrap: Annotated[int, Field(ge=0, le=100_000)] = 1000
    interval: Share = 0.95
    interval_method: Literal["pairs", "wild", "delta"] = "pairs"
    profile: list[str] = Field(default_factory=list)
    seed: int = 0
    edge: Literal["refuse", "keep"] = "refuse"
    cost: str | None = None
    sensitivity: bool = True
    backtest: bool | None = None
    report: bool = True

    @property
    def laws(self) -> list[str]:
        """Names of the laws, in order; empty where none is named."""
        return [self.law] if isinstance(self.law, str) else list(self.law or ())

    def options(self) -> Options:
        """Return what the fits of the section are made with."""
        return Options(
            self.objective,
            self.delta,
            self.reduction,
            self.bootstrap,
            self.interval,
            self.seed,
            self.fix,
            {name: (low, high) for name, (low, high) in self.bound.items()},
            self.holdout,
            self.weights,
            self.noise,
            self.interval_method,
            self.response,
            tuple(self.profile),
            cost=self.cost,
        )

    @model_validator(mode="before")
    @classmethod
    def _effective_alone(cls, given: Any) -> Any:
        """Fit no law beside effective data unless one is asked for: a group may be too small."""
        if isinstance(given, dict) and given.get("effective") and not given.get("law"):
            return {"approach": [], **given}
        return given


class PrintedSection(Section):
    """A figure that a paper printed, and that the study should give again.

    `scaling.fitting.printed` says what may stand as ``quantity``.
    """

    quantity: Annotated[str, Field(min_length=1)]
    value: Finite
    tolerance: Positive | None = None
    relative: Positive | None = None
    statistic: Literal["estimate", "se", "lo", "hi"] = "estimate"
    at: dict[str, Finite] = Field(default_factory=dict)
    run: str | None = None
    mean: bool = False
    fit: str | None = None
    law: str | None = None
    group: str | None = None
    approach: Literal["surface", "isoflop", "envelope"] = "surface"
    objective: str | None = None
    source: Annotated[str, Field(min_length=1)]
    note: str = ""
