"""The section of a fit of several weighted laws: the laws, the futures, and what decides."""

from __future__ import annotations

from scaling.fitting.auto.explain import MEANING
from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.context import Context
from scaling.reporting.document import Block, Note, Paragraph, Table
from scaling.reporting.members import along_of, members_of, told_of
from scaling.reporting.sections.facts import head

FEW = 0.0005  # weight below which a row for what is left over says nothing


def member_blocks(context: Context, fit: Fit) -> list[Block]:
    """Return the tables of laws and futures, and the sentences of the result."""
    said = told_of(fit)
    heavy = [m for m in members_of(fit) if m.weight >= FEW]
    names = ", ".join(f"{m.name} {_weight(m.weight)}" for m in heavy)
    kept = (
        f"the weighted mean of those of {names}" if len(heavy) > 1 else f"that of {heavy[0].name}"
    )
    text = (
        f"{fit.law.title}: the estimate of ln {fit.response} is {kept}. Each "
        "law was fitted to all runs, and to the smaller ones alone; weights follow from how well "
        "it forecast the larger ones, and from how probable it makes all of them."
    )
    warned = [m for m in fit.messages if m.code == "SC449"]
    return [
        Paragraph(text),
        *(Note(m.code, m.severity, m.text) for m in warned),
        Paragraph(" ".join(str(sentence) for sentence in said["text"])),
        _laws(fit),
        _futures(context, fit),
    ]


def _laws(fit: Fit) -> Table:
    rows = tuple(
        (
            m.name,
            m.formula,
            m.future or numbers.MISSING,
            _weight(m.weight),
            _weight(m.share),
            ", ".join(f"{name} {numbers.quantity(v, 4)}" for name, v in m.params.items()),
        )
        for m in members_of(fit)
    )
    return Table(
        "Laws and their weights",
        ("law", "formula", "future", "in the estimate", "in the intervals", "parameters"),
        rows,
        ("left", "left", "left", "right", "right", "left"),
        note="Parameters are the most probable ones, of the law's heaviest form where it takes "
        "part with and without a departure from its formula; at full precision, with their "
        "covariance, they stand in fit.json. Weights in the intervals are less sure of "
        "themselves than those in the estimate.",
    )


def _futures(context: Context, fit: Fit) -> Table:
    futures = told_of(fit)["futures"]
    rows = [
        (
            f["future"],
            MEANING.get(f["future"], numbers.MISSING),
            _weight(f["weight"]),
            _weight(f["doubt"]),
            numbers.quantity(f["forecast"], 4),
        )
        for f in futures
    ]
    weight, doubt = (max(0.0, 1.0 - sum(f[k] for f in futures)) for k in ("weight", "doubt"))
    if max(weight, doubt) > FEW:
        rows.append(("others", "", _weight(weight), _weight(doubt), numbers.MISSING))
    far = f"{futures[0]['factor']:g} times the largest {along_of(fit)}"
    note = f"Forecast at {far}"
    if along_of(fit) == "compute":
        note += ", with N and D of the best large run grown alike: not the compute-optimal ones"
    note += ". Futures count the laws that are too light to be listed above."
    return Table(
        "Futures that are open",
        ("future", "beyond the runs it", "in the estimate", "in the intervals", head(context, fit)),
        tuple(rows),
        ("left", "left", "right", "right", "right"),
        note=note,
    )


def _weight(value: float) -> str:
    return f"{100.0 * value:.1f}%" if value >= FEW else "<0.1%"
