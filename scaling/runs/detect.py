"""Which column of a stranger's table plays which role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from scaling.errors import Fault, Message, TableError, clip
from scaling.runs.columns import COLUMNS, normalise
from scaling.runs.importers.base import Imported
from scaling.runs.maps import map_of, mapped, mapped_reading, parse_maps
from scaling.runs.names import LEAD, PICK, Guess, guesses
from scaling.runs.numbers import (
    POINT,
    Dialect,
    looks_numeric,
    looks_suffixed,
    starts_like_numbers,
    texts_of,
)
from scaling.runs.table import Reading
from scaling.runs.words import split_words

NO_HELDOUT = "no held-out loss was found."
UNREAD = "source "  # before a canonical name that was not taken as what it says
ASKED = ("N", "D", "C", "loss")  # a wrong pick of these moves the answer
_PART_OF_MODEL = 40
_HELDOUT_LOSS, _TRAINING_LOSS = 86, 66
_SURELY_RUNS = 90
_SURE = 84
# In tables that `scaling import` or a study wrote, a canonical name means what it says.
_WRITTEN_BY_US = ({"run", "status", "loss_unit"}, {"run", "status", "N_body", "N_head"})


class AmbiguousColumns(TableError):
    """Several columns could play one role.

    Attributes
    ----------
    choices : mapping of str to tuple of str
        Headers that could be each role, the likeliest first.
    """

    def __init__(self, faults: Sequence[Fault], choices: Mapping[str, tuple[str, ...]]) -> None:
        super().__init__(faults)
        self.choices = dict(choices)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:  # type: ignore[override]
        return (type(self), (self.faults, self.choices))


@dataclass
class Resolved:
    """Cells with canonical names, before their values are checked."""

    frame: pd.DataFrame
    source: Imported
    columns: dict[str, Reading]
    dialect: Dialect = POINT
    messages: list[Message] = field(default_factory=list)

    def place(self, column: str, i: int) -> str:
        """Name the cell of a canonical column in row `i` (from 0) as the source does."""
        return self.source.place(i, self.columns[column].header or self.columns[column].source)

    def offset(self, column: str, i: int) -> int:
        """Where in its line the cell of a canonical column begins."""
        return self.source.offset(i, self.columns[column].header or self.columns[column].source)


def resolve_columns(
    source: Imported,
    maps: Mapping[str, str],
    dialect: Dialect = POINT,
    needed: Sequence[str] = ASKED,
    trusted: bool = False,
) -> Resolved:
    """Choose a source for every canonical column.

    An exact canonical name wins; otherwise the header that leads by its name (see
    `scaling.runs.names`); `maps` overrides both. Columns that are not understood keep their own
    names.

    Raises
    ------
    AmbiguousColumns
        SC110 if several headers could play one of the roles `needed`.
    ConfigError
        SC020 if a map cannot be used.
    """
    cells = source.cells
    expressions = parse_maps(maps)
    chosen, messages = _choose(source, set(expressions), needed, trusted)
    columns = {role: _reading(guess) for role, guess in chosen.items()}
    series = {role: cells[guess.header] for role, guess in chosen.items()}
    for role, expression in expressions.items():
        columns[role], told = mapped_reading(expression, role, cells)
        messages += told
        series[role] = mapped(expression, role, source, columns, series, dialect)
    # A quantity is renamed; what tells rows apart keeps its name too, for --where and --group.
    taken = {r.header for role, r in columns.items() if role not in ("group", "steps")}
    ordered = {role: series[role] for role in COLUMNS if role in series}
    rest = {
        # a canonical name that was not taken as what it says must not be read as that later
        (f"{UNREAD}{h}" if h in COLUMNS else h): cells[h]
        for h in cells.columns
        if h not in taken and h not in ordered
    }
    return Resolved(pd.DataFrame({**ordered, **rest}), source, columns, dialect, messages)


def _reading(guess: Guess) -> Reading:
    shown = f"ln({guess.header})" if guess.transform else guess.header
    unit = guess.unit or COLUMNS[guess.role].unit
    return Reading(shown, unit, guess.scale, guess.header, guess.transform, guess.convention)


# ---------------------------------------------------------------------------------------- choosing


def _choose(
    source: Imported, mapped: set[str], needed: Sequence[str], trusted: bool
) -> tuple[dict[str, Guess], list[Message]]:
    """Pick the leading header of each role, or raise with the choices."""
    headers = list(source.cells.columns)
    chosen = {h: Guess(h, h, 100) for h in headers if h in COLUMNS and h not in mapped}
    candidates = _candidates(source, chosen, mapped)
    if not trusted and not any(own <= set(headers) for own in _WRITTEN_BY_US):
        for role in ("N", "C", "loss"):
            _doubt(role, chosen, candidates)
    faults, choices, messages = [], {}, []
    taken = {guess.header for guess in chosen.values()}
    for role in COLUMNS:
        found = [g for g in candidates.get(role, []) if g.header not in taken]
        if role in chosen or not found:
            continue
        rivals = _rivals(role, found, source.cells)
        if len(rivals) > 1 and role in ASKED:
            fault = _ambiguous(role, rivals, source)
            if role in needed:
                faults.append(fault)
                choices[role] = tuple(g.header for g in rivals)
            else:
                text = f"{fault.found}: {fault.expected}. None was taken."
                messages.append(Message("SC110", text, mend=fault.mend))
        elif len(rivals) == 1 and _suits(rivals[0], source.cells, candidates):
            chosen[role] = rivals[0]
            taken.add(rivals[0].header)
            messages += _told(role, rivals[0], found)
    if faults:
        raise AmbiguousColumns(faults, choices)
    if "train_loss" in chosen and not {"loss"} & (set(chosen) | mapped | set(candidates)):
        chosen["loss"] = Guess(chosen["train_loss"].header, "loss", _TRAINING_LOSS)
        messages += _told("loss", chosen["loss"], [])
    return chosen, messages


def _doubt(role: str, chosen: dict[str, Guess], candidates: dict[str, list[Guess]]) -> None:
    """Put an exact name back among the candidates where another column contests its meaning."""
    others = candidates.get(role, [])
    if role == "loss":  # trainers call the training loss so, beside a held-out one
        contested = any(g.points >= _HELDOUT_LOSS for g in others)
    else:
        contested = any(g.convention and not g.part for g in others)
    if role in chosen and contested:
        others.insert(0, chosen.pop(role))


def _candidates(
    source: Imported, chosen: Mapping[str, Guess], mapped: set[str]
) -> dict[str, list[Guess]]:
    """Headers that may play each open role and whose cells are of its kind, the best first."""
    folded = {normalise(c): c for c in COLUMNS if len(c) > 1}
    out: dict[str, list[Guess]] = {}
    nominal: dict[str, list[Guess]] = {}  # 7B is a name as much as a number
    broken: dict[str, list[Guess]] = {}  # to be read, so that its cells are named as faults
    for header in source.cells.columns:
        if header in chosen or header in COLUMNS:
            continue
        found = guesses(header)
        canonical = folded.get(normalise(header))
        if canonical is not None and canonical != "loss" and canonical not in mapped:
            found = [g for g in found if g.role == canonical] or [Guess(header, canonical, 95)]
        for guess in found:
            if guess.role in mapped:
                continue
            kind = COLUMNS[guess.role].kind
            cells = source.cells[header]
            if kind == "text" or looks_numeric(cells):
                out.setdefault(guess.role, []).append(guess)
            elif kind == "count" and looks_suffixed(cells):
                nominal.setdefault(guess.role, []).append(replace(guess, points=guess.points - 30))
            elif guess.points >= _SURE and starts_like_numbers(cells):
                broken.setdefault(guess.role, []).append(guess)
    for others in (nominal, broken):
        for role, found in others.items():
            if not any(g.points >= PICK for g in out.get(role, [])):
                out[role] = out.get(role, []) + found
    return {role: sorted(found, key=lambda g: -g.points) for role, found in out.items()}


def _rivals(role: str, found: Sequence[Guess], cells: pd.DataFrame) -> list[Guess]:
    """The headers that could be meant: one if it leads clearly."""
    best = found[0]
    if best.points < PICK:
        return []
    near = [g for g in found[1:] if g.points > best.points - LEAD and g.points >= PICK]
    if role == "N" and best.points < 100:  # which parameters count is never a matter of names
        near = [g for g in found[1:] if g.points >= _PART_OF_MODEL]
    elif role in ("N", "C") and best.points == 100:
        near = [g for g in found[1:] if g.convention and not g.part]
    if role == "loss" and best.header.lower() == "loss":
        near = [g for g in found[1:] if g.points >= _HELDOUT_LOSS]
    return [best, *(g for g in near if not _same(cells, best, g))]


def _same(cells: pd.DataFrame, one: Guess, other: Guess) -> bool:
    """Whether two columns hold the same cells, so that the choice does not matter."""
    same_way = (one.scale, one.transform) == (other.scale, other.transform)
    return same_way and texts_of(cells[one.header]) == texts_of(cells[other.header])


def _suits(guess: Guess, cells: pd.DataFrame, candidates: Mapping[str, list[Guess]]) -> bool:
    """Whether the cells can be run names or groups, where a name alone is not enough."""
    values = cells[guess.header]
    if guess.role == "run" and guess.points < _SURELY_RUNS:
        return _names_runs(values, candidates.get("steps", []), cells)
    if guess.role == "group":
        filled = values.loc[[bool(t) for t in texts_of(values)]]
        counts = filled.value_counts()
        return len(counts) > 1 and float(counts.median()) >= 3
    return True


def _names_runs(values: pd.Series, steps: Sequence[Guess], cells: pd.DataFrame) -> bool:
    """Whether each row, or each row of a step, has a name of its own."""
    names = texts_of(values)
    if "" in names:
        return False
    if len(set(names)) == len(names):
        return True
    columns = [pd.Series(names), *(cells[g.header] for g in steps[:1])]
    return len(columns) > 1 and not pd.concat(columns, axis=1).duplicated().any()


def _ambiguous(role: str, rivals: Sequence[Guess], source: Imported) -> Fault:
    best, *others = rivals
    first = map_of(role, best)
    mend = f"choose: --map {first}"
    parts = [g for g in others if g.part and g.header.isidentifier()]
    body = [g for g in parts if {"transformer", "body"} & set(split_words(g.header))]
    heads = [g for g in parts if "head" in split_words(g.header)]
    if role == "N" and body and heads:
        mend += f'   or   --map "N={body[0].header}+{heads[0].header}"'
    elif others:
        mend += f"   or   --map {map_of(role, others[0])}"
    names = ", ".join(clip(g.header, 30) for g in rivals[:8])
    more = f" and {len(rivals) - 8} more" if len(rivals) > 8 else ""
    return Fault(
        "SC110", f"{source.name}:1", f"{len(rivals)} columns could be {role}", names + more, mend
    )


def map_text(role: str, header: str) -> str:
    """Return the expression that reads `header` as `role`, with the unit of its name."""
    for guess in guesses(header):
        if guess.role == role:
            return map_of(role, guess).strip("'").partition("=")[2]
    return f'source["{header}"]'


def _told(role: str, guess: Guess, found: Sequence[Guess]) -> list[Message]:
    """Say what was done to a column beyond taking it."""
    messages = []
    if guess.transform == "ln":
        text = f'Loss is the logarithm of the perplexity in "{clip(guess.header, 40)}".'
        messages.append(Message("SC121", text, "info"))
    elif role == "loss" and guess.scale != 1.0:
        text = f'Loss is "{clip(guess.header, 40)}" times ln 2: bits became {guess.unit}.'
        messages.append(Message("SC121", text, "info"))
    elif guess.scale != 1.0 and "MAC" not in guess.unit:
        text = f'{role} is "{clip(guess.header, 40)}" times {guess.scale:g}, the unit of its name.'
        messages.append(Message("SC121", text, "info"))
    if "MAC" in guess.unit:
        text = f'"{clip(guess.header, 40)}" counts multiply-accumulates: C is {guess.scale:g} '
        text += "times it, 2 FLOP each. "
        text += "If only the forward pass is counted, C is a third of the training compute."
        mend = f"--map '{role}=source[\"{guess.header}\"]*{guess.scale * 3:g}'"
        messages.append(Message("SC121", text, mend=mend))
    if role == "loss" and guess.points == _TRAINING_LOSS:
        text = f'"{clip(guess.header, 40)}" is a training loss: {NO_HELDOUT}'
        messages.append(Message("SC133", text, mend="--map loss=… names a held-out loss"))
    others = [g.header for g in found if g.header != guess.header and g.points >= PICK]
    if others and role in ASKED:
        text = f'{role} is "{clip(guess.header, 40)}"; not used: '
        text += ", ".join(clip(h, 30) for h in others[:5])
        text += f" and {len(others) - 5} more." if len(others) > 5 else "."
        messages.append(Message("SC121", text, "info"))
    return messages
