"""A whole table: every group by every law and approach, as the content of ``fit.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scaling.errors import ConfigError, Fault
from scaling.fitting import isoflop
from scaling.fitting.fit import fit_group, surface_allocation
from scaling.fitting.inputs import groups, holdout_rows
from scaling.fitting.options import Options
from scaling.fitting.result import Allocation, Fit, Fits
from scaling.fitting.shared import fit_shared
from scaling.laws import Law, default_for, get
from scaling.runs.provenance import versions
from scaling.runs.table import RunsTable

APPROACHES = ("surface", "isoflop")


def analyse(
    table: RunsTable,
    *,
    laws: Sequence[str | Law] = (),
    approaches: Sequence[str] = ("surface",),
    group: str | None = None,
    options: Options | None = None,
    minimum: str = "cubic",
    edge: str = "refuse",
    command: str | None = None,
) -> Fits:
    """Fit a table.

    Parameters
    ----------
    table : RunsTable
    laws : sequence of str or Law
        The law that suits the table's columns, if empty.
    approaches : sequence of {"surface", "isoflop"}
    group : str, optional
        Column to split by.
    options : Options, optional
    minimum, edge : str
        See `scaling.fitting.isoflop`.
    command : str, optional
        What the user typed, for the record.

    Raises
    ------
    ScalingError
        If an option cannot be used or no estimate exists.
    """
    chosen = options or Options()
    unknown = [a for a in approaches if a not in APPROACHES]
    if unknown:
        known = "surface or isoflop"
        raise ConfigError(Fault("SC004", "--approach", f'"{unknown[0]}"', known))
    declared = [law if isinstance(law, Law) else get(law) for law in laws]
    fits: list[Fit] = []
    allocations: list[Allocation] = []
    info = table_info(table)
    held = holdout_rows(table, chosen.holdout)
    train = table.leave_out(~held, "SC120", f"held out by {chosen.holdout}")
    members = groups(table, group)
    if "surface" in approaches:
        for law in declared or [default_for(set(map(str, table.frame)))]:
            if chosen.share:
                made = fit_shared(table, law, chosen, members)
            else:
                made = [fit_group(table, law, chosen, name, member) for name, member in members]
            fits += [replace(fit, table=info) for fit in made]
            allocations += [a for a in map(surface_allocation, made) if a is not None]
    for name, member in members:
        if "isoflop" in approaches:
            found = isoflop.Options(minimum, edge, chosen.bootstrap, chosen.interval, chosen.seed)
            allocations.append(isoflop.isoflop_allocation(train, found, name, member))
    provenance: dict[str, Any] = {
        "versions": versions("numpy", "scipy", "pandas"),
        "command": command,
        "seed": chosen.seed,
        "bootstrap": chosen.bootstrap,
        "interval": chosen.interval,
        "minimum": minimum,
    }
    return Fits(tuple(fits), tuple(allocations), info, provenance)


def needs_a_loss(laws: Sequence[str | Law], response: str | None) -> bool:
    """Whether a table must have a loss to be fitted by these laws."""
    if response is not None or not laws:
        return response in (None, "loss")
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
    return Fits(fits, tuple(allocations), parts[0].table, parts[0].provenance)


def table_info(table: RunsTable) -> dict[str, Any]:
    """Return the ``table`` block of ``fit.json``."""
    return {
        "file": table.file,
        "sha256": table.sha256,
        "rows": len(table),
        "used": int(table.used.sum()),
        "convention": table.convention,
        "columns": {name: vars(reading) for name, reading in table.columns.items()},
        "dropped": [vars(item) for item in table.dropped],
        "messages": [m.as_dict() for m in table.messages],
    }
