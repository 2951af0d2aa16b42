"""Who is compared: what each is, how their settings differ, their exponents and warnings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scaling.reporting import numbers
from scaling.reporting.context import compute_of, note_of, without_paths
from scaling.reporting.document import (
    Align,
    Block,
    Checklist,
    Item,
    Listing,
    Paragraph,
    Section,
    Table,
)
from scaling.reporting.parties import ComparisonContext, Party, incomparable, settings_of
from scaling.reporting.wording import cost_label

SHORT_HASH = 12
QUANTITIES = ("a", "b", "alpha", "beta", "E")
RIGHT: tuple[Align, ...] = ("right", "right", "right", "right", "right")
MOST_SETTINGS = 60


def parties_sections(context: ComparisonContext) -> list[Section]:
    """Say what is compared."""
    columns = [_described(context, k) for k in range(len(context.parties))]
    rows = tuple(
        (name, *(column[name] for column in columns))
        for name in columns[0]
        if any(column[name] for column in columns)
    )
    align: list[Align] = ["left"] * (len(columns) + 1)
    heads = ("", *(party.name for party in context.parties))
    table = Table("Runs and fits", heads, rows, tuple(align), "The first is the reference.")
    return [Section("What is compared", (table,))]


def _described(context: ComparisonContext, k: int) -> dict[str, str]:
    party = context.parties[k]
    fit = party.fit
    study = party.study.get("study") or {}
    n, d = (_span(fit.fitted.get(name)) for name in ("N", "D"))
    unit = party.unit(fit.response)
    return {
        "study": str(study.get("title") or ""),
        "group": fit.group or "",
        "runs": str(fit.n),
        "N [parameters]": n,
        f"D [{_one_unit(context, 'D')}]": d,
        "C [FLOP]": f"{_span(compute_of(fit))}, {cost_label(fit.cost)}",
        "law": f"{fit.law.name} ({fit.status})",
        "other laws": ", ".join(f.law.name for f in party.part.fits if f is not fit),
        "response": f"{fit.response} [{unit}]" if unit else fit.response,
        "convention": str(fit.table.get("convention") or "not stated"),
        "file": str(without_paths(fit.table.get("file")) or "in memory"),
        "sha256": str(fit.table.get("sha256") or "")[:SHORT_HASH],
    }


def _one_unit(context: ComparisonContext, column: str) -> str:
    units = dict.fromkeys(party.unit(column) for party in context.parties)
    return " or ".join(unit for unit in units if unit) or "tokens or examples"


def _span(values: Any) -> str:
    if values is None or not len(values):
        return numbers.MISSING
    lo, hi = float(values.min()), float(values.max())
    return f"{numbers.quantity(lo)} to {numbers.quantity(hi)} ({numbers.factor(hi / lo)})"


def settings_sections(context: ComparisonContext) -> list[Section]:
    """Say in which settings the studies differ, key by key."""
    found = settings_of(context.parties)
    unknown = [party.name for party in context.parties if party.name not in found.names]
    blocks: list[Block] = []
    if len(found.names) > 1:
        rows = [
            (key, *(_value(v) for v in values))
            for key, values in list(found.differing.items())[:MOST_SETTINGS]
        ]
        hidden = len(found.differing) - len(rows)
        note = f"{found.same} settings are the same."
        if hidden:
            note += f" {hidden} more that differ are left out."
        if rows:
            align: list[Align] = ["left"] * (len(found.names) + 1)
            heads = ("setting", *found.names)
            blocks.append(Table("Settings that differ", heads, tuple(rows), tuple(align), note))
        else:
            blocks.append(Paragraph(f"The studies set everything alike: {note}"))
    if unknown:
        text = f"The study is not known of {', '.join(unknown)}"
        blocks.append(
            Paragraph(f"{text}: a study's folder has it, a table or a lone fit.json has not.")
        )
    return [Section("What differs between the recipes", tuple(blocks))]


def _value(value: Any) -> str:
    if value is None:
        return numbers.MISSING
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_value, value))
    return str(value)


# ------------------------------------------------------------------------- exponents, literature


def exponents_sections(context: ComparisonContext) -> list[Section]:
    """Give the exponents of every fit, and beside them what papers printed."""
    rows = []
    for party in context.parties:
        for fit in party.part.fits:
            if not fit.identified:
                rows.append((party.name, fit.law.name, *[numbers.MISSING] * 5, fit.status))
                continue
            cells = [_estimate(fit.params.get(q), fit.intervals.get(q)) for q in QUANTITIES]
            rows.append((party.name, fit.law.name, *cells, cost_label(fit.cost)))
    align: tuple[Align, ...] = ("left", "left", *RIGHT, "left")
    heads = ("of", "law", *QUANTITIES, "C")
    own = Table(
        "Exponents of each",
        heads,
        tuple(rows),
        align,
        "N* ∝ C^a, D* ∝ C^b; intervals in brackets at the level of each fit. E is in the unit of "
        "its own loss: compare it only where data and tokenizer are the same.",
    )
    return [Section("Exponents beside the literature", (own, *_literature(context)))]


def _estimate(value: Any, ends: Any) -> str:
    if value is None:
        return numbers.MISSING
    if not ends:
        return numbers.quantity(value)
    return f"{numbers.within(value, *ends)} ({numbers.interval(*ends)})"


def _literature(context: ComparisonContext) -> list[Table]:
    printed: dict[tuple[str, str], dict[str, Any]] = {}
    for row in context.comparison.literature:
        item = printed.setdefault((str(row["source"]), str(row["convention"])), {"kind": ""})
        item[str(row["quantity"])] = _printed(row["published"], row["published_interval"])
        item["kind"] = str(row["kind"] or "")
    if not printed:
        return []
    rows = tuple(
        (source, *(item.get(q, numbers.MISSING) for q in QUANTITIES), item["kind"], convention)
        for (source, convention), item in printed.items()
    )
    align: tuple[Align, ...] = ("left", *RIGHT, "left", "left")
    heads = ("source", *QUANTITIES, "intervals", "convention")
    note = "Exponents can be compared only where N and C count alike; losses hardly ever."
    return [Table("Published values", heads, rows, align, note)]


def _printed(value: float, ends: Sequence[float | None]) -> str:
    """Write a value with the digits that its paper has."""
    if ends[0] is None or ends[1] is None:
        return f"{value:.6g}"
    return f"{value:.6g} ({ends[0]:.6g}–{ends[1]:.6g})"


# ------------------------------------------------------------------------------- every warning


def warnings_sections(context: ComparisonContext) -> list[Section]:
    """Give every message of the comparison, and of every table and fit, so that none is lost."""
    comparison = context.comparison
    of_fits = {
        f"{party.name}, {fit.law.name}: {m.text}"
        for party in context.parties
        for fit in party.part.fits
        for m in fit.messages
    }
    void = {
        m.text
        for found in comparison.recipes
        if incomparable(found)
        for m in found.messages
        if "surfaces are compared" in m.text  # they are not
    }
    said = of_fits | void
    own = [note_of(m) for m in comparison.messages if m.text not in said]
    out = [Section("All warnings and notes", tuple(own) or (Paragraph("None."),))]
    return out + [_warnings(party) for party in context.parties]


def _warnings(party: Party) -> Section:
    blocks: list[Block] = []
    for fit in party.part.fits:
        items = tuple(
            Item(check.verdict, check.name, check.found, "", check.code or "")
            for check in sorted(fit.checks, key=lambda c: c.verdict != "fail")
            if check.verdict != "pass"
        )
        if items:
            blocks.append(Checklist(f"Checks that {fit.law.name} does not pass", items))
    found = sorted(party.part.messages, key=lambda m: m.severity == "info")
    blocks += [note_of(m) for m in found]
    heading = f"Warnings and notes: {party.name}"
    return Section(heading, tuple(blocks) or (Paragraph("None."),), level=2)


# ------------------------------------------------------------------------------ to do it again


def provenance_sections(context: ComparisonContext) -> list[Section]:
    """What it takes to make the report again."""
    blocks: list[Block] = []
    if context.command:
        blocks.append(Listing(context.command, "Command"))
    tables: dict[tuple[tuple[str, str], ...], list[str]] = {}
    commands: dict[str, list[str]] = {}
    for party in context.parties:
        tables.setdefault(_provenance(party), []).append(party.name)
        command = without_paths(party.part.provenance.get("command"))
        if command and command != context.command:
            commands.setdefault(str(command), []).append(party.name)
    blocks += [
        Table(f"How {_listed(names)} came about", ("item", "value"), rows, ("left", "left"))
        for rows, names in tables.items()
    ]
    blocks += [
        Listing(command, f"Command that fitted {_listed(names)}")
        for command, names in commands.items()
    ]
    return [Section("Reproducibility", tuple(blocks))]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _provenance(party: Party) -> tuple[tuple[str, str], ...]:
    p, table = party.part.provenance, party.fit.table
    rows = [
        ("table", str(without_paths(table.get("file")) or "in memory")),
        ("sha256 of the table", str(table.get("sha256") or numbers.MISSING)),
        ("rows, used", f"{table.get('rows')}, {table.get('used')}"),
    ]
    rows += [(f"version of {name}", str(v)) for name, v in p.get("versions", {}).items()]
    rows += [(k, str(p[k])) for k in ("seed", "bootstrap", "interval", "minimum") if k in p]
    return tuple(rows)
