"""A settled tuning stage: the law of the best rate, its errors and its check, as a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from scaling.errors import ConfigError, Fault, Message
from scaling.planning.recipes.optima import Optimum, rounded
from scaling.runs.files import canonical_json, sha256_text

SCHEMA = "scaling/tuning@1"


@dataclass(frozen=True)
class Check:
    """The law against the best rate at the check size.

    Attributes
    ----------
    N, D : float
    predicted, lo, hi : float
        Rate of the law, with its interval.
    found, se : float or None
        Best rate and its standard error in ln lr; None where the best lies beyond the rates tried.
    excess : float
        By how much, in ln loss, the run nearest to the prediction is above the best run.
    agrees : bool
    """

    N: float
    D: float
    predicted: float
    lo: float
    hi: float
    found: float | None
    se: float | None
    excess: float
    agrees: bool


@dataclass(frozen=True)
class Tuned:
    """A settled tuning stage: ``lr = k N**p``.

    Attributes
    ----------
    recipe : str
        Full name of the recipe that was tuned.
    k, p : float
        Six significant digits, as the recipe uses them.
    level : float
        Of the intervals.
    p_interval : tuple of float
    centre, se_level, se_p, quantile : float
        ln N at which the level and the exponent are uncorrelated, their standard errors, and how
        many of them make an interval.
    optima : tuple of Optimum
    check : Check or None
    messages : tuple of Message
    """

    recipe: str
    k: float
    p: float
    level: float
    p_interval: tuple[float, float]
    centre: float
    se_level: float
    se_p: float
    quantile: float
    optima: tuple[Optimum, ...]
    check: Check | None = None
    messages: tuple[Message, ...] = ()

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest tuned N."""
        sizes = [o.N for o in self.optima]
        return min(sizes), max(sizes)

    @cached_property
    def id(self) -> str:
        """Eight hex digits of what decides the rates."""
        decides = {"recipe": self.recipe, "k": self.k, "p": self.p, "range": list(self.range)}
        return sha256_text(canonical_json(decides))[:8]

    @property
    def formula(self) -> str:
        """The rule that replaces the recipe's rate."""
        return f"{self.k!r}*N**{self.p!r}"

    def describe(self) -> str:
        """Return the exponent with its interval."""
        low, high = self.p_interval
        return f"{self.p:.3g} ({self.level:.0%} interval {low:.3g} to {high:.3g})"

    def rate(self, size: float) -> tuple[float, float, float]:
        """Return the rate at N = `size` with its interval (rate, lo, hi)."""
        log_rate = np.log(self.k) + self.p * np.log(size)
        half = self.quantile * self.error(size)
        rates = np.exp([log_rate, log_rate - half, log_rate + half])
        return rounded(rates[0], 4), rounded(rates[1], 4), rounded(rates[2], 4)

    def error(self, size: float) -> float:
        """Standard error of ln lr of the law at a size."""
        return float(np.hypot(self.se_level, self.se_p * (np.log(size) - self.centre)))

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form, ``scaling/tuning@1``."""
        plain = {"schema": SCHEMA, "id": self.id, **asdict(self)}
        plain["p_interval"] = list(self.p_interval)
        plain["optima"] = [asdict(o) for o in self.optima]
        plain["messages"] = [m.as_dict() for m in self.messages]
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Tuned:
        """Inverse of `as_dict`.

        Raises
        ------
        ConfigError
            SC012 if `data` are not a settled tuning stage.
        """
        try:
            if data["schema"] != SCHEMA:
                raise KeyError("schema")
            names = set(cls.__dataclass_fields__)
            plain = {name: value for name, value in data.items() if name in names}
            plain["p_interval"] = tuple(data["p_interval"])
            plain["optima"] = tuple(Optimum(**o) for o in data["optima"])
            plain["check"] = Check(**data["check"]) if data["check"] else None
            plain["messages"] = tuple(Message.from_dict(m) for m in data["messages"])
            return cls(**plain)
        except (KeyError, TypeError, ValueError) as error:
            found = f"cannot be read: {type(error).__name__} {error}"
            raise ConfigError(Fault("SC012", "[tuning]", found, f"schema {SCHEMA}")) from None
