"""The section on effective data: the answer by group, its cells, its figure and its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaling.errors import Message
from scaling.fitting.effective_result import Effective, Treatment
from scaling.fitting.effective_text import between
from scaling.reporting import numbers
from scaling.reporting.context import Context, Treated, note_of
from scaling.reporting.document import Align, Block, Level, Paragraph, Section, Table, Verdict
from scaling.reporting.figures.effective import EFFECTIVE
from scaling.reporting.sections.figures import figure_of
from scaling.reporting.wording import titled

HEADING = "Effective data"


def effective_sections(context: Context) -> list[Section]:
    """Return a section for each comparison with a reference."""
    out = []
    found = context.fits.effective
    for k, item in enumerate(found):
        subject = f"{item.form}, reference {item.reference}" if len(found) > 1 else ""
        blocks: list[Block] = []
        for treated in context.treated:
            if treated.place == k:
                blocks += _treatment(context, treated)
        blocks.append(_about(item))
        blocks += [note_of(m) for m in item.messages]
        out.append(Section(titled(HEADING, subject), tuple(blocks)))
    return out


def effective_verdicts(found: Sequence[Effective]) -> list[Verdict]:
    """Return a verdict for each treated group."""
    out = []
    for item in found:
        for t in item.treatments:
            notes = [note_of(m) for m in (*item.messages, *t.messages) if m.severity != "info"]
            out.append(
                Verdict(
                    _level(t, [*item.messages, *t.messages]),
                    f"effective data, {t.group} against {item.reference}",
                    t.sentence,
                    f"{item.level:.0%} intervals: {item.kind}." if item.kind else "No intervals.",
                    tuple(notes),
                    cautions=tuple(effective_cautions(t)),
                )
            )
    return out


def effective_cautions(item: Treatment) -> list[str]:
    """Return what a reader must know before trusting what a treatment is worth."""
    if item.verdict == "not identified" or not item.cells:
        return []
    ratios = [float(c["ratio"]) for c in item.cells if c["ratio"] is not None]
    count = len(item.cells)
    text = f"What {item.group} is worth rests on {count} cell{'s' if count > 1 else ''} of N and D"
    if len(ratios) > 1:
        ends = (numbers.quantity(min(ratios), 2), numbers.quantity(max(ratios), 2))
        text += f", whose own D_E/D_F go from {ends[0]} to {ends[1]}"
    found = [f"{text}."]
    if (far := sum(c["reach"] != "inside" for c in item.cells)) > 0:
        found.append(
            f"{far} of {count} cells lie beyond the reference's own data at their size, where its "
            "curve is extrapolated."
        )
    for name, way, low, high in _trends(item):
        found.append(
            f"D_E/D_F {way} with {name} ({low} to {high}): one number for all is a mean over the "
            f"{name} trained here, and would be another over others."
        )
    return found


def _trends(item: Treatment) -> list[tuple[str, str, str, str]]:
    """Return the variables that D_E/D_F goes with, which way, and the interval that says so.

    Slopes of ln m are read as they stand. Of transferred data, D_E/D_F is 1 + k D_F^(alpha - 1)
    N^beta: alpha less 1, and beta, say which way it goes.
    """
    slopes = item.multiplier.get("slopes", {})
    known = [
        (f"{name}", f"slope of ln m in ln {name}", slope["interval"], 0.0)
        for name, slope in slopes.items()
    ]
    ends = item.transfer.get("intervals") or {}
    for name, symbol, centre in (("D", "alpha", 1.0), ("N", "beta", 0.0)):
        if item.transfer.get("fitted") and item.transfer.get(symbol) is not None:
            known.append((name, symbol, ends.get(symbol), centre))
    out = []
    for name, symbol, interval, centre in known:
        if interval is None or interval[0] is None or interval[1] is None:
            continue
        low, high = interval
        if low > centre or high < centre:
            way = "rises" if low > centre else "falls"
            shown = f"{symbol} {numbers.quantity(low, 2)}", numbers.quantity(high, 2)
            out.append((name, way, *shown))
    return out


def _level(item: Treatment, messages: Sequence[Message]) -> Level:
    if any(m.severity == "error" for m in messages):
        return "not identified"
    sure = item.verdict in ("helps", "hurts") and not _trends(item)
    return "supported" if sure and all(m.severity == "info" for m in messages) else "weak"


def _about(found: Effective) -> Paragraph:
    form = {
        "multiplier": "The treated group is taken to have the reference's loss at m times its "
        "data: L(N, D) = L_ref(N, m D), both groups being fitted together.",
        "transfer": "D_E is the data at which the reference has the loss of the treated run at "
        "D_F, and D_T = D_E − D_F = k D_F^alpha N^beta is what was transferred (Hernandez et al. "
        "2021); its law is fitted to the losses of both groups together.",
    }[found.form]
    values = ", ".join(
        f"{name} = {numbers.quantity(value, 4)} ({between(found.curve['intervals'].get(name))})"
        for name, value in found.curve["params"].items()
    )
    text = (
        f"{form} The reference is {found.reference}, compared by {found.response}. Its curve is "
        f"{_article(found.curve['title'])}, {found.curve['formula']}, of {found.curve['n']} runs: "
        f"{values}. "
    )
    if found.kind:
        text += f"Intervals: {found.level:.0%}, {found.kind}; both curves are fitted afresh."
    return Paragraph(text.strip())


def _article(title: str) -> str:
    return f"an {title}" if title[0] in "aeiou" else f"a {title}"


def _treatment(context: Context, treated: Treated) -> list[Block]:
    item = treated.item
    blocks: list[Block] = [Paragraph(item.sentence)]
    if rows := _numbers(item):
        blocks.append(
            Table(
                f"What describes {item.group}",
                ("quantity", "estimate", "interval"),
                rows,
                ("left", "right", "left"),
                note=_note(item),
            )
        )
    blocks += [_cells(item), *figure_of(EFFECTIVE, context, treated)]
    if item.curves:
        blocks.append(_alone(item))
    blocks += [note_of(m) for m in item.messages]
    return blocks


def _numbers(item: Treatment) -> tuple[tuple[str, str, str], ...]:
    """Headline numbers with intervals."""
    out = []
    if item.multiplier:
        out.append(_row("m", item.multiplier["m"], item.multiplier["interval"]))
        for name, slope in item.multiplier["slopes"].items():
            out.append(_row(f"slope of ln m in ln {name}", slope["slope"], slope["interval"]))
    mean = "geometric mean of D_E/D_F"
    if item.mean["bound"]:
        mean += f", {item.mean['bound']}"
    out.append(_row(mean, item.mean["ratio"], item.mean["interval"]))
    for name in ("k", "alpha", "beta"):
        if item.transfer.get(name) is not None:
            out.append(_row(name, item.transfer[name], item.transfer["intervals"].get(name)))
    return tuple(out)


def _row(name: str, value: Any, ends: Sequence[Any] | None) -> tuple[str, str, str]:
    low, high = ends or (None, None)
    return (name, numbers.within(value, low, high), _interval(ends))


def _interval(ends: Sequence[float | None] | None) -> str:
    """Write an interval whose ends may be unbounded."""
    if ends is None:
        return numbers.MISSING
    low, high = ends
    if low is not None and high is not None:
        return numbers.interval(low, high)
    if low is None and high is None:
        return "unbounded"
    if high is None:
        return f"above {numbers.quantity(low)}"
    return f"below {numbers.quantity(high)}"


def _note(item: Treatment) -> str:
    p = item.multiplier.get("p")
    if p is None:
        return ""
    said = "suffices" if item.multiplier["constant"] else "does not suffice"
    return (
        f"One multiplier for all amounts of data and sizes {said}: p = {p:.2g} (Wald, F), beside "
        "the intervals of the slopes."
    )


def _cells(item: Treatment) -> Table:
    rows = tuple(_cell(cell) for cell in item.cells)
    columns = ("N", "D_F", "runs", "D_E", "D_E/D_F", "interval", "D_T", "interval", "reach")
    align: tuple[Align, ...] = ("right",) * 4 + ("right", "left") * 2 + ("left",)
    note = "Reach: where D_E lies against the reference's own data at that size."
    if any(cell["reach"] != "inside" for cell in item.cells):
        note += " Above and below are extrapolated; unbounded: below the reference's floor."
    return Table(f"Effective data of {item.group} by cell", columns, rows, align, note, long=True)


def _cell(cell: Mapping[str, Any]) -> tuple[str, ...]:
    def shown(name: str) -> str:
        if cell[name] is None:
            return "no bound"
        low, high = cell.get(f"{name}_interval") or (None, None)
        return numbers.within(cell[name], low, high)

    return (
        numbers.MISSING if cell["N"] is None else numbers.quantity(cell["N"]),
        numbers.quantity(cell["D_F"]),
        str(cell["runs"]),
        shown("D_E"),
        shown("ratio"),
        _interval(cell["ratio_interval"]),
        shown("D_T"),
        _interval(cell["D_T_interval"]),
        cell["reach"],
    )


def _alone(item: Treatment) -> Table:
    rows = []
    for row in item.curves:
        told = ", ".join(f"{k} = {numbers.quantity(v)}" for k, v in row["params"].items())
        error = None if row["rmse_log"] is None else f"{100 * row['rmse_log']:.2f}%"
        rows.append(
            (
                numbers.MISSING if row["N"] is None else numbers.quantity(row["N"]),
                row["law"],
                str(row["n"]),
                row["status"],
                told or row["why"],
                error or numbers.MISSING,
            )
        )
    return Table(
        f"Laws of {item.group} by itself",
        ("N", "law", "runs", "status", "parameters", "RMSE"),
        tuple(rows),
        ("right", "left", "right", "left", "left", "right"),
        note="rectified: E + B/(D_l + D^beta), the law of fine-tuning (Lin et al. 2024); power-D: "
        "E + B/D^beta. Numbers that are not identified are no more than a description.",
    )
