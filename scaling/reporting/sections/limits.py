"""What limits the answer, and which runs would help most, with their cost."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import numpy as np

from scaling.errors import Message
from scaling.fitting.allocation import allocates
from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.context import Context, compute_of, note_of
from scaling.reporting.document import Align, Block, Listing, Paragraph, Section, Table
from scaling.reporting.members import along_of, told_of
from scaling.reporting.runs import optimum, runs_of
from scaling.reporting.sections.doubts import (
    BEATEN,
    MISSED,
    SAME,
    asked_compute,
    beaten,
    counted,
    direction,
    origins,
    table_compute,
)
from scaling.reporting.sections.effective import effective_cautions
from scaling.reporting.wording import titled


def limits_sections(context: Context) -> list[Section]:
    """Say what limits each fit, then which runs to add."""
    out: list[Section] = []
    for fit in context.fits.fits:
        found = tuple(Paragraph(text) for text in cautions(context, fit))
        if found:
            out.append(Section(titled("Limits", context.subject(fit)), found, level=2))
    for item in context.fits.effective:
        for t in item.treatments:
            told = tuple(Paragraph(text) for text in effective_cautions(t))
            if told:
                out.append(Section(titled("Limits", f"effective data, {t.group}"), told, level=2))
    following = context.fits.provenance.get("next")
    telling: list[Block] = [
        Paragraph(text) for fit in context.fits.fits if (text := _telling(context, fit))
    ]
    blocks = telling + _next(context, following) if following else telling + _unknown(context)
    if blocks:
        out.append(Section("The next most useful runs", tuple(blocks), level=2))
    return [Section("Limits and next runs", ()), *out] if out else []


def cautions(context: Context, fit: Fit, said: Container[str] = ()) -> list[str]:
    """Return what a reader must know before trusting a fit, the weightiest first.

    What messages with the codes in `said` tell is not told again.
    """
    if not fit.identified:
        return []
    surface = set(fit.law.variables) == {"N", "D"}
    found = [
        beaten(context, fit)[0] if surface and BEATEN not in said else "",
        counted(fit) if surface else "",
        "" if "SC410" in said else _reach(context, fit),
        _form(context, fit),
        "" if "SC438" in said else _method(fit),
        _checked(fit, said),
        _tested(fit, said),
    ]
    scope = "The answer holds for the data, the architecture and the recipe of these runs"
    if fit.interval is not None:
        knows = "the noise of the runs alone"
        if fit.members:
            knows = "the noise of the runs, the laws that were weighed and how they missed so far"
        scope += f"; the interval ({fit.interval.kind}) knows {knows}"
    return [text for text in (*found, f"{scope}.") if text]


def _reach(context: Context, fit: Fit) -> str:
    known = compute_of(fit)
    if context.target is None or not len(known) or context.target <= known.max() * 1.0001:
        return ""
    factor = context.target / float(known.max())
    return f"The target is {numbers.factor(factor)} the compute of the largest run that was fitted."


def _form(context: Context, fit: Fit) -> str:
    """Say what other laws answer, or that none was asked."""
    others = [f for f in context.fits_of(fit.group) if f is not fit and f.response == fit.response]
    compute = asked_compute(context, fit)
    if set(fit.law.variables) != {"N", "D"} or compute is None:
        return ""
    told = []
    for other in others:
        table = optimum(other, np.array([compute]))
        if table is not None and other.law.name != fit.law.name:
            told.append(
                f"{other.law.name} answers N* {numbers.quantity(table['N'][0])} and "
                f"{fit.response} {numbers.quantity(table['loss'][0], 4)}"
            )
    if told:
        return f"Other laws of the same runs: {'; '.join(told)}."
    if fit.members:
        return ""
    return "No other law was fitted to these runs, so nothing here shows how much its form decides."


def _method(fit: Fit) -> str:
    known = [float(a) for a in fit.sensitivity.get("a", []) if a is not None]
    if fit.members:
        return ""
    if known:
        return _spread(fit, known)
    if not allocates(fit.law) or set(fit.law.variables) != {"N", "D"}:
        return (
            "How far choices of method move the answer is not known: the variants are made for "
            f"laws of N and D that divide compute, and {fit.law.name} is none."
        )
    if any(m.code == "SC438" for m in fit.messages):
        return "Choices of method were varied, but no variant identifies an exponent."
    return "How far choices of method move the answer was not tried (--sensitivity)."


def _checked(fit: Fit, said: Container[str]) -> str:
    """Say up to where forecasts of weighted laws were checked, and whether futures part."""
    if not fit.members:
        return ""
    futures = told_of(fit)["futures"]
    text = ""
    if "SC410" not in said:
        text = (
            f"Forecasts of these laws were checked up to {numbers.factor(fit.evidence_factor)} "
            "beyond what they were fitted to; further out, intervals grow by rule and nothing was "
            "checked."
        )
    if len(futures) > 1 and "SC449" not in said:
        seen = " and ".join(
            f"{numbers.quantity(f['forecast'], 4)} ({f['future']})" for f in futures
        )
        text += (
            f" More than one future is open: at {futures[0]['factor']:g} times the largest "
            f"{along_of(fit)} the {fit.response} is {seen}."
        )
    return text.strip()


def _telling(context: Context, fit: Fit) -> str:
    """Say which run would tell open futures apart."""
    said = told_of(fit)
    if len(said.get("futures", ())) < 2:
        return ""
    subject = context.subject(fit)
    head = f"Futures that are open ({subject})" if subject else "Futures that are open"
    if said["decides"] is None:
        return f"{head}: no single run would tell them apart."
    return (
        f"{head}: a run at about {numbers.factor(said['decides'])} the largest {along_of(fit)} "
        "would tell the two heaviest apart."
    )


def _spread(fit: Fit, known: list[float]) -> str:
    """Say how far the exponent goes, and how much of that its interval covers."""
    text = f"Choices of method alone move a over {numbers.span(known)} ({len(known)} variants"
    if (ends := fit.intervals.get("a")) is not None:
        inside = np.mean([ends[0] <= a <= ends[1] for a in known])
        text += f", {inside:.0%} of them inside its interval"
    return f"{text})."


def _tested(fit: Fit, said: Container[str]) -> str:
    if fit.holdout is not None:
        h = fit.holdout
        if h.factor is None:
            return ""
        return (
            f"Held-out runs up to {numbers.factor(h.factor)} the fitted compute were missed by "
            f"{numbers.share(h.rmse_log)} (RMSE){direction(h.bias_log)}."
        )
    if MISSED in said:
        return ""
    if scored := origins(fit):
        over = along_of(fit) if fit.members else "compute"
        laws = "the laws miss" if fit.members else "the law misses"
        far = max(scored, key=lambda origin: float(origin["factor"]))
        return (
            f"Fitted to the smaller runs alone, {laws} larger ones, up to "
            f"{numbers.factor(far['factor'])} their {over}, by "
            f"{numbers.share(far['rmse_log'])} (RMSE){direction(far['bias_log'])}."
        )
    return "No larger run was held out, so its error beyond the runs is not known."


def _next(context: Context, following: Mapping[str, Any]) -> list[Block]:
    if not following.get("runs"):
        reason = following.get("reason") or "none was found that helps"
        blocks: list[Block] = [Paragraph(f"No runs are suggested: {reason}.")]
    else:
        text = f"{_aim(context, float(following['target']))}; belief: {following['belief']}."
        rows = tuple(
            (
                numbers.quantity(run["N"]),
                numbers.quantity(run["D"]),
                str(run.get("repeats", 1)),
                numbers.quantity(run["C"]),
            )
            for run in following["runs"]
        )
        spent = sum(run["C"] * run.get("repeats", 1) for run in following["runs"])
        note = f"In all {numbers.quantity(spent)} FLOP"
        if following.get("spent"):
            note += f", {spent / following['spent']:.0%} of what the runs so far took"
        blocks = [
            Paragraph(text),
            Table("Runs to add", ("N", "D", "runs", "C [FLOP]"), rows, ("right",) * 4, f"{note}."),
            *_gain(following),
        ]
    blocks += [note_of(Message.from_dict(dict(m))) for m in following.get("messages", [])]
    if following.get("command") and (following.get("runs") or _surfaces(context)):
        blocks.append(Listing(str(following["command"]), "The command that chooses them"))
    return blocks


def _surfaces(context: Context) -> list[Fit]:
    return [fit for fit in context.fits.fits if set(fit.law.variables) == {"N", "D"}]


def _aim(context: Context, target: float) -> str:
    """Say which C the runs were chosen for, and whether that is the C of the answer."""
    shown = f"C = {numbers.quantity(target)} FLOP"
    fit = next(iter(_surfaces(context)), None)
    asked = None if fit is None else asked_compute(context, fit)
    if fit is None or asked is None or np.isclose(target, asked, rtol=SAME - 1):
        return f"Chosen to sharpen the answer at {shown}"
    own = runs_of(fit).C  # runs are chosen in the table's own C, where it has one
    own = own[np.isfinite(own)] if np.isfinite(own).any() else compute_of(fit)
    times = f"{numbers.factor(target / float(own.max()))} the largest run"
    if table_compute(fit) is not None:
        times += " by the table's own C"
    return f"Chosen for {shown}, {times}, not for the C of the answer, {numbers.quantity(asked)}"


def _gain(following: Mapping[str, Any]) -> list[Block]:
    """Show what the runs would do to the standard errors."""
    se = following.get("se") or {}
    rows = []
    for name, before in (se.get("before") or {}).items():
        gain = (following.get("gain") or {}).get(name)
        share = numbers.MISSING if gain is None else numbers.percent(-gain, 0)
        ends = (numbers.quantity(before, 2), numbers.quantity(se["after"].get(name), 2))
        rows.append((name, *ends, share))
    if not rows:
        return []
    columns = ("quantity", "SE now (posterior)", "SE with them", "change")
    align: tuple[Align, ...] = ("left", "right", "right", "right")
    title = "Expected standard errors at the target"
    return [Table(title, columns, tuple(rows), align), *_menu(following)]


def _menu(following: Mapping[str, Any]) -> list[Block]:
    """Name the single runs that help most for what they cost."""
    rows = tuple(
        (
            numbers.quantity(run["N"]),
            numbers.quantity(run["D"]),
            numbers.quantity(run["C"]),
            numbers.percent(-run["reduction"], 0),
        )
        for run in following.get("menu") or []
    )
    if not rows:
        return []
    columns = ("N", "D", "C [FLOP]", "change of the SEs")
    return [Table("Single runs that help most for their cost", columns, rows, ("right",) * 4)]


def _unknown(context: Context) -> list[Block]:
    """Name the command where nothing is stored, for laws that it can serve."""
    if not _surfaces(context):
        return []
    text = "Not stored with this fit; the command below chooses them from the runs."
    return [Paragraph(text), Listing("scaling sweep suggest RUNS", "The command that chooses them")]
