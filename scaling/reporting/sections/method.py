"""What was done, in words: fitting, minima, envelope, and the study."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scaling.reporting.context import Context
from scaling.reporting.document import Block, Listing, Paragraph, Section


def method_sections(context: Context) -> list[Section]:
    """Say in words what was done."""
    fits, study = context.fits, context.study
    blocks: list[Block] = []
    for law in {fit.law.name: fit.law for fit in fits.fits}.values():
        blocks.append(
            Paragraph(
                f"The law {law.name} was fitted by variable projection over a grid of exponents, "
                "followed by damped Newton refinement of several starts with analytic derivatives; "
                "every bootstrap replicate was searched and refined afresh."
            )
        )
    methods = "; ".join(
        dict.fromkeys(a.method for a in fits.allocations if a.approach == "isoflop")
    )
    if methods:
        blocks.append(
            Paragraph(
                f"IsoFLOP minima are those of a curve at each budget ({methods}); those that are "
                "not bracketed by the sizes are refused unless it says otherwise. The intervals "
                "repeat the procedure on replicates of every budget."
            )
        )
    if any(a.approach == "envelope" for a in fits.allocations):
        blocks.append(
            Paragraph(
                "The envelope joins the runs that are best at their compute; the power laws go "
                "through those between the smallest and the largest size."
            )
        )
    if study:
        blocks.append(Listing(_settings(study), "The study"))
    return [Section("Method", tuple(blocks))]


def _settings(study: Mapping[str, Any]) -> str:
    """Write what a study sets, as its TOML file would."""
    lines: list[str] = []

    def add(head: str, table: Mapping[str, Any] | None) -> None:
        given = {k: v for k, v in (table or {}).items() if not _empty(v)}
        if given:
            lines.extend([head, *(f"{k} = {_toml(v)}" for k, v in given.items()), ""])

    for name in ("data", "task", "model", "design", "recipe", "tuning", "pretrain", "machine"):
        add(f"[{name}]", study.get(name))
    for variant in study.get("variant") or []:
        add("[[variant]]", variant)
    return "\n".join(lines).strip()


def _empty(value: Any) -> bool:
    """Whether a key says nothing: a table of nothing says as much as none."""
    if isinstance(value, Mapping):
        return all(_empty(v) for v in value.values())
    return value is None or value == []


def _toml(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        own = ", ".join(f"{k} = {_toml(v)}" for k, v in value.items() if not _empty(v))
        return f"{{ {own} }}"
    return json.dumps(value, ensure_ascii=False)
