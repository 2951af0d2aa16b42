"""The sections of a report: data, fit, allocation, evidence, method, provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from scaling.errors import Message
from scaling.fitting.result import Allocation, Fit, Fits
from scaling.reporting import figures_data as drawn
from scaling.reporting import numbers
from scaling.reporting.document import Block, Figure, Listing, Note, Paragraph, Section, Table
from scaling.reporting.mathematics import formula

MAX_ROWS = 1000


def _figure(key: str, title: str, caption: str, alt: str, good: str, data: Any) -> Figure:
    from scaling.reporting.figures import renderer

    return Figure(key, title, caption, alt, good, data.columns(), _tips(data), renderer(data))


def _tips(data: Any) -> tuple[str, ...]:
    """Tooltips in the order of drawing; the isoFLOP figure keeps its own by budget."""
    if isinstance(data, drawn.IsoflopData):
        return tuple(tip for item in data.budgets for tip in item.tips)
    return tuple(getattr(data, "tips", ()))


def _headed(heading: str, name: str) -> str:
    return f"{heading}: {name}" if name else heading


# ------------------------------------------------------------------------------------------ data


def data_section(fits: Fits) -> Section:
    """Say what the runs are, what was left out and why, and list them all."""
    blocks: list[Block] = [Paragraph(f"Convention: {fits.table.get('convention', 'not stated')}.")]
    columns = fits.table.get("columns", {})
    rows = [(str(k), str(v["source"]), str(v["unit"])) for k, v in columns.items()
            if k in ("N", "D", "C", "loss", "budget")]  # fmt: skip
    if rows:
        blocks.append(Table("How the columns were read", ("quantity", "source", "unit"),
                            tuple(rows), ("left", "left", "left")))  # fmt: skip
    for fit in _one_per_group(fits):
        blocks.append(_ranges(fit))
    dropped = fits.table.get("dropped", [])
    if dropped:
        cells = tuple((str(d["row"]), str(d["why"]), str(d["code"])) for d in dropped[:MAX_ROWS])
        blocks.append(Table(f"Rows left out: {len(dropped)}", ("row", "reason", "code"), cells,
                            ("right", "left", "left"), long=True))  # fmt: skip
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
    return Table(f"Ranges of the {fit.n} fitted runs{' of ' + fit.group if fit.group else ''}",
                 ("quantity", "smallest", "largest", "factor"), tuple(rows),
                 ("left", "right", "right", "right"))  # fmt: skip


def _run_table(fit: Fit) -> Table:
    rows = fit.rows
    count = len(rows.get("row", []))
    names = [n for n in ("run", "budget", "N", "D", "C", "loss", "seed", "status") if n in rows]
    body = []
    for i in range(min(count, MAX_ROWS)):
        cells = [_cell(n, rows[n][i]) for n in names]
        state = "held out" if rows["held_out"][i] else "" if rows["used"][i] else "left out"
        body.append((str(rows["row"][i]), *cells, numbers.percent(rows["residual"][i]),
                     rows["why"][i] or state))  # fmt: skip
    align = tuple("left" if n in ("run", "status") else "right" for n in names)
    hidden = f" {count - MAX_ROWS} more rows are in the table itself." if count > MAX_ROWS else ""
    return Table(
        f"Every run{' of ' + fit.group if fit.group else ''}",
        ("row", *names, "residual", "remark"), tuple(body), ("right", *align, "right", "left"),  # type: ignore[arg-type]
        note="Residual: loss over prediction, in logs." + hidden, long=True,
    )  # fmt: skip


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
    text = (
        f"{fit.law.title or fit.law.name}, {fit.law.reference}. Objective: {objective}, residuals "
        f"in {unit}, {fit.objective.reduction} {numbers.quantity(fit.objective.value, 7)}. "
        f"Status: {fit.status}. "
    )
    c = fit.certificate
    if c:
        text += (
            f"{c['agreement']:.0%} of {c['starts']} starts reached this objective; predicted "
            f"relative decrease left {c['decrement']:.0e}."
        )
    blocks: list[Block] = [formula("L", fit.law.expression), Paragraph(text)]
    if not fit.identified:
        blocks.append(Note("SC405", "error", "Parameters are not quoted: they are not identified."))
        return [Section(_headed("Fit", name), tuple(blocks))]
    blocks.append(_parameters(fit))
    if fit.law.published:
        blocks.append(_literature(fit))
    if fit.holdout is not None:
        h = fit.holdout
        cover = "" if h.coverage is None else f", {h.coverage:.0%} inside the interval of the mean"
        blocks.append(Paragraph(
            f"Hold-out {h.where}: {h.n} runs, up to {numbers.factor(h.factor)} the largest fitted "
            f"compute; RMSE {numbers.percent(h.rmse_log)}, bias {numbers.percent(h.bias_log)}{cover}."
        ))  # fmt: skip
    return [Section(_headed("Fit", name), tuple(blocks))]


def _parameters(fit: Fit) -> Table:
    rows = []
    for name, value in fit.params.items():
        se = fit.interval.se.get(name) if fit.interval else None
        shown = numbers.estimate(value, se) if se else numbers.quantity(value, 4)
        bounds = fit.intervals.get(name)
        rows.append((name, shown, numbers.error(se) if se else numbers.MISSING,
                     numbers.interval(*bounds) if bounds else numbers.MISSING,
                     numbers.exact(value), _meaning(fit, name)))  # fmt: skip
    i = fit.interval
    note = "No intervals (bootstrap 0)."
    if i is not None:
        note = (f"{i.level:.0%} intervals: {i.kind}; {i.draws} replicates, {i.failed} failed; "
                f"{i.clusters} clusters ({i.cluster}).")  # fmt: skip
    return Table("Parameters", ("name", "estimate", "SE", "interval", "full precision", "meaning"),
                 tuple(rows), ("left", "right", "right", "right", "left", "left"), note=note)  # fmt: skip


def _meaning(fit: Fit, name: str) -> str:
    if name == "a":
        return f"N* ∝ C^a under C = {fit.cost['formula']}"
    if name == "b":
        return f"D* ∝ C^b under C = {fit.cost['formula']}"
    return fit.law.parameter(name).meaning


def _literature(fit: Fit) -> Table:
    names = [n for n in ("E", "alpha", "beta", "a") if n in fit.params]
    rows = [("this fit", *(numbers.quantity(fit.params[n], 4) for n in names),
             fit.interval.kind if fit.interval else "none", str(fit.table.get("convention", "")))]  # fmt: skip
    for item in fit.law.published:
        values: dict[str, Any] = dict(item.params)
        if fit.law.frontier is not None:
            values["a"] = fit.law.frontier.exponents(item.params)[0]
        rows.append((item.source, *(numbers.quantity(values.get(n), 4) for n in names),
                     item.interval, item.convention))  # fmt: skip
    return Table("Beside published values", ("source", *names, "intervals", "convention"),
                 tuple(rows), ("left", *("right" for _ in names), "left", "left"),
                 note="Losses of other tokenizers and data are not comparable; exponents are, with "
                 "care for the convention.")  # fmt: skip


# ------------------------------------------------------------------------------------ allocation


def allocation_sections(
    fit: Fit | None, allocations: Sequence[Allocation], target: float | None
) -> list[Section]:
    """Lay the approaches side by side: isoFLOP figure, minima, exponents, N*(C) and D*(C)."""
    group = allocations[0].group
    name = group if group and len({a.group for a in allocations}) > 1 else ""
    out = []
    key = drawn_key(group)
    for allocation in (a for a in allocations if a.approach == "isoflop"):
        blocks: list[Block] = []
        usable = fit if fit is not None and fit.identified else None
        data = drawn.isoflop_data(allocation, usable)
        if data.budgets:
            blocks.append(_figure(
                f"isoflop-{key}", "Loss against size at each budget",
                f"Runs, fitted curve ({allocation.method}) and minimum of each budget; dashed, the "
                "surface fit at the same budget.",
                "Loss against parameters, one U-shaped curve a budget, with its minimum marked.",
                "each curve is U-shaped and its minimum lies well inside the sizes.", data))  # fmt: skip
        blocks.append(_minima(allocation))
        out.append(Section(_headed("isoFLOP minima", name), tuple(blocks)))
    blocks = [_exponents(allocations)]
    data2 = drawn.allocation_data(fit, allocations, target=target)
    if data2 is not None:
        blocks.append(_figure(
            f"allocation-{key}", "Optimal size and data against compute",
            "N*(C) and D*(C) by every approach; band: interval of the surface; grey: beyond the "
            "largest run.",
            "Optimal parameters and tokens rising as power laws of compute.",
            "approaches agree within their intervals and the minima scatter around the line.",
            data2))  # fmt: skip
    out.append(Section(_headed("Allocation", name), tuple(blocks)))
    return out


def drawn_key(group: str | None) -> str:
    """Return a key for SVG ids that any group name can give."""
    from scaling.runs.files import sha256_text

    return sha256_text(group or "")[:6]


def _minima(allocation: Allocation) -> Table:
    rows = tuple(
        (numbers.quantity(m.budget), numbers.quantity(m.N), numbers.quantity(m.D),
         numbers.quantity(m.D / m.N) if m.N and m.D else numbers.MISSING,
         numbers.quantity(m.loss, 4), "yes" if m.bracketed else "no", m.why or "")
        for m in allocation.minima
    )  # fmt: skip
    return Table("Minimum of each budget", ("budget [FLOP]", "N*", "D*", "D/N", "loss", "bracketed",
                 "remark"), rows, ("right", "right", "right", "right", "right", "left", "left"))  # fmt: skip


def _exponents(allocations: Sequence[Allocation]) -> Table:
    rows = []
    for a in allocations:
        i = a.interval
        rows.append((
            a.approach, numbers.quantity(a.a, 3), numbers.interval(*i["a"]) if i else numbers.MISSING,
            numbers.quantity(a.b, 3), numbers.interval(*i["b"]) if i else numbers.MISSING,
            a.cost["formula"], f"{i['level']:.0%}, {i['kind']}" if i else a.method,
        ))  # fmt: skip
    return Table("Exponents by approach: N* ∝ C^a, D* ∝ C^b",
                 ("approach", "a", "interval of a", "b", "interval of b", "meaning of C", "intervals"),
                 tuple(rows), ("left", "right", "right", "right", "right", "left", "left"),
                 note="The meaning of C alone can move a by more than any interval; compare "
                 "approaches only where it is the same.")  # fmt: skip


# -------------------------------------------------------------------------------------- evidence


def evidence_sections(fit: Fit, name: str, target: float | None) -> list[Section]:
    """Show loss against compute, residuals and checks."""
    out = []
    key = drawn_key(f"{fit.group}|{fit.law.name}")
    if {"N", "D"} <= set(fit.fitted) and fit.law.frontier is not None:
        data = drawn.frontier_data(fit, target=target)
        if data is not None:
            out.append(Section(_headed("Loss against compute", name), (_figure(
                f"frontier-{key}", "Loss against compute",
                "Runs coloured by N; line and band: loss of the optimal run; grey: beyond the "
                "largest run.",
                "Loss falling with compute, runs above a smooth frontier.",
                "no run lies below the frontier by more than the noise.", data),)))  # fmt: skip
    residuals = drawn.residual_data(fit)
    if residuals is not None and fit.identified:
        out.append(Section(_headed("Residuals", name), (_figure(
            f"residuals-{key}", "Residuals",
            "Loss over prediction, in logs [%], against each variable, and their quantiles.",
            "Residuals scatter around zero.",
            "no slope or curve, and quantiles near the line; heavy tails are what the robust "
            "objective is for.", residuals),)))  # fmt: skip
    if fit.checks:
        rows = tuple((c.name, c.verdict, c.found, c.code or "") for c in fit.checks)
        out.append(Section(_headed("Checks", name), (Table(
            "Automatic checks", ("check", "verdict", "found", "code"), rows,
            ("left", "left", "left", "left")),)))  # fmt: skip
    return out


# ------------------------------------------------------------------------- notes and provenance


def notes_section(fits: Fits) -> Section:
    """Every message, so that none is lost in any rendering."""
    found: list[Message] = sorted(fits.messages, key=lambda m: m.severity == "info")
    blocks: tuple[Block, ...] = tuple(Note(m.code, m.severity, m.text) for m in found)
    return Section("All warnings and notes", blocks or (Paragraph("None."),))


def method_section(fits: Fits, study: Mapping[str, Any] | None) -> Section:
    """Say in words what was done."""
    blocks: list[Block] = []
    for law in {fit.law.name: fit.law for fit in fits.fits}.values():
        blocks.append(Paragraph(
            f"The law {law.name} was fitted by variable projection over a grid of exponents, "
            "followed by damped Newton refinement of several starts with analytic derivatives; "
            "every bootstrap replicate was searched and refined afresh."
        ))  # fmt: skip
    if any(a.approach == "isoflop" for a in fits.allocations):
        blocks.append(Paragraph(
            "IsoFLOP minima are those of a curve through ln loss against ln N at each budget; "
            "minima at the edge of the sizes are refused. The intervals re-draw the noise of every "
            "budget and repeat the whole procedure."
        ))  # fmt: skip
    if study is not None:
        kept = {k: study[k] for k in ("data", "model", "design", "recipe") if study.get(k)}
        blocks.append(Listing(json.dumps(kept, indent=1, ensure_ascii=False), "The study"))
    return Section("Method", tuple(blocks))


def provenance_section(fits: Fits, command: str | None) -> Section:
    """What it takes to make the report again."""
    p, table = fits.provenance, fits.table
    rows = [("table", str(table.get("file") or "in memory")),
            ("sha256 of the table", str(table.get("sha256") or numbers.MISSING)),
            ("rows, used", f"{table.get('rows')}, {table.get('used')}")]  # fmt: skip
    for name, version in p.get("versions", {}).items():
        rows.append((f"version of {name}", str(version)))
    for name in ("seed", "bootstrap", "interval", "minimum"):
        if name in p:
            rows.append((name, str(p[name])))
    blocks: list[Block] = [Table("How to make it again", ("item", "value"), tuple(rows),
                                 ("left", "left"))]  # fmt: skip
    if command:
        blocks.append(Listing(command, "Command"))
    return Section("Reproducibility", tuple(blocks))
