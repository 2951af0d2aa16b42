"""What a notebook shows of a result: a verdict of a few lines and one small table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape as escaped
from typing import Any

from scaling.errors import Message
from scaling.fitting.comparison import Comparison
from scaling.fitting.optima import Allocation
from scaling.fitting.result import Fit, Fits
from scaling.laws.cost import rounded
from scaling.reporting import numbers
from scaling.reporting.document import Verdict, printable

MOST_ROWS, MOST_NOTES, MOST_VERDICTS = 12, 5, 3
CELL = "text-align:right;padding:0 .8em"


def html_of(found: Fit | Fits | Allocation | Comparison) -> str:
    """Return HTML of less than ten thousand characters; every text is escaped."""
    if isinstance(found, Fit):
        return _fit(found)
    if isinstance(found, Fits):
        others = [a for a in found.allocations if a.approach != "surface"]
        shown = "".join(_fit(fit) for fit in found.fits[:3]) + _more(len(found.fits) - 3, "fits")
        shown += "".join(_allocation(a) for a in others[:3])
        return shown + _more(len(others) - 3, "allocations")
    if isinstance(found, Allocation):
        return _allocation(found)
    return _comparison(found)


def html_of_verdicts(verdicts: Sequence[Verdict]) -> str:
    """Return the answers of a report: headline, numbers with intervals, and what limits them."""
    out = []
    for v in verdicts[:MOST_VERDICTS]:
        subject = f" ({v.subject})" if v.subject else ""
        rows = [(fact.name, fact.value, fact.sure) for fact in v.facts]
        items = "".join(f"<li>{escape(n.text)} [{n.code}]</li>" for n in v.reasons[:MOST_NOTES])
        more = _more(len(v.reasons) - MOST_NOTES, "reasons to be careful")
        notes = (f"<ul>{items}</ul>" if items else "") + more
        out.append(_heading(f"{v.level}{subject}", v.headline) + _table(("", "", ""), rows) + notes)
    return "".join(out) + _more(len(verdicts) - MOST_VERDICTS, "answers")


def escape(text: str) -> str:
    """Return HTML that shows a text as it is, without characters that hide others."""
    return escaped(printable(text))


def _fit(fit: Fit) -> str:
    group = f", group {fit.group}" if fit.group is not None else ""
    head = f"{fit.law.name}{group}: {fit.n} rows, {fit.status}"
    if not fit.identified:
        text = "No headline numbers: the runs do not identify this law."
        return _heading(head, text) + _notes(fit.messages)
    if fit.members:
        return _weighted(fit, head)
    rows = []
    for name, value in fit.params.items():
        se = fit.interval.se.get(name) if fit.interval else None
        ends = fit.intervals.get(name)
        shown = numbers.estimate(value, se) if se else numbers.quantity(value, 4)
        rows.append((name, shown, numbers.interval(*ends) if ends else numbers.MISSING))
    kind = "no intervals"
    if fit.interval is not None:
        kind = f"{fit.interval.level:.0%} intervals: {fit.interval.kind}"
    text = f"{fit.law.formula if len(fit.law.formula) < 80 else fit.law.title}; {kind}"
    if "a" in fit.params and "a" not in fit.law.names:
        text += f"; a under C = {rounded(fit.cost['formula'])}"
    return _heading(head, text) + _table(("", "estimate", "interval"), rows) + _notes(fit.messages)


def _weighted(fit: Fit, head: str) -> str:
    """A fit of several weighted laws: its sentences, the laws, and what each future forecasts."""
    said = fit.certificate["auto"]
    told = " ".join(m.text for m in fit.messages)
    text = " ".join(sentence for sentence in said["text"] if sentence not in told)
    if fit.interval is not None:
        text += f" {fit.interval.level:.0%} intervals: {fit.interval.kind}."
    if "a" in fit.params:
        ends = fit.intervals.get("a")
        shown = numbers.quantity(fit.params["a"]) + (
            f" ({numbers.interval(*ends)})" if ends else ""
        )
        text += f" Near the largest run N* grows as C^{shown} under C = "
        text += f"{rounded(fit.cost['formula'])}."
    laws = [(m["law"], f"{m['weight']:.1%}") for m in said["members"]]
    futures = [
        (f["future"], f"{f['weight']:.1%}", f"{f['doubt']:.1%}", numbers.quantity(f["forecast"], 4))
        for f in said["futures"]
    ]
    at = f"{fit.response} at {said['futures'][0]['factor']:g}×"
    tables = _table(("law", "weight"), laws)
    tables += _table(("future", "weight", "in the intervals", at), futures)
    return _heading(head, text) + tables + _notes(fit.messages)


def _allocation(found: Allocation) -> str:
    ends = (found.interval or {}).get("a")
    head = f"{found.approach}: no exponent"
    if found.a is not None:
        head = f"{found.approach}: a = {numbers.quantity(found.a)}"
        head += f" ({numbers.interval(*ends)})" if ends else ""
    rows = [
        (
            numbers.quantity(m.budget),
            numbers.quantity(m.N),
            numbers.quantity(m.D),
            numbers.quantity(m.loss, 4),
            m.why or "",
        )
        for m in found.minima
    ]
    how = f"{found.method}; C: {rounded(found.cost['formula'])}"
    if found.interval:
        how += f"; {found.interval['level']:.0%}, {found.interval['kind']}"
    columns = ("C", "N*", "D*", "loss", "")
    return _heading(head, how) + _table(columns, rows) + _notes(found.messages)


def _comparison(found: Comparison) -> str:
    frame = found.to_frame().dropna(axis="columns", how="all")
    rows = [tuple(_cell(value) for value in row) for row in frame.itertuples(index=False)]
    head, text = "Fits beside papers", ""
    if found.rows:
        head = "Recipes"
        text = "reference first; multiplier: compute that the reference needs, over C"
    elif found.laws:
        head, text = "Laws", "by mean error beyond rolling origins"
    elif found.recipes:
        head = "Not compared"
    return _heading(head, text) + _table(tuple(map(str, frame)), rows) + _notes(found.messages)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return numbers.quantity(value, 4)
    return numbers.MISSING if value is None else str(value)


def _heading(head: str, text: str) -> str:
    return f"<p><b>{escape(head)}</b><br>{escape(text)}</p>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    top = "".join(f'<th scope="col" style="{CELL}">{escape(c)}</th>' for c in columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{CELL}">{escape(cell)}</td>' for cell in row) + "</tr>"
        for row in rows[:MOST_ROWS]
    )
    table = f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return table + _more(len(rows) - MOST_ROWS, "rows")


def _notes(messages: Sequence[Message]) -> str:
    grave = [m for m in messages if m.severity != "info"]
    items = "".join(f"<li>{escape(m.text)} [{m.code}]</li>" for m in grave[:MOST_NOTES])
    shown = f"<ul>{items}</ul>" if items else ""
    return shown + _more(len(grave) - MOST_NOTES, "warnings")


def _more(count: int, what: str) -> str:
    return f"<p>… and {count} more {what}</p>" if count > 0 else ""
