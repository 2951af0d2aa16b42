"""The section on the learning rate, where a study tuned it: the law, its optima, its check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaling.errors import Message
from scaling.reporting import numbers
from scaling.reporting.context import Context, note_of
from scaling.reporting.document import Block, Paragraph, Section, Table

HEADING = "Learning rate"
CONSTANT = 1.25  # ratio of D/N within which size and length count as going together


def tuning_sections(context: Context) -> list[Section]:
    """Return the section, or none where no rate was tuned.

    A settled tuning stage stands in the provenance in the form ``scaling/tuning@1``.
    """
    tuned: Mapping[str, Any] | None = context.fits.provenance.get("tuned")
    if not tuned:
        return []
    low, high = tuned["p_interval"]
    text = (
        f"The best rate follows lr = k N^p with k = {numbers.quantity(tuned['k'], 3)} and "
        f"p = {tuned['p']:.2f} ({low:.2f} to {high:.2f}, {tuned['level']:.0%}: weighted least "
        f"squares in logs of the {len(tuned['optima'])} optima below), under the recipe "
        f"{tuned['recipe']}."
    )
    text += _mixed([float(o["D"]) / float(o["N"]) for o in tuned["optima"]])
    optima = Table(
        "Best rate by size",
        ("N", "D", "best rate", "SE of ln rate"),
        tuple(
            (
                numbers.quantity(o["N"], 3),
                numbers.quantity(o["D"], 3),
                numbers.quantity(o["lr"], 3),
                numbers.quantity(o["se"], 2),
            )
            for o in tuned["optima"]
        ),
        ("right",) * 4,
    )
    blocks: list[Block] = [Paragraph(text), optima]
    check = tuned.get("check")
    if check:
        blocks.append(Paragraph(_checked(check)))
    blocks += [note_of(Message.from_dict(dict(m))) for m in tuned.get("messages", [])]
    return [Section(HEADING, tuple(blocks))]


def _mixed(ratios: Sequence[float]) -> str:
    """Say that size and length went together, where they did."""
    if len(ratios) < 2 or max(ratios) > CONSTANT * min(ratios):
        return ""
    ends = [numbers.quantity(r, 2) for r in (min(ratios), max(ratios))]
    times = ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
    return f" D = {times} N in every optimum, so p mixes size and length."


def _checked(check: Mapping[str, Any]) -> str:
    """Say how the law did at the size that it had not seen."""
    predicted = numbers.quantity(check["predicted"], 3)
    span = f"{numbers.quantity(check['lo'], 2)} to {numbers.quantity(check['hi'], 2)}"
    text = f"At N = {numbers.quantity(check['N'], 3)}, which it had not seen, it gives {predicted} "
    text += f"({span})"
    if check["found"] is None:
        return f"{text}; the best of the rates tried there is the last one."
    said = "agrees" if check["agrees"] else "does not agree"
    best = numbers.quantity(check["found"], 3)
    if check.get("se") is not None:
        best += f" (SE of ln rate {numbers.quantity(check['se'], 2)})"
    return f"{text}, and {best} was best: the law {said}."
