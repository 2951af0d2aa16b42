"""Points, fully resolved: the plan, its ids, its totals and what was left out.

A plan is a pure function of its study, its data manifest and what was measured before: it measures
nothing and does not look at the machine.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from scaling.errors import Fault, Message, OutputError, counted
from scaling.laws.cost import Cost
from scaling.planning.choosing.prior import Prior
from scaling.planning.costing.cost import Total
from scaling.planning.point import OPTIONAL, Point
from scaling.planning.sections import Study
from scaling.runs.files import canonical_json, write_atomic
from scaling.runs.records import PRETRAIN

SCHEMA = "scaling/plan@1"
CSV_COLUMNS = (
    "id",
    "group",
    "budget",
    "N",
    "D",
    "C",
    "N_body",
    "N_embedding",
    "N_head",
    "C_6nd",
    "D_unique",
    "epochs",
    "batch",
    "lr",
    "steps",
    "seed",
    "trunk",
    "seconds",
    "memory",
)


@dataclass(frozen=True, repr=False)
class Plan:
    """Every point of a study, in the order (group, budget, N, D, seed).

    Attributes
    ----------
    points : tuple of Point
    dropped : tuple of mapping
        Cells that were asked for and left out, each with ``why``.
    messages : tuple of Message
    rules : tuple of str
        What a count counts, how models grow, and the recipe, in words.
    total : Total
        What all of it costs.
    prior : Prior or None
        What is believed of the law before it is run.
    cost : Cost
        What C counts where N* and the loss are asked for.
    study : Study
    before : Plan or None
        Runs that come first, in a folder of their own: points start from their weights.
    code : mapping of str to str
        Text of modules with tasks of the user's own, by file name.
    """

    points: tuple[Point, ...]
    dropped: tuple[Mapping[str, Any], ...]
    messages: tuple[Message, ...]
    rules: tuple[str, ...]
    total: Total
    prior: Prior | None = field(repr=False)
    cost: Cost
    study: Study = field(repr=False)
    before: Plan | None = field(default=None, repr=False)
    code: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __iter__(self) -> Iterator[Point]:
        return iter(self.points)

    def __len__(self) -> int:
        return len(self.points)

    def __repr__(self) -> str:
        return f"Plan({counted(len(self), 'point')}, {self.total.flops:.3g} FLOP)"

    @property
    def totals(self) -> dict[str, Any]:
        """Points, FLOP, seconds and what follows from them; null where it is not known."""
        return self.total.as_dict()

    def with_messages(self, messages: Iterable[Message]) -> Plan:
        """Return the plan with more to say."""
        return replace(self, messages=(*self.messages, *messages))

    def with_code(self, code: Mapping[str, str]) -> Plan:
        """Return the plan with the code of the user's own tasks, for all its stages."""
        if not code:
            return self
        before = None if self.before is None else replace(self.before, code=code)
        return replace(self, code=code, before=before)

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form."""
        return {
            "schema": SCHEMA,
            "points": [p.as_dict() for p in self.points],
            "dropped": [dict(d) for d in self.dropped],
            "totals": self.totals,
            "rules": list(self.rules),
            "messages": [m.as_dict() for m in self.messages],
            **({} if self.before is None else {PRETRAIN: self.before.as_dict()}),
        }

    def to_jsonl(self) -> str:
        """One canonical JSON line a point."""
        spell = _Spelling()
        keys = {name: f'"{name}":' for name in sorted(f.name for f in fields(Point))}
        few = set(OPTIONAL)
        lines = []
        for point in self.points:
            values = vars(point)
            parts = [
                key + spell(values[name])
                for name, key in keys.items()
                if name not in few or values[name]
            ]
            lines.append("{" + ",".join(parts) + "}\n")
        return "".join(lines)

    def to_csv(self) -> str:
        """A view for spreadsheets: scalars of each point, its counts and its shape flattened."""
        out = io.StringIO()
        counts = sorted({key for p in self.points for key in p.flops_per_unit})
        shapes = sorted({key for p in self.points for key in p.shape})
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*CSV_COLUMNS, *(f"C_{key}" for key in counts), *shapes])
        for p in self.points:
            row = [getattr(p, name) for name in CSV_COLUMNS]
            row += [p.D * p.flops_per_unit[key] if key in p.flops_per_unit else None
                    for key in counts]  # fmt: skip
            row += [p.shape.get(key) for key in shapes]
            writer.writerow(["" if value is None else value for value in row])
        return out.getvalue()

    def write_code(self, out: str | Path) -> None:
        """Write the code of the user's own tasks to where workers look for it."""
        for name, text in self.code.items():
            write_atomic(Path(out) / "code" / name, text)

    def write(self, out: str | Path) -> list[Message]:
        """Write ``plan.jsonl``, ``plan.csv`` and ``study.json`` under `out`.

        Runs that come first have a folder of their own in it.

        Returns
        -------
        list of Message
            SC304 if `out` held another plan; its points stay on disk.
        """
        folder = Path(out)
        messages = [] if self.before is None else self.before.write(folder / PRETRAIN)
        path = folder / "plan.jsonl"
        text = self.to_jsonl()
        messages += _compare_with_old(path, {p.id for p in self.points})
        write_atomic(path, text)
        write_atomic(folder / "plan.csv", self.to_csv())
        study = self.study.model_dump(mode="json", by_alias=True)
        self.write_code(folder)
        write_atomic(folder / "study.json", json.dumps(study, indent=1) + "\n")
        return messages


PLAIN = {int, float, str, type(None)}


class _Spelling:
    """Canonical JSON of the fields of points; what many points share is spelt once."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}
        self._objects: dict[int, str] = {}

    def __call__(self, value: Any) -> str:
        kind = type(value)
        if kind is int:
            return str(value)
        if kind is float:
            return repr(value)
        if value is None:
            return "null"
        if kind is str:
            if value not in self._words:
                self._words[value] = canonical_json(value)
            return self._words[value]
        key = id(value)  # the points hold their mappings, so that an id is not used twice
        if key not in self._objects:
            self._objects[key] = self._mapping(value)
        return self._objects[key]

    def _mapping(self, value: Mapping[str, Any]) -> str:
        """A flat mapping by its parts; its keys are our own words, without escapes."""
        if not {type(v) for v in value.values()} <= PLAIN:
            return canonical_json(value)
        return "{" + ",".join([f'"{key}":{self(value[key])}' for key in sorted(value)]) + "}"


def _compare_with_old(path: Path, ids: set[str]) -> list[Message]:
    if not path.exists():
        return []
    try:
        old = {json.loads(line)["id"] for line in path.read_text().splitlines() if line.strip()}
    except (OSError, ValueError, KeyError, TypeError):
        raise OutputError(
            Fault("SC002", str(path), "exists and is not a plan", mend="choose another -o")
        ) from None
    if old <= ids:  # nothing leaves results.csv
        return []
    shared, left = len(old & ids), len(old - ids)
    text = f"The folder held another plan: {shared} points are shared and kept, {left} of the old "
    text += "plan stay on disk but leave results.csv."
    return [Message("SC304", text)]
