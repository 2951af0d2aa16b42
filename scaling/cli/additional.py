"""What to run next: stored beside a fit, so that a report can say it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling.fitting.result import Fit, Fits
    from scaling.planning.additions import Suggestions
    from scaling.runs.table import RunsTable

MOST_ROWS = 20_000  # runs above which choosing takes seconds


def next_in(out: Path) -> dict[str, Any]:
    """Runs to add to a study's folder, as ``scaling sweep suggest OUT`` names them."""
    from scaling.planning.suggest import suggest

    return _stored(lambda: suggest(out), _command(out))


def next_of(
    source: Path, table: RunsTable, fits: Fits, target: float | None, group: str | None = None
) -> dict[str, Any]:
    """Runs to add to a table, from the first fit of N and D that has draws.

    Of a table with very many runs only the command is named that chooses them. Of several groups,
    by the column `group`, only the runs of that fit count; its name is in the result.
    """
    from scaling.fitting.inputs import groups
    from scaling.planning.suggest import suggest_for

    command = _command(source)
    if int(table.used.sum()) > MOST_ROWS:
        return _refused(f"more than {MOST_ROWS} runs: choosing takes a while", None, command)
    fit = _first(fits)
    if fit is None or (fit.identified and not fit.draws):
        why = "no law of N and D" if fit is None else "no bootstrap, so no errors to reduce"
        if fit is None and any(f.members for f in fits.fits):
            why = "runs are chosen by one law of N and D, and none was fitted beside auto"
        return _refused(why, None, command)
    members = dict(groups(table, group)).get(fit.group, table.used)
    own = table.leave_out(members, "SC120", f"not of {fit.group}")
    alone = replace(fit, group=None)
    found = _stored(lambda: suggest_for(own, alone, source=source, target=target), command)
    return found if fit.group is None else {"group": fit.group, **found}


def _first(fits: Fits) -> Fit | None:
    """The fit that suggestions follow from."""
    fitted = [f for f in fits.fits if not f.members]  # several laws have no errors in common
    surfaces = [f for f in fitted if set(f.law.variables) == {"N", "D"} and f.response == "loss"]
    good = [f for f in surfaces if f.identified and f.draws]
    return next(iter([*good, *surfaces]), None)


def _command(source: Path) -> str:
    shown = source.name if source.is_absolute() else str(source)
    return f"scaling sweep suggest {shlex.quote(shown)}"


def _stored(choose: Callable[[], Suggestions], command: str) -> dict[str, Any]:
    from scaling.errors import ScalingError

    try:
        found = choose()
    except ScalingError as error:
        fault = error.faults[0]
        needed = f"; needed: {fault.expected}" if fault.expected else ""
        reason = f"{fault.found or fault.where}{needed}"
        return _refused(reason, fault.code, command)
    except (ArithmeticError, ValueError) as error:  # it never fails a fit that is done
        return _refused(f"{type(error).__name__}: {error}", None, command)
    data = found.as_dict()
    return {
        "decision": "all",
        "target": found.target,
        "belief": found.belief,
        "spent": found.spent,
        "budget": found.budget,
        "cost": found.cost,
        "runs": [{"N": a.N, "D": a.D, "C": a.C, "repeats": a.runs} for a in found.chosen],
        "menu": data["menu"],
        "se": data["se"],
        "gain": _gain(found.before, found.after),
        "messages": data["messages"],
        "command": command,
    }


def _gain(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float | None]:
    """Share by which each standard error falls; None where it was not determined."""
    return {
        name: float(f"{1.0 - after[name] / value:.4g}") if math.isfinite(value) and value else None
        for name, value in before.items()
    }


def _refused(reason: str, code: str | None, command: str) -> dict[str, Any]:
    return {"runs": [], "reason": reason, "code": code, "command": command}
