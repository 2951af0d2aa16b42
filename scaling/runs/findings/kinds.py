"""Rows that should not be fitted, or compared, as if they were of one kind."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import Message, clip
from scaling.runs.columns import COLUMNS
from scaling.runs.findings.view import REMARK, View, distinct, few, in_expression, quoted
from scaling.runs.words import split_words

_CONVENTIONS = frozenset("convention conventions counting".split())
SCALES = frozenset("tokenizer tokeniser vocab vocabulary unit".split())
EVALUATIONS = frozenset("val validation eval evaluation downstream benchmark metric".split())
_KINDS = frozenset(
    "dataset data corpus mixture mix recipe experiment family optimizer optimiser task domain arch "
    "architecture schedule hparams config configuration setup source upstream condition "
    "model decay warmup variant method group id".split()
)
BOOLEAN = frozenset({"true", "false", "yes", "no", "0", "1", "0.0", "1.0"})


def _texts(view: View) -> Iterator[tuple[str, NDArray[np.object_]]]:
    """Columns of text that are no quantity: name and the cells of the used rows."""
    for name in map(str, view.table.frame):
        if name in COLUMNS and name not in ("group", "convention"):
            continue
        values = view.table.frame[name]
        if values.dtype == object and name != REMARK:
            yield name, values.to_numpy()[view.table.used]


def _within_groups(view: View, cells: object) -> bool:
    """Whether a column differs between rows that are fitted together."""
    pairs = pd.DataFrame({"group": view.labels()[view.table.used], "cell": pd.Series(cells)})
    return bool((pairs.groupby("group")["cell"].nunique() > 1).any())


def conventions(view: View) -> Iterator[Message]:
    """N, or C, counted in several ways within one table."""
    for name, cells in _texts(view):
        words = set(split_words(name))
        counting = words & _CONVENTIONS or ({"param", "params"} & words and "count" in words)
        values = distinct(cells) if counting else []
        if len(values) < 2:
            continue
        text = f'N is counted in {len(values)} ways, by column "{clip(name, 30)}" ({few(values)})'
        if _within_groups(view, cells):
            text += "; mixing them moves exponents"
            yield view.say("SC123", text, None, f"--group {quoted(name)}, or --where")
        else:
            text += ": the laws of the groups are in different N"
            yield view.say("SC123", text, None, "", "info")
        break
    if all(view.own(column) for column in ("N", "D", "C")):
        ratio = view.numbers("C") / (6.0 * view.numbers("N") * view.numbers("D"))
        exact, off = np.abs(ratio - 1) < 1e-3, np.abs(ratio - 1) > 0.1
        total = int((~np.isnan(ratio)).sum())
        mixed = exact.sum() >= 0.2 * total and off.sum() >= 0.2 * total
        mixed = mixed or (exact.sum() >= 0.5 * total and off.any())
        if total >= 5 and mixed:
            text = f"C is 6 N D in {int(exact.sum())} rows and counted otherwise in "
            text += f"{int(off.sum())}: two conventions in one table"
            yield view.say("SC123", text, off, "recount, or fit them apart by --where")


def scales_of_loss(view: View) -> Iterator[Message]:
    """Losses per token of different tokenizers, or on different evaluation sets."""
    for name in map(str, view.table.frame):
        words = set(split_words(name))
        if (name in COLUMNS and name != "loss_unit") or not words & (SCALES | EVALUATIONS):
            continue
        number = view.table.frame[name].dtype != object
        if number and not words & SCALES:
            continue
        cells = view.table.frame[name].to_numpy(dtype=object)[view.table.used]
        values = distinct(cells)
        if not 1 < len(values) <= 50:
            continue
        what = "units" if name == "loss_unit" else "evaluations"
        what = "tokenizers" if words & SCALES and name != "loss_unit" else what
        text = f'Losses of {len(values)} {what}, by column "{clip(name, 30)}" ({few(values)}), '
        if not _within_groups(view, cells):
            text += "in different groups: their losses are not on one scale"
            yield view.say("SC124", text, None, "", "info")
            continue
        cell = values[0] if number else f'"{clip(values[0], 24)}"'
        mend = f"--where '{in_expression(name)} == {cell}', or --group {quoted(name)}"
        yield view.say("SC124", text + "stand together: they are not on one scale", None, mend)


def without_group(view: View) -> Iterator[Message]:
    """Columns that tell kinds of runs apart, where no group does."""
    if view.group is not None or "group" in view.table.frame:
        return
    found: dict[str, int] = {}
    for name, cells in _texts(view):
        values = distinct(cells)
        lower = {value.lower() for value in values}
        if not 1 < len(values) <= min(50, len(cells) // 3) or lower <= BOOLEAN:
            continue
        if not _names_a_size(view, name):
            found[name] = len(values)
    if found:
        shown = ", ".join(f"{clip(name, 30)} ({count} values)" for name, count in found.items())
        text = f"Runs of several kinds: {clip(shown, 160)}; without a group all are fitted as one"
        surely = any(set(split_words(name)) & _KINDS for name in found)
        mend = _grouping(view.table.fit_frame[list(found)])
        yield view.say("SC136", text, None, mend, "warning" if surely else "info")


def _names_a_size(view: View, name: str) -> bool:
    """Whether a column only gives a name to each N."""
    if "N" not in view.table.frame:
        return False
    pairs = view.table.fit_frame[[name, "N"]].drop_duplicates()
    return not pairs[name].duplicated().any() and not pairs["N"].duplicated().any()


def _grouping(kinds: pd.DataFrame) -> str:
    """Suggest the one column that tells all kinds apart, or the columns that do together."""
    together = len(kinds.drop_duplicates())
    if together > len(kinds) // 5:
        return ""  # too few runs of a kind to fit
    for name in kinds:
        if kinds[name].nunique(dropna=False) == together:
            return f"--group {quoted(str(name))}"
    names = sorted(map(str, kinds), key=lambda n: -kinds[n].nunique(dropna=False))
    chosen: list[str] = []
    for name in names:
        chosen.append(name)
        if len(kinds[chosen].drop_duplicates()) == together:
            break
    return "--map 'group=" + ' + "/" + '.join(in_expression(name) for name in chosen) + "'"
