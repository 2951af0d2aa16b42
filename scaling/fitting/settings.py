"""What a reader must know of the optimiser and the intervals to make a fit again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scaling.fitting import estimate, intervals, seeds, solve
from scaling.fitting.options import Options
from scaling.fitting.result import Fit

NAME = "damped Newton within bounds, analytic derivatives, structured secant update"
GRID = "nodes over the non-linear parameters, linear ones solved at each; the best are refined"

DRAWN = "draws of weighted laws"  # of `auto`, which resamples nothing


def solver_settings() -> dict[str, Any]:
    """Name, grid of starts and tolerances of the solver, as fits use it."""
    return {
        "name": NAME,
        "grid": GRID,
        "nodes": seeds.MAX_NODES,
        "starts": estimate.STARTS,
        "starts_many_parameters": estimate.MANY_STARTS,
        "tolerance": solve.DECREMENT_TOLERANCE,
        "iterations": estimate.MAIN_ITERATIONS,
        "replicate": {
            "starts": intervals.STARTS,
            "tolerance": intervals.TOLERANCE,
            "iterations": solve.MAX_ITERATIONS,
        },
    }


def resampling(options: Options, fits: Sequence[Fit]) -> dict[str, Any]:
    """How replicates were made, how many were asked for of each fit, and how many were lost."""
    made = [fit.interval for fit in fits if fit.interval is not None]
    drawn = bool(fits) and all(fit.members for fit in fits)
    method = DRAWN if drawn else options.method
    return {
        "method": method if options.bootstrap else None,
        "replicates": options.bootstrap,
        "failed": sum(interval.failed for interval in made),
        "resampled": sorted({interval.cluster for interval in made}),
    }


def joined(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Add up the resampling of several analyses; the method is that of the first."""
    return parts[0] | {
        "failed": sum(part["failed"] for part in parts),
        "resampled": sorted({name for part in parts for name in part["resampled"]}),
    }
