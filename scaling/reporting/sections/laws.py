"""The section on the choice of the law: what was compared by held-out error, what was not tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaling.errors import Message
from scaling.fitting.result import Fit
from scaling.laws import LAWS as CATALOGUE
from scaling.reporting import numbers
from scaling.reporting.context import Context, note_of, without_paths
from scaling.reporting.document import Align, Block, Listing, Paragraph, Section, Table
from scaling.reporting.figures.laws import LAWS, error_text, laws_of, named, weighted
from scaling.reporting.sections.figures import figure_of
from scaling.reporting.wording import titled

HEADING = "Laws compared by held-out error"
ALONE = "Held-out error of the law"
MOST_NAMED = 4
VARIANTS = ("no-floor", "broken-data")  # of a published law, for auto; named last


def laws_sections(context: Context) -> list[Section]:
    """Return a section for each group whose laws were scored on larger runs than they saw."""
    out = []
    for group in context.groups:
        rows = laws_of(context, group)
        if not rows:
            continue
        compared = len(rows) > 1
        blocks: list[Block] = []
        if compared:
            blocks += [*figure_of(LAWS, context, group), laws_table(rows)]
        else:
            blocks += _alone(rows[0])
        blocks += _not_tried(context, group, rows)
        blocks += [
            note_of(Message.from_dict(dict(m))) for row in rows for m in row.get("messages", ())
        ]
        heading = titled(HEADING if compared else ALONE, context.group_name(group))
        out.append(Section(heading, tuple(blocks)))
    return out


def laws_table(rows: Sequence[Mapping[str, Any]], runs: Sequence[str] = ()) -> Table:
    """Return one row a law, best first; rows as `compare_laws` gives them.

    Parameters
    ----------
    rows : sequence of mapping
    runs : sequence of str
        What the runs of each row are called, where they are not the same ones.
    """
    body: list[tuple[str, ...]] = [
        (
            numbers.MISSING
            if row["backtest"].get("rank") is None
            else str(row["backtest"]["rank"]),
            name,
            str(row["k"]),
            str(row["n"]),
            _error(row["backtest"]["rmse_log"]),
            numbers.percent(row["backtest"]["bias_log"]),
            _criterion(row["aicc"]),
            _criterion(row["bic"]),
            row["status"],
        )
        for name, row in zip(named(rows), rows, strict=True)
    ]
    columns: tuple[str, ...] = ("rank", "law", "k", "n", "held-out error")
    columns += ("bias", "AICc", "BIC", "status")
    align: tuple[Align, ...] = ("right", "left", *(("right",) * 6), "left")
    if runs:
        body = [(name, *row) for name, row in zip(runs, body, strict=True)]
        columns, align = ("runs", *columns), ("left", *align)
    return Table("Laws of the same runs", columns, tuple(body), align, note=_comparable(rows))


def _comparable(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say what of the table can be compared with what."""
    origins = max((len(row["backtest"]["origins"]) for row in rows), default=0)
    text = (
        f"Held-out error: RMSE in logs on the runs larger than those fitted, mean of {origins} "
        "origins, the same rows for every law; k: free parameters."
    )
    for name in dict.fromkeys(str(row["law"]) for row in rows if weighted(row)):
        text += f" {name} weighs laws at each origin by the runs below it; k is of the heaviest."
    rows = [row for row in rows if not weighted(row)]
    known = [row["aicc"] is not None for row in rows]
    objectives = " and ".join(dict.fromkeys(row["objective"] for row in rows))
    if not rows:
        return text
    if not any(known):
        return f"{text} No AICc or BIC: {objectives} is not a likelihood; log-mse and mse are."
    text += " AICc and BIC judge the fitted runs, and compare laws of equally many of them"
    return f"{text}; the others have no likelihood." if not all(known) else f"{text}."


def _error(value: float | None) -> str:
    return numbers.MISSING if value is None else error_text(100.0 * value)


def _criterion(value: float | None) -> str:
    return numbers.MISSING if value is None else numbers.signed(value, 1).lstrip("+")


def _alone(row: Mapping[str, Any]) -> list[Block]:
    """The origins of the one law that was fitted."""
    found = row["backtest"]
    along = found["along"]
    body = tuple(
        (
            numbers.quantity(o["cut"]),
            str(o["train"]),
            str(o["test"]),
            numbers.factor(o["factor"]),
            _error(o["rmse_log"]),
            numbers.percent(o["bias_log"]),
        )
        for o in found["origins"]
    )
    if not body:
        return [Paragraph("Too few levels of compute to fit the smaller runs and test the larger.")]
    columns = (f"fitted up to {along}", "fitted", "tested", "farthest", "error", "bias")
    done = "the law fitted to the runs up to there, its RMSE in logs and its bias"
    if weighted(row):
        done = "laws fitted and weighted by the runs up to there alone, their RMSE in logs and bias"
    note = f"Each row: {done} on all larger ones; mean {_error(found['rmse_log'])}."
    caption = f"{row['law']} tested on larger runs than it saw"
    return [Table(caption, columns, body, ("right",) * 6, note=note)]


def _not_tried(
    context: Context, group: str | None, rows: Sequence[Mapping[str, Any]]
) -> list[Block]:
    """Name laws of the same variables that nobody fitted, with the command that would."""
    fit = context.surface_of(group)
    if fit is None or any(f.members for f in context.fits_of(group)):  # it tried what there is
        return []
    others = untried(
        fit, [*(row["law"] for row in rows), *(f.law.name for f in context.fits_of(group))]
    )
    if not others:
        return []
    variables = " and ".join(fit.law.variables)
    text = f"Not tried: {', '.join(others)}, which also give {fit.response} from {variables}."
    if len(rows) == 1:
        text = (
            f"One law was fitted, so how much its form matters is not known. {text} Errors of "
            "several laws on the same held-out runs would tell:"
        )
    file = without_paths(context.fits.table.get("file")) or "results.csv"
    wanted = [row["law"] for row in rows[:1]] + others
    command = " ".join(["scaling compare", _quoted(str(file)), *(f"--law {law}" for law in wanted)])
    return [Paragraph(text), Listing(command)]


def untried(fit: Fit, known: Sequence[str]) -> list[str]:
    """Return laws of the catalogue that read the same variables and were not fitted."""
    alike = (
        law.name
        for law in CATALOGUE.values()
        if set(law.variables) == set(fit.law.variables) and law.response == fit.law.response
    )
    others = [name for name in alike if name not in known]
    return sorted(others, key=lambda name: name in VARIANTS)[:MOST_NAMED]


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)
