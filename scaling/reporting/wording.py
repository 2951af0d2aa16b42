"""How things are named: fits, groups, runs, exponents and costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaling.fitting.result import Fit
from scaling.laws.cost import rounded
from scaling.reporting import numbers
from scaling.runs.files import sha256_text


def key_of(subject: Fit | str | None) -> str:
    """Return a short key of a fit or a group, that any name can give, for ids in a document."""
    name = f"{subject.group}|{subject.law.name}" if isinstance(subject, Fit) else subject or ""
    return sha256_text(name)[:6]


def anchor_of(group: str | None, row: Any) -> str:
    """Return the id of a run's row in the run table of its group."""
    return f"run-{key_of(group)}-{row}"


def titled(heading: str, subject: str) -> str:
    """Return a heading that names its subject."""
    return f"{heading}: {subject}" if subject else heading


def exponent_label(name: str, value: Any, interval: Any, cost: Mapping[str, str]) -> str:
    """Return ``a = 0.51 (0.49–0.53), C = 6ND``: never an exponent without its convention."""
    if value is None:
        return f"no {name}"
    if interval:
        shown = numbers.within(value, *interval)
        return f"{name} = {shown} ({numbers.interval(*interval)}), {cost_label(cost)}"
    return f"{name} = {numbers.quantity(value)}, {cost_label(cost)}"


def cost_label(cost: Mapping[str, str]) -> str:
    """Return what C means, short enough for a legend."""
    if cost.get("name") == "6nd":
        return "C = 6ND"
    name, formula = str(cost.get("name", "")), str(cost.get("formula", ""))
    if name == "table":
        return "C of the table" if formula.startswith("C as") else f"C = {rounded(formula)}"
    return f"C = {rounded(formula)}" if formula else f"C by {name or 'an unstated cost'}"
