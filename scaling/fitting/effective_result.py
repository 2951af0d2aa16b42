"""What a comparison of amounts of data is: frozen values that go into ``fit.json`` and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from scaling.errors import Message

if TYPE_CHECKING:
    import pandas as pd

Form = Literal["multiplier", "transfer"]
Verdict = Literal["helps", "hurts", "no evidence", "not judged", "not identified"]
FORMS = ("multiplier", "transfer")


@dataclass(frozen=True)
class Treatment:
    """What the treatment of one group is worth in data of the reference.

    Attributes
    ----------
    group : str
    verdict : {"helps", "hurts", "no evidence", "not judged", "not identified"}
        Whether the interval of the headline excludes a factor of 1, and on which side; not judged
        without a bootstrap.
    sentence : str
        The answer.
    n : int
        Treated runs.
    mean : mapping
        ``ratio`` (exp of the mean of ln(D_E/D_F) over cells), ``interval``, ``cells``, and
        ``bound``: ``at least`` or ``at most`` where cells were cut at ten times the reference's
        range of data, else None.
    multiplier : mapping
        ``m, interval``; ``slopes`` of ln m in ln D and ln N with intervals, ``p`` of their being 0,
        and ``constant``, None where it could not be tested. Empty for the other form.
    transfer : mapping
        ``fitted, why, k, alpha, beta, intervals``; beta is None where it is not identified. Empty
        for the other form.
    cells : tuple of mapping
        One a pair of N and D_F: ``N, D_F, runs, y``; ``D_E, ratio, D_T`` with ``D_E_interval``,
        ``ratio_interval``, ``D_T_interval`` (None where unbounded); ``reach``: ``inside``,
        ``above`` or ``below`` the reference's data, or ``unbounded``.
    curves : tuple of mapping
        Laws of the treated runs by themselves at each size: ``law, N, n, status, params,
        intervals, rmse_log, why``.
    runs : mapping
        Columns N, D, y of the treated runs.
    messages : tuple of Message
    """

    group: str
    verdict: Verdict
    sentence: str
    n: int
    mean: Mapping[str, Any]
    multiplier: Mapping[str, Any] = field(default_factory=dict)
    transfer: Mapping[str, Any] = field(default_factory=dict)
    cells: tuple[Mapping[str, Any], ...] = ()
    curves: tuple[Mapping[str, Any], ...] = ()
    runs: Mapping[str, list[float]] = field(default_factory=dict, repr=False)
    messages: tuple[Message, ...] = ()

    def as_dict(self, *, full: bool = True) -> dict[str, Any]:
        """Return the JSON form; without runs unless `full`."""
        out: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        out["messages"] = [m.as_dict() for m in self.messages]
        return out if full else {k: v for k, v in out.items() if k != "runs"}


@dataclass(frozen=True, repr=False)
class Effective:
    """Groups compared with a reference by the data that it would need.

    Attributes
    ----------
    form : {"multiplier", "transfer"}
    reference : str
        Group that is the measure.
    response : str
        Column that was compared.
    level : float
        Level of the intervals.
    kind : str
        How the intervals were made; empty without any.
    curve : mapping
        The reference's curve: ``kind, title, formula, n, sizes, params, intervals``.
    lines : tuple of mapping
        The curve at each size for drawing: ``N, D, y, lo, hi``.
    runs : mapping
        Columns N, D, y of the reference's runs.
    treatments : tuple of Treatment
    messages : tuple of Message
        About the reference.
    """

    form: Form
    reference: str
    response: str
    level: float
    kind: str
    curve: Mapping[str, Any]
    treatments: tuple[Treatment, ...]
    lines: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    runs: Mapping[str, list[float]] = field(default_factory=dict, repr=False)
    messages: tuple[Message, ...] = ()

    def __getitem__(self, group: str) -> Treatment:
        for item in self.treatments:
            if item.group == group:
                return item
        raise KeyError(group)

    @property
    def every_message(self) -> tuple[Message, ...]:
        """Messages of the reference and of every treatment, without repeats."""
        found = [*self.messages, *(m for item in self.treatments for m in item.messages)]
        return tuple(dict.fromkeys(found))

    def to_frame(self) -> pd.DataFrame:
        """Return one row a cell of every group."""
        import pandas as pd

        rows = []
        for item in self.treatments:
            for cell in item.cells:
                row: dict[str, Any] = {"group": item.group}
                for name, value in cell.items():
                    if name.endswith("_interval"):
                        stem = name.removesuffix("_interval")
                        row[f"{stem}_lo"], row[f"{stem}_hi"] = value or (None, None)
                    else:
                        row[name] = value
                rows.append(row)
        return pd.DataFrame(rows)

    def as_dict(self, *, full: bool = True) -> dict[str, Any]:
        """Return the JSON form; without runs and lines unless `full`."""
        out: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        out["treatments"] = [item.as_dict(full=full) for item in self.treatments]
        out["messages"] = [m.as_dict() for m in self.messages]
        return out if full else {k: v for k, v in out.items() if k not in ("runs", "lines")}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Effective:
        """Inverse of `as_dict`."""
        treatments = tuple(_treatment_from(item) for item in data["treatments"])
        known = {f.name for f in fields(cls)} - {"treatments", "messages", "lines"}
        plain = {name: data[name] for name in known if name in data}
        return cls(
            treatments=treatments,
            messages=_messages(data),
            lines=tuple(data.get("lines", ())),
            **plain,
        )

    def summary(self) -> str:
        """Return the text that ``scaling fit --effective`` prints."""
        from scaling.fitting.effective_text import summarise_effective

        return summarise_effective(self)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        groups = ", ".join(f"{item.group} {item.verdict}" for item in self.treatments)
        return f"Effective({self.form}, against {self.reference}: {groups})"


def _messages(data: Mapping[str, Any]) -> tuple[Message, ...]:
    return tuple(Message.from_dict(m) for m in data.get("messages", ()))


def _treatment_from(data: Mapping[str, Any]) -> Treatment:
    known = {f.name for f in fields(Treatment)} - {"messages", "cells", "curves"}
    return Treatment(
        messages=_messages(data),
        cells=tuple(data.get("cells", ())),
        curves=tuple(data.get("curves", ())),
        **{name: data[name] for name in known if name in data},
    )
