"""A whole table: every group by every law and approach, as the content of ``fit.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, FitError
from scaling.fitting import envelope, isoflop
from scaling.fitting.across import with_crossings, with_minima
from scaling.fitting.agreement import compare_approaches, convention_message
from scaling.fitting.auto.build import fit_auto, is_auto
from scaling.fitting.backtest import score
from scaling.fitting.comparison import compare_groups
from scaling.fitting.effective import Ask, effective_data
from scaling.fitting.effective_result import Effective
from scaling.fitting.fit import fit_group, surface_allocation
from scaling.fitting.inputs import groups, holdout_rows, measured_cost, place
from scaling.fitting.optima import Allocation
from scaling.fitting.options import Options
from scaling.fitting.result import Fit, Fits
from scaling.fitting.sensitivity import panel
from scaling.fitting.settings import joined, resampling, solver_settings
from scaling.fitting.shared import fit_shared
from scaling.laws import Law, default_for, get
from scaling.runs.learning import curves_of_table
from scaling.runs.provenance import platform_of, versions
from scaling.runs.table import RunsTable, finished

APPROACHES = ("surface", "isoflop", "envelope")


@dataclass(frozen=True)
class Ways:
    """How minima and envelopes are found; see `scaling.fitting.isoflop` and ``envelope``."""

    minimum: str = "powers"
    edge: str = "refuse"
    resample: str = "noise"
    bins: int | tuple[float, float, int] | None = None


def analyse(
    table: RunsTable,
    *,
    laws: Sequence[str | Law] = (),
    approaches: Sequence[str] = ("surface",),
    group: str | None = None,
    options: Options | None = None,
    ways: Ways | None = None,
    sensitivity: bool = False,
    backtest: bool | None = None,
    effective: Ask | None = None,
    command: str | None = None,
) -> Fits:
    """Fit a table.

    Parameters
    ----------
    table : RunsTable
        Points in mid-run enter the envelope only.
    laws : sequence of str or Law
        The law that suits the table's columns, if empty.
    approaches : sequence of {"surface", "isoflop", "envelope"}
    group : str, optional
        Column to split by.
    options : Options, optional
    ways : Ways, optional
    sensitivity : bool
        Whether to fit again in many ways; see `scaling.fitting.sensitivity`.
    backtest : bool, optional
        Whether to score the laws on larger runs than they are fitted to; see
        `scaling.fitting.backtest`. Where there are replicates if None: beside a fit without them
        it would take most of the time.
    effective : Ask, optional
        Whether to measure groups by data of a reference; see `scaling.fitting.effective`.
    command : str, optional
        What the user typed, for the record.

    Raises
    ------
    ScalingError
        If an option cannot be used or no estimate exists.
    """
    chosen, way = options or Options(), ways or Ways()
    unknown = [a for a in approaches if a not in APPROACHES]
    if unknown:
        known = "one of " + ", ".join(APPROACHES)
        raise ConfigError(Fault("SC004", "--approach", f'"{unknown[0]}"', known))
    if not table.used.any():
        lost = "0 runs"
        mend = "look at the rows left out: scaling check; loosen --where"
        raise FitError(
            Fault("SC401", place(table, None), lost, "at least one run a parameter", mend)
        )
    declared = [law if isinstance(law, Law) or is_auto(law) else get(law) for law in laws]
    whole, table = table, finished(table)
    info = table_info(whole if "envelope" in approaches else table)
    members = groups(table, group)
    fits: list[Fit] = []
    if "surface" in approaches:
        for law in declared or [default_for(set(map(str, table.frame)))]:
            if isinstance(law, str):
                asked = _of_auto(chosen) if len(declared) > 1 else chosen
                made = [fit_auto(table, law, asked, name, member) for name, member in members]
            elif chosen.share:
                made = fit_shared(table, law, chosen, members)
            else:
                made = [fit_group(table, law, chosen, name, member) for name, member in members]
            fits += [replace(fit, table=info) for fit in made]
    allocations: list[Allocation] = []
    agreement: list[dict[str, Any]] = []
    for name, member in members:
        own = [fit for fit in fits if fit.group == name]
        found, rows = _allocations(table, whole, name, member, own, approaches, chosen, way)
        allocations += found
        agreement += rows
        changed = {id(fit): _with_convention(with_minima(fit, found), table, member) for fit in own}
        if sensitivity:
            train = member & ~holdout_rows(table, chosen.holdout)
            changed = {
                key: _with_panel(fit, table, chosen, train, way.edge)
                for key, fit in changed.items()
            }
        fits = [changed.get(id(fit), fit) for fit in fits]
    fits = with_crossings(fits)
    scored = bool(chosen.bootstrap) if backtest is None else backtest
    fits, ranked = _scored(fits) if scored and not chosen.share else (fits, [])
    provenance: dict[str, Any] = {
        "versions": versions("numpy", "scipy", "pandas"),
        "command": command,
        "seed": chosen.seed,
        "bootstrap": chosen.bootstrap,
        "interval": chosen.interval,
        "minimum": way.minimum,
        "solver": solver_settings(),
        "resampling": resampling(chosen, fits),
        "platform": platform_of(),
    }
    worth: tuple[Effective, ...] = ()
    if effective is not None:
        worth = (effective_data(table, effective, group=group, options=chosen),)
    agreed = tuple(agreement)
    curves = curves_of_table(whole) if table is not whole else {}
    compared = compare_groups(fits, chosen.interval)
    return Fits(
        tuple(fits),
        tuple(allocations),
        info,
        provenance,
        agreed,
        worth,
        tuple(ranked),
        curves,
        compared,
    )


def _scored(fits: Sequence[Fit]) -> tuple[list[Fit], list[dict[str, Any]]]:
    """Score the fits of each group together; each gets its own row, the first the messages."""
    ranked: list[dict[str, Any]] = []
    own: dict[int, dict[str, Any]] = {}
    for group in dict.fromkeys(fit.group for fit in fits):
        members = [fit for fit in fits if fit.group == group]
        rows, told = score(members)
        of = {row["law"]: row for row in rows}
        own |= {id(fit): of[fit.law.name] for fit in members if fit.law.name in of}
        if told:
            rows = [rows[0] | {"messages": [m.as_dict() for m in told]}, *rows[1:]]
        ranked += rows
    return [replace(fit, backtest=own.get(id(fit), {})) for fit in fits], ranked


def _allocations(
    table: RunsTable,
    whole: RunsTable,
    name: str | None,
    member: NDArray[np.bool_],
    fits: Sequence[Fit],
    approaches: Sequence[str],
    options: Options,
    way: Ways,
) -> tuple[list[Allocation], list[dict[str, Any]]]:
    """Allocations of one group by every approach, and how far they agree."""
    pairs = [(surface_allocation(fit), fit) for fit in fits]
    out = [a for a, _ in pairs if a is not None]
    surface = next((f for f in fits if f.identified and set(f.law.variables) == {"N", "D"}), None)
    why = f"held out by {options.holdout}"
    if "isoflop" in approaches:
        train = table.leave_out(~holdout_rows(table, options.holdout), "SC120", why)
        found = isoflop.Options(
            way.minimum, way.edge, options.bootstrap, options.interval, options.seed, way.resample
        )
        made = isoflop.isoflop_allocation(train, found, name, member)
        if surface is not None and made.a is not None:
            made = isoflop.with_expected_bias(made, train, member, surface, way.minimum)
        out.append(made)
    if "envelope" in approaches:
        train = whole.leave_out(~holdout_rows(whole, options.holdout), "SC120", why)
        settings = envelope.Options(
            way.bins, way.edge, options.bootstrap, options.interval, options.seed
        )
        out.append(envelope.envelope_allocation(train, settings, name, member))
    measured = measured_cost(table, table.used & member)
    given = [fit for a, fit in pairs if a is not None]
    return compare_approaches(out, given, measured[0] if measured else None)


def _with_convention(fit: Fit, table: RunsTable, member: NDArray[np.bool_]) -> Fit:
    measured = measured_cost(table, table.used & member)
    told = convention_message(fit, measured[0] if measured else None)
    return fit if told is None else replace(fit, messages=(*fit.messages, told))


def _of_auto(options: Options) -> Options:
    """Options without those that are meant for the fits of single laws beside `auto`."""
    plain = Options()
    return replace(options, objective=plain.objective, delta=plain.delta, reduction=plain.reduction)


def _with_panel(
    fit: Fit, table: RunsTable, options: Options, member: NDArray[np.bool_], edge: str
) -> Fit:
    columns, told = panel(table, fit, options, member, edge)
    messages = fit.messages if told is None else (*fit.messages, told)
    return replace(fit, sensitivity=columns, messages=messages)


def needs_a_loss(laws: Sequence[str | Law], response: str | None) -> bool:
    """Whether a table must have a loss to be fitted by these laws."""
    if response is not None or not laws:
        return response in (None, "loss")
    if any(is_auto(law) for law in laws):
        return True
    found = [law if isinstance(law, Law) else get(law) for law in laws]
    return any(law.response == "loss" for law in found)


def combine(parts: Sequence[Fits]) -> Fits:
    """Join what several analyses found; an allocation that repeats is kept once.

    The table and the provenance are the first part's; every fit keeps its own table.
    """
    allocations: list[Allocation] = []
    for part in parts:
        allocations += [a for a in part.allocations if a not in allocations]
    fits = tuple(fit for part in parts for fit in part.fits)
    agreement = tuple(row for part in parts for row in part.agreement)
    effective = tuple(item for part in parts for item in part.effective)
    laws = tuple(row for part in parts for row in part.laws)
    curves = next((part.curves for part in parts if part.curves), {})
    table, provenance = parts[0].table, dict(parts[0].provenance)
    each = [dict(part.provenance["resampling"]) for part in parts if part.provenance]
    if each:
        provenance["resampling"] = joined(each)
    compared = next((part.compared for part in parts if part.compared), ())
    found = (fits, tuple(allocations), table, provenance, agreement, effective)
    return Fits(*found, laws, curves, compared)


def table_info(table: RunsTable) -> dict[str, Any]:
    """Return the ``table`` block of ``fit.json``."""
    return table.as_dict() | {"messages": [m.as_dict() for m in table.messages]}
