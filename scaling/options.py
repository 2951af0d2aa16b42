"""Options of model families, data sources and tasks: their kinds, defaults and checks."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scaling.errors import ConfigError, Fault, clip, listed

Kind = Literal["integer", "number", "switch", "choice", "text"]


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes
    ----------
    name : str
    kind : {"integer", "number", "switch", "choice", "text"}
        A whole number, a number, true or false, one of `choices`, words (a path, say).
    default : bool, int, float, str or None
        None: it must be given.
    text : str
        What it means, in one line.
    low, high : float
        Least and greatest value of a number, both allowed.
    step : int
        An integer must be a multiple of it.
    choices : tuple of str
    """

    name: str
    kind: Kind
    default: bool | int | float | str | None
    text: str
    low: float = 1
    high: float = 10_000_000
    step: int = 1
    choices: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """The values that are allowed, in words."""
        if self.kind == "choice":
            return listed(self.choices)
        if self.kind == "switch":
            return "true or false"
        if self.kind == "text":
            return self.text
        what = "an integer" if self.kind == "integer" else "a number"
        multiple = f", a multiple of {self.step}" if self.step > 1 else ""
        return f"{what} from {self.low:g} to {self.high:.15g}{multiple}"

    def allows(self, value: Any) -> bool:
        """Whether `value` is of the option's kind and in its range."""
        if self.kind == "choice":
            return isinstance(value, str) and value in self.choices
        if self.kind == "switch":
            return isinstance(value, bool)
        if self.kind == "text":
            return isinstance(value, str) and "\0" not in value
        kinds = int if self.kind == "integer" else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            return False
        # the range goes first: a huge integer has no float
        inside = self.low <= value <= self.high and math.isfinite(value)
        return bool(inside and (self.kind == "number" or value % self.step == 0))


def read(
    known: Sequence[Option],
    given: Mapping[str, Any],
    where: str = "[model]",
    of: str = "the family",
) -> dict[str, Any]:
    """Return the options that are `given`, checked, with the defaults filled in.

    Parameters
    ----------
    known : sequence of Option
    given : mapping
    where : str
        Section that they stand in.
    of : str
        Whose options they are.

    Raises
    ------
    ConfigError
        SC011 for a name that is not among the `known`, SC012 for a value that cannot be used or
        is missing; all faults at once.
    """
    names = [option.name for option in known]
    faults = [_unknown(name, names, where, of) for name in sorted(set(given) - set(names))]
    values: dict[str, Any] = {}
    for option in known:
        value = given.get(option.name, option.default)
        if option.name not in given and option.default is None:
            faults.append(Fault("SC012", f"{where} {option.name}", "is missing", option.expected))
        elif not option.allows(value):
            found = clip(repr(value))
            faults.append(Fault("SC012", f"{where} {option.name}", found, option.expected))
        values[option.name] = value
    if faults:
        raise ConfigError(faults)
    return values


def whole(known: Sequence[Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is given, with numbers in the kind of their option: 8e6 tokens are 8000000."""
    kinds = {option.name: option.kind for option in known}

    def own(name: str, value: Any) -> Any:
        if isinstance(value, float) and kinds.get(name) == "integer" and value.is_integer():
            return int(value)
        number = isinstance(value, int) and not isinstance(value, bool)
        return float(value) if number and kinds.get(name) == "number" else value

    return {name: own(name, value) for name, value in given.items()}


def _unknown(name: str, names: Sequence[str], where: str, of: str) -> Fault:
    near = difflib.get_close_matches(name, names, 1)
    mend = f'did you mean "{near[0]}"?' if near else ""
    expected = listed(names, limit=len(names)) if names else "none: it has no options"
    return Fault("SC011", f"{where} {clip(name)}", f"{of} has no such option", expected, mend)
