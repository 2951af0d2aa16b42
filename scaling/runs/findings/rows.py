"""Rows that are no runs of their own: points of curves, copies, summaries; and what marks rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from scaling.errors import Message, clip
from scaling.runs.columns import COLUMNS
from scaling.runs.findings.kinds import BOOLEAN
from scaling.runs.findings.view import REMARK, View, in_expression
from scaling.runs.words import split_words

_FLAGS = frozenset("outlier outliers excluded exclude flag flagged bad invalid ignore".split())
_TRUE = frozenset({"true", "yes", "1", "1.0"})
_LAST = 6
_SUMMARIES = frozenset("mean average avg median total sum std min max".split())


def one_ratio(view: View) -> Iterator[Message]:
    """N and D that move together."""
    if not view.own("N") or "D" not in view.table.frame:
        return
    ratio = view.numbers("D") / view.numbers("N")
    known = ratio[~np.isnan(ratio)]
    if len(known) >= 3 and known.max() <= 1.05 * known.min():
        text = f"D/N is {float(np.median(known)):.4g} in all rows: what N does and what D does "
        text += "cannot be told apart"
        yield view.say("SC125", text, None, "add runs at other ratios of D to N")


def _named(view: View) -> bool:
    """Whether runs have names of their own, and not those that an import gave to rows."""
    if "run" not in view.table.frame:
        return False
    names = view.table.frame["run"].astype(str)
    return not bool(names.str.fullmatch(r"row\d+(\.\d+)?").all())


def curve_like(view: View) -> Iterator[Message]:
    """Rows without a run's name that are dense along D: training curves."""
    if _named(view) or not (view.own("N") and view.own("D")):
        return
    frame = pd.DataFrame(
        {"group": view.labels(), "N": view.numbers("N"), "D": view.numbers("D")}
    ).dropna()
    kinds = ["group", "N"]
    if "seed" in view.table.frame:
        frame["seed"] = view.table.frame["seed"].to_numpy()[frame.index]
        kinds.append("seed")
    frame = frame.sort_values([*kinds, "D"])
    dense = frame.loc[frame.groupby(kinds, dropna=False)["D"].transform("size") >= 20]
    if not len(dense):
        return
    ratios = dense.groupby(kinds, dropna=False)["D"].pct_change().dropna()
    if len(ratios) and 0 < float(ratios.median()) < 0.2:
        chosen = np.zeros(len(view.table), dtype=bool)
        chosen[dense.index] = True
        text = f"{len(dense)} rows lie close together along D at one N, as points of training "
        text += "curves do; they are no runs by themselves"
        mend = "add a column run with an id for each run; then --final-only keeps the last of each"
        yield view.say("SC119", text, chosen, mend)


def copies(view: View) -> Iterator[Message]:
    """Rows that repeat another in everything but their name."""
    frame = view.table.frame
    if "loss" in frame and not frame["loss"].duplicated().any():
        return
    compared = [c for c in frame if c not in ("run", "source", "source file", REMARK)]
    chosen = view.table.used & frame.duplicated(subset=compared).to_numpy()
    if chosen.any():
        count = int(chosen.sum())
        said = "1 row is a copy of another and counts" if count == 1 else (
            f"{count} rows are copies of another row and count"
        )  # fmt: skip
        mend = "remove them unless the runs were repeated"
        yield view.say("SC107", f"{said} as often as written", chosen, mend)


def summaries(view: View) -> Iterator[Message]:
    """Rows that sum up others, as spreadsheets add them."""
    for name in map(str, view.table.frame):
        values = view.table.frame[name]
        if values.dtype != object:
            continue
        end = values.iloc[-_LAST:]  # where spreadsheets put them
        said = [str(cell).strip().lower() in _SUMMARIES for cell in end]
        chosen = np.zeros(len(values), dtype=bool)
        chosen[-len(said) :] = said
        chosen &= view.table.used
        if 0 < chosen.sum() < len(said) and view.table.used.sum() > 5:
            word = str(values[chosen].iloc[0])
            text = f'A row called "{clip(word, 20)}" is read as a run: does it sum up the others?'
            mend = f"--where '{in_expression(name)} != \"{clip(word, 20)}\"' leaves it out"
            yield view.say("SC137", text, chosen, mend)
            return


def marked(view: View) -> Iterator[Message]:
    """Rows that the table itself marks as not to be trusted."""
    frame = view.table.frame
    for name in map(str, frame):
        if name in COLUMNS or not set(split_words(name)) & _FLAGS:
            continue
        cells = [str(cell).strip().lower() for cell in frame[name]]
        values = set(cells) - {"none", "nan", ""}
        if not values or not values <= BOOLEAN:
            continue
        chosen = view.table.used & np.array([cell in _TRUE for cell in cells])
        if chosen.any():
            words = frame[name].dtype == object
            unmarked = (c for c in frame[name] if str(c).strip().lower() in BOOLEAN - _TRUE)
            plain = next(unmarked, "False" if words else 0.0)
            cell = f'"{clip(str(plain), 20)}"' if words else f"{float(plain):g}"
            count = int(chosen.sum())
            said = "1 row is marked" if count == 1 else f"{count} rows are marked"
            used = "is" if count == 1 else "are"
            text = f'{said} by column "{clip(name, 30)}" and {used} used'
            mend = f"--where '{in_expression(name)} == {cell}' leaves them out"
            yield view.say("SC129", text, chosen, mend, "info")
