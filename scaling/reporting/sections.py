"""The sections of a report: data, fit, allocation, evidence, method, provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scaling.errors import Message
from scaling.fitting.result import Fit, Fits
from scaling.reporting import figures_data as drawn
from scaling.reporting import numbers
from scaling.reporting.context import Context, level_of, note_of, titled, without_paths
from scaling.reporting.document import (
    Align,
    Block,
    Figure,
    Listing,
    Note,
    Paragraph,
    Section,
    Table,
)
from scaling.reporting.mathematics import of_law
from scaling.runs.files import sha256_text

MAX_ROWS = 1000


def figure_of(key: str, title: str, caption: str, alt: str, good: str, data: Any) -> Figure:
    """Return the figure that shows `data`, drawn when a renderer asks for it."""
    from scaling.reporting.figures import renderer

    return Figure(key, title, caption, alt, good, data.columns(), _tips(data), renderer(data))


def _tips(data: Any) -> tuple[str, ...]:
    """Tooltips in the order of drawing; the isoFLOP figure keeps its own by budget."""
    if isinstance(data, drawn.IsoflopData):
        return tuple(tip for item in data.budgets for tip in item.tips)
    return tuple(getattr(data, "tips", ()))


def drawn_key(group: str | None) -> str:
    """Return a key for SVG ids that any group name can give."""
    return sha256_text(group or "")[:6]


# ------------------------------------------------------------------------------------------ data


def _times(scale: float) -> str:
    """What a column was multiplied by, for its unit."""
    return "" if scale == 1.0 else f" × {scale:.6g}"


def data_section(context: Context) -> Section:
    """Say what the runs are, what was left out and why, and list them all."""
    fits = context.fits
    convention = fits.table.get("convention") or "not stated"
    blocks: list[Block] = [Paragraph(f"Convention: {convention}.")]
    columns = fits.table.get("columns", {})
    rows = [
        (str(k), str(v["source"]) + _times(v.get("scale", 1.0)), str(v["unit"]))
        for k, v in columns.items()
        if k in ("N", "D", "C", "loss", "budget", "group", "D_unique")
    ]
    if rows:
        blocks.append(
            Table(
                "How the columns were read",
                ("quantity", "source", "unit"),
                tuple(rows),
                ("left", "left", "left"),
            )
        )
    for fit in _one_per_group(fits):
        blocks.append(_ranges(fit))
    dropped = fits.table.get("dropped", [])
    if dropped:
        cells = tuple((str(d["row"]), str(d["why"]), str(d["code"])) for d in dropped[:MAX_ROWS])
        blocks.append(
            Table(
                f"Rows left out: {len(dropped)}",
                ("row", "reason", "code"),
                cells,
                ("right", "left", "left"),
                long=True,
            )
        )
    blocks += [_run_table(fit) for fit in _one_per_group(fits)]
    return Section("Data", tuple(blocks))


def _one_per_group(fits: Fits) -> list[Fit]:
    seen: dict[str | None, Fit] = {}
    for fit in fits.fits:
        seen.setdefault(fit.group, fit)
    return list(seen.values())


def _ranges(fit: Fit) -> Table:
    rows = []
    for name, values in fit.fitted.items():
        span = f"{values.max() / values.min():.3g}"
        rows.append((name, numbers.quantity(values.min()), numbers.quantity(values.max()), span))
    return Table(
        f"Ranges of the {fit.n} fitted runs{' of ' + fit.group if fit.group else ''}",
        ("quantity", "smallest", "largest", "factor"),
        tuple(rows),
        ("left", "right", "right", "right"),
    )


def _run_table(fit: Fit) -> Table:
    rows = fit.rows
    count = len(rows.get("row", []))
    names = [n for n in ("run", "budget", "N", "D", "C", "loss", "seed", "status") if n in rows]
    body = []
    for i in range(min(count, MAX_ROWS)):
        cells = [_cell(n, rows[n][i]) for n in names]
        state = "held out" if rows["held_out"][i] else "" if rows["used"][i] else "left out"
        body.append(
            (
                str(rows["row"][i]),
                *cells,
                numbers.percent(rows["residual"][i]),
                rows["why"][i] or state,
            )
        )
    align: list[Align] = ["left" if n in ("run", "status") else "right" for n in names]
    hidden = f" {count - MAX_ROWS} more rows are in the table itself." if count > MAX_ROWS else ""
    table = Table(
        f"Every run{' of ' + fit.group if fit.group else ''}",
        ("row", *names, "residual", "remark"),
        tuple(body),
        ("right", *align, "right", "left"),
        note="Residual: loss over prediction, in logs." + hidden,
        long=True,
    )
    return without_empty(table, "remark")


def without_empty(table: Table, column: str) -> Table:
    """Leave out a column in which nothing is said."""
    at = table.columns.index(column)
    if any(row[at] for row in table.rows):
        return table
    return replace(
        table,
        columns=table.columns[:at] + table.columns[at + 1 :],
        align=table.align[:at] + table.align[at + 1 :],
        rows=tuple(row[:at] + row[at + 1 :] for row in table.rows),
    )


def _cell(name: str, value: Any) -> str:
    if value is None:
        return numbers.MISSING
    if name in ("run", "status"):
        return str(value)
    if name == "seed":
        return f"{value:g}"
    return numbers.quantity(value, 4)


# ------------------------------------------------------------------------------------------- fit


def fit_sections(fit: Fit, name: str) -> list[Section]:
    """Give the law, its parameters with intervals, and beside them what was published."""
    objective = f"{fit.objective.name}"
    if fit.objective.delta is not None:
        objective += f", delta {fit.objective.delta:g}"
    unit = "logs of the loss" if fit.objective.name.startswith("log") else "the loss itself"
    value = numbers.quantity(fit.objective.value, 7)
    text = (
        f"{fit.law.title or fit.law.name}, {fit.law.reference}. Objective: {objective}, residuals "
        f"in {unit}, {fit.objective.reduction} {value}. "
        f"Status: {fit.status}. "
    )
    c = fit.certificate
    if c:
        text += (
            f"{c['agreement']:.0%} of {c['starts']} starts reached this objective; predicted "
            f"relative decrease left {c['decrement']:.0e}."
        )
    blocks: list[Block] = [of_law(fit.law), Paragraph(text)]
    if not fit.identified:
        blocks.append(Note("SC405", "error", "Parameters are not quoted: they are not identified."))
        return [Section(titled("Fit", name), tuple(blocks))]
    blocks.append(_parameters(fit))
    if fit.law.published:
        blocks.append(_literature(fit))
    if fit.holdout is not None:
        h = fit.holdout
        cover = "" if h.coverage is None else f", {h.coverage:.0%} inside the interval of the mean"
        text = (
            f"Hold-out {h.where}: {h.n} runs, up to {numbers.factor(h.factor)} the largest fitted "
            f"compute; RMSE {numbers.percent(h.rmse_log)}, bias {numbers.percent(h.bias_log)}"
        )
        blocks.append(Paragraph(f"{text}{cover}."))
    return [Section(titled("Fit", name), tuple(blocks))]


def _parameters(fit: Fit) -> Table:
    rows = []
    for name, value in fit.params.items():
        se = fit.interval.se.get(name) if fit.interval else None
        shown = numbers.estimate(value, se) if se else numbers.quantity(value, 4)
        bounds = fit.intervals.get(name)
        rows.append(
            (
                name,
                shown,
                numbers.error(se) if se else numbers.MISSING,
                numbers.interval(*bounds) if bounds else numbers.MISSING,
                numbers.exact(value),
                _meaning(fit, name),
            )
        )
    i = fit.interval
    note = "No intervals (bootstrap 0)."
    if i is not None:
        note = (
            f"{i.level:.0%} intervals: {i.kind}; {i.draws} replicates, {i.failed} failed; "
            f"{i.clusters} clusters ({i.cluster})."
        )
    columns = ("name", "estimate", "SE", "interval", "full precision", "meaning")
    align: tuple[Align, ...] = ("left", "right", "right", "right", "left", "left")
    return Table("Parameters", columns, tuple(rows), align, note=note)


def _meaning(fit: Fit, name: str) -> str:
    if name in fit.law.names:
        return fit.law.parameter(name).meaning
    if name == "a":
        return f"N* ∝ C^a, {drawn.cost_label(fit.cost)}"
    return f"D* ∝ C^b, {drawn.cost_label(fit.cost)}"


def _literature(fit: Fit) -> Table:
    names = [n for n in ("E", "alpha", "beta", "a") if n in fit.params]
    own = [numbers.quantity(fit.params[n], 4) for n in names]
    kind = fit.interval.kind if fit.interval else "none"
    rows = [("this fit", *own, kind, str(fit.table.get("convention", "")))]
    for item in fit.law.published:
        values: dict[str, Any] = dict(item.params)
        if fit.law.frontier is not None:
            values["a"] = fit.law.frontier.exponents(item.params)[0]
        rows.append(
            (
                item.source,
                *(numbers.quantity(values.get(n), 4) for n in names),
                item.interval,
                item.convention,
            )
        )
    right: list[Align] = ["right"] * len(names)
    return Table(
        "Beside published values",
        ("source", *names, "intervals", "convention"),
        tuple(rows),
        ("left", *right, "left", "left"),
        note="Losses of other tokenizers and data are not comparable; exponents are, with "
        "care for the convention.",
    )


# -------------------------------------------------------------------------------------- evidence


def evidence_sections(fit: Fit, context: Context) -> list[Section]:
    """Show loss against compute, residuals and checks."""
    out = []
    name = context.subject(fit)
    key = drawn_key(f"{fit.group}|{fit.law.name}")
    if {"N", "D"} <= set(fit.fitted) and fit.law.frontier is not None:
        data = drawn.frontier_data(
            fit, level=level_of(fit), target=context.target, unit=context.unit(fit.response)
        )
        if data is not None:
            out.append(
                Section(
                    titled("Loss against compute", name),
                    (
                        figure_of(
                            f"frontier-{key}",
                            "Loss against compute",
                            "Runs coloured by N; line, band: loss of the best run; grey: beyond "
                            "the largest run.",
                            "Loss falling with compute, runs above a smooth frontier.",
                            "no run lies below the frontier by more than the noise.",
                            data,
                        ),
                    ),
                )
            )
    residuals = drawn.residual_data(fit)
    if residuals is not None and fit.identified:
        out.append(
            Section(
                titled("Residuals", name),
                (
                    figure_of(
                        f"residuals-{key}",
                        "Residuals",
                        "Log residuals [%], against each variable as quantiles too.",
                        "Residuals scatter around zero.",
                        "no slope or curve, quantiles near the line; heavy tails are what the "
                        "robust objective is for.",
                        residuals,
                    ),
                ),
            )
        )
    if fit.checks:
        rows = tuple(
            (c.name, c.verdict, c.found, (c.code or "") if c.verdict != "pass" else "")
            for c in fit.checks
        )
        out.append(
            Section(
                titled("Checks", name),
                (
                    Table(
                        "Automatic checks",
                        ("check", "verdict", "found", "code"),
                        rows,
                        ("left", "left", "left", "left"),
                    ),
                ),
            )
        )
    return out


# ------------------------------------------------------------------------- notes and provenance


def notes_section(fits: Fits) -> Section:
    """Every message, so that none is lost in any rendering."""
    found: list[Message] = sorted(fits.messages, key=lambda m: m.severity == "info")
    blocks: tuple[Block, ...] = tuple(note_of(m) for m in found)
    return Section("All warnings and notes", blocks or (Paragraph("None."),))


def method_section(context: Context) -> Section:
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
    return Section("Method", tuple(blocks))


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


def provenance_section(context: Context) -> Section:
    """What it takes to make the report again."""
    p, table = context.fits.provenance, context.fits.table
    rows = [
        ("table", str(without_paths(table.get("file")) or "in memory")),
        ("sha256 of the table", str(table.get("sha256") or numbers.MISSING)),
        ("rows, used", f"{table.get('rows')}, {table.get('used')}"),
    ]
    for name, version in p.get("versions", {}).items():
        rows.append((f"version of {name}", str(version)))
    for name in ("seed", "bootstrap", "interval", "minimum"):
        if name in p:
            rows.append((name, str(p[name])))
    blocks: list[Block] = [
        Table("How to make it again", ("item", "value"), tuple(rows), ("left", "left"))
    ]
    if context.command:
        blocks.append(Listing(context.command, "Command"))
    return Section("Reproducibility", tuple(blocks))
