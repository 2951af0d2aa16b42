"""How to fit: options, and which of them cannot be meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scaling.errors import ConfigError, Fault
from scaling.fitting import objectives
from scaling.fitting.intervals import METHODS
from scaling.laws import Law


@dataclass(frozen=True)
class Options:
    """How to fit; the defaults are those of the command line.

    Attributes
    ----------
    objective, delta, reduction : str, float, str
        See `scaling.fitting.objectives`.
    bootstrap : int
        Replicates; 0 for none.
    interval : float
        Level.
    seed : int
    fixed : mapping
        Parameters held at a value.
    bounds : mapping
        Bounds that replace the law's.
    holdout : str or None
        Condition on rows that are predicted, not fitted.
    weights : str or None
        Expression of row weights.
    noise : str or None
        Expression of each row's standard deviation, in the objective's scale; rows count by its
        inverse square.
    method : {"pairs", "wild", "delta"}
        How intervals are made; see `scaling.fitting.intervals`.
    response : str or None
        Column that the law gives; the law's own if None.
    profile : tuple of str
        Parameters whose profile is traced; ``("all",)`` for every free one.
    share : tuple of str
        Parameters that are the same in every group.
    cost : str or None
        What a, b and allocations count as compute: ``6nd`` if None, ``table`` (C of the table as
        powers of N and D), or a formula of N and D.
    """

    objective: str = "log-huber"
    delta: float | str | None = 1e-3
    reduction: str = "sum"
    bootstrap: int = 1000
    interval: float = 0.95
    seed: int = 0
    fixed: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    holdout: str | None = None
    weights: str | None = None
    noise: str | None = None
    method: str = "pairs"
    response: str | None = None
    profile: tuple[str, ...] = ()
    share: tuple[str, ...] = ()
    cost: str | None = None


def check_level(level: float) -> float:
    """Return the level of an interval.

    Raises
    ------
    ConfigError
        SC004 if it is not between 0 and 1.
    """
    if not 0.0 < level < 1.0:
        raise ConfigError(Fault("SC004", "--interval", f"{level:g}", "between 0 and 1"))
    return level


def check_options(options: Options, law: Law) -> None:
    """Refuse options that cannot be meant.

    Raises
    ------
    ConfigError
        SC004.
    """
    faults = []
    if options.reduction not in objectives.REDUCTIONS:
        faults.append(Fault("SC004", "--reduction", f'"{options.reduction}"', "sum or mean"))
    if options.method not in METHODS:
        known = "one of " + ", ".join(METHODS)
        faults.append(Fault("SC004", "--interval-method", f'"{options.method}"', known))
    if options.method == "wild" and options.objective == "asymmetric":
        found, expected = "wild with the asymmetric objective", "pairs or delta"
        faults.append(Fault("SC004", "--interval-method", found, expected))
    if options.bootstrap < 0:
        faults.append(Fault("SC004", "--bootstrap", str(options.bootstrap), "0 or more"))
    if not 0 < options.interval < 1:
        faults.append(Fault("SC004", "--interval", str(options.interval), "between 0 and 1"))
    for option, names in (("--fix", options.fixed), ("--bound", options.bounds)):
        for name in names:
            if name not in law.names:
                known = ", ".join(law.names)
                faults.append(Fault("SC004", option, f'law {law.name} has no "{name}"', known))
    for name, value in options.fixed.items():
        if name in law.names:
            low, high = law.parameter(name).low, law.parameter(name).high
            if not low <= value <= high:
                expected = f"from {low:g} to {high:g}"
                faults.append(Fault("SC004", f"--fix {name}", f"{value:g}", expected))
    for name, (low, high) in options.bounds.items():
        if not low < high:
            faults.append(Fault("SC004", f"--bound {name}", f"{low}:{high}", "LOW:HIGH"))
    if faults:
        raise ConfigError(faults)
