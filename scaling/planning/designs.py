"""Designs: which cells (budget, N, D, seed) a study asks for, before shapes are solved.

========== ==================================================================================
kind       cells
========== ==================================================================================
isoflop    ``sizes`` at each of ``budgets``: listed, or evenly in ln N over a factor ``span`` on
           either side of the optimum that is believed (``center``, or the prior's)
grid       every pair of two of ``params``, ``data`` and ``budgets``; with all three, the pairs
           (N, D) whose compute is one of the budgets
ladder     ``params`` (or the optima of ``budgets``), each for ``multipliers`` times its
           compute-optimal D (``ratio`` N, or as ``center`` or the prior says)
l-shape    every N at one D and every D at one N, of ``params`` and ``data``; the arms meet in
           the ``corner`` of the smallest or largest of both
sobol      ``count`` points that fill a ``box`` of two or three of N, D and C evenly in the
           logarithm (Sobol 1967)
ratio      ``params`` with D = ``ratio`` N: cheap, and it identifies no law
points     the ``points`` [N, D] or [N, D, seeds] themselves
optimal    at most ``count`` runs for ``budget`` FLOP inside a ``box``, chosen for a ``decision``
           (`scaling.planning.choosing.optimal`)
========== ==================================================================================

Every kind takes ``extra`` points, which no budget scales or counts; all but the optimal one take
``seeds`` and ``seeds_at_smallest``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from scaling.errors import Fault, PlanError
from scaling.planning.sections import Box, DesignSection
from scaling.planning.sizes import Sizes

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
ON_BUDGET = 0.25  # how far C of a pair (N, D) may be off a listed budget
MOST_TRIES = 2**20
MOST_POINTS = 1_000_000


@dataclass(frozen=True)
class Cells:
    """Requested runs, as columns; all arrays have shape (k,).

    Attributes
    ----------
    N, D, budget : ndarray
        Parameters, units of data, planned FLOP; NaN where one follows from the others.
    seed : ndarray of int
    factor : ndarray
        What the recipe's learning rate is multiplied by.
    left_out : tuple of (N, D, why)
        What the design itself could not place.
    """

    N: Array
    D: Array
    budget: Array
    seed: Ints
    factor: Array
    left_out: tuple[tuple[float, float, str], ...] = ()

    def __len__(self) -> int:
        return len(self.N)

    def taken(self, index: Ints) -> Cells:
        """Return some of the cells."""
        return Cells(
            self.N[index],
            self.D[index],
            self.budget[index],
            self.seed[index],
            self.factor[index],
        )


@dataclass(frozen=True)
class Ground:
    """What a design stands on.

    Attributes
    ----------
    sizes : Sizes
    optimum : callable or None
        The N believed to be optimal at budgets C, shape (m,); None if nothing is believed.
    choose : callable or None
        Chooses the runs of an optimal design; see `scaling.planning.choosing.optimal`.
    """

    sizes: Sizes
    optimum: Callable[[Array], Array] | None
    choose: Callable[[], tuple[Array, Array, Ints]] | None = None

    def believed(self, budgets: Array) -> Array:
        """Return the believed optimum.

        Raises
        ------
        PlanError
            SC012 if there is none.
        """
        if self.optimum is None:
            raise PlanError(
                Fault(
                    "SC012",
                    "[design] center",
                    "missing",
                    "a prior for the optimum, such as center = {N = 1.3e4, C = 2e10}",
                    "or give a [prior], or list sizes",
                )
            )
        return self.optimum(budgets)


Triple = tuple[Array, Array, Array, Ints]  # N, D, budget, seeds of each cell


def cells(design: DesignSection, ground: Ground) -> Cells:
    """Enumerate the cells of a design in the order (budget, N, D, seed).

    Raises
    ------
    PlanError
        SC012 if the design needs what is not given or is far too large; SC232 for a grid that
        contradicts itself.
    """
    left_out: tuple[tuple[float, float, str], ...] = ()
    if design.kind == "grid" and design.params and design.data and design.budgets:
        (size, data, budget, seeds), left_out = _on_budgets(design, ground)
    else:
        size, data, budget, seeds = _KINDS[design.kind](design, ground)
    repeat = np.maximum(seeds, np.where(_smallest(size, data, budget), _at_smallest(design), 0))
    size, data, budget, repeat = _with_extra(design, size, data, budget, repeat)
    _check_count(float(repeat.sum()))
    index = np.repeat(np.arange(len(size)), repeat)
    seed = np.arange(len(index)) - np.repeat(np.cumsum(repeat) - repeat, repeat)
    return Cells(size[index], data[index], budget[index], seed, np.ones(len(index)), left_out)


def _check_count(points: float) -> None:
    """Refuse a design that no machine could hold."""
    if points > MOST_POINTS:
        expected = f"at most {MOST_POINTS:,}"
        raise PlanError(Fault("SC012", "[design]", f"asks for {points:.4g} points", expected))


def _at_smallest(design: DesignSection) -> int:
    return design.seeds_at_smallest or 0


def _smallest(size: Array, data: Array, budget: Array) -> NDArray[np.bool_]:
    """Cells of the smallest budget, or those of the least N D where no budget is planned."""
    if np.isfinite(budget).any():
        return np.asarray(budget == np.nanmin(budget))
    work = size * data
    return np.asarray(work == work.min())


def _with_extra(
    design: DesignSection, size: Array, data: Array, budget: Array, seeds: Ints
) -> Triple:
    if not design.extra:
        return size, data, budget, seeds
    more_n, more_d, more_c, more_s = _listed(design.extra, design.seeds)
    return (
        np.concatenate([size, more_n]),
        np.concatenate([data, more_d]),
        np.concatenate([budget, more_c]),
        np.concatenate([seeds, more_s]),
    )


def _listed(points: Sequence[Sequence[float]], seeds: int) -> Triple:
    size, data = (np.array([p[i] for p in points], dtype=np.float64) for i in (0, 1))
    own = np.array([round(p[2]) if len(p) > 2 else seeds for p in points], dtype=np.int64)
    return size, data, np.full(len(size), np.nan), own


def _levels(values: Sequence[float]) -> Array:
    return np.array(sorted(set(values)), dtype=np.float64)


def _pairs(first: Array, second: Array) -> tuple[Array, Array]:
    _check_count(float(len(first)) * len(second))
    return np.repeat(first, len(second)), np.tile(second, len(first))


def _plain(design: DesignSection, size: Array, data: Array, budget: Array) -> Triple:
    return size, data, budget, np.full(len(size), design.seeds, dtype=np.int64)


# ----------------------------------------------------------------------------------------- kinds


def _isoflop(design: DesignSection, ground: Ground) -> Triple:
    budgets = _levels(design.budgets)
    if isinstance(design.sizes, int):
        steps = np.linspace(-1.0, 1.0, design.sizes)
        size = (ground.believed(budgets)[:, None] * design.span**steps).ravel()
        budget = np.repeat(budgets, design.sizes)
    else:
        budget, size = _pairs(budgets, _levels(design.sizes))
    return _plain(design, size, np.full(len(size), np.nan), budget)


def _grid(design: DesignSection, ground: Ground) -> Triple:
    size, data, budget = (_levels(v) for v in (design.params, design.data, design.budgets))
    if not len(budget):
        first, second = _pairs(size, data)
        return _plain(design, first, second, np.full(len(first), np.nan))
    if not len(data):
        level, own = _pairs(budget, size)
        return _plain(design, own, np.full(len(own), np.nan), level)
    level, amount = _pairs(budget, data)
    return _plain(design, ground.sizes.size_at(level / amount), amount, level)


def _on_budgets(
    design: DesignSection, ground: Ground
) -> tuple[Triple, tuple[tuple[float, float, str], ...]]:
    """Pairs of a grid whose compute is one of the budgets; the others are left out."""
    size, data = _pairs(_levels(design.params), _levels(design.data))
    budgets = _levels(design.budgets)
    compute = size * 0.0 + ground.sizes.flops_at(size) * data
    nearest = np.abs(np.log(compute[:, None] / budgets)).argmin(axis=1)
    level = budgets[nearest]
    on = np.abs(compute / level - 1.0) <= ON_BUDGET
    if not on.any():
        closest = int(np.abs(np.log(compute / level)).argmin())
        raise PlanError(
            Fault(
                "SC232",
                "[design] params, data, budgets",
                f"no pair (N, D) costs one of the budgets; the nearest, N = {size[closest]:.3g} "
                f"and D = {data[closest]:.3g}, costs {compute[closest]:.3g} FLOP",
                f"a pair within {ON_BUDGET:.0%} of a budget",
                "leave one of the three lists out: it follows from the other two",
            )
        )
    left = tuple(
        (float(n), float(d), f"its {c:.3g} FLOP are none of the budgets (nearest {b:.3g})")
        for n, d, c, b in zip(size[~on], data[~on], compute[~on], level[~on], strict=True)
    )
    chosen = size[on], data[on], level[on], np.full(int(on.sum()), design.seeds, dtype=np.int64)
    return chosen, left


def _ladder(design: DesignSection, ground: Ground) -> Triple:
    size = _levels(design.params) if design.params else ground.believed(_levels(design.budgets))
    best = design.ratio * size if design.ratio is not None else _best_data(size, ground)
    own, times = _pairs(size, _levels(design.multipliers))
    data = np.repeat(best, len(set(design.multipliers))) * times
    return _plain(design, own, data, np.full(len(own), np.nan))


def _best_data(size: Array, ground: Ground) -> Array:
    """D at which a size is the believed optimum: the optimum as a function of C, inverted."""
    flops = ground.sizes.flops_at(size)
    grid = np.geomspace(float((flops * size).min()) * 1e-3, float((flops * size).max()) * 1e6, 400)
    optimum = np.log(ground.believed(grid))
    rising = np.maximum.accumulate(optimum) + 1e-12 * np.arange(len(grid))
    return np.exp(np.interp(np.log(size), rising, np.log(grid))) / flops


def _l_shape(design: DesignSection, ground: Ground) -> Triple:
    del ground
    size, data = _levels(design.params), _levels(design.data)
    end = 0 if design.corner == "small" else -1
    others = np.delete(data, end)
    own = np.concatenate([size, np.full(len(others), size[end])])
    amount = np.concatenate([np.full(len(size), data[end]), others])
    return _plain(design, own, amount, np.full(len(own), np.nan))


def _sobol(design: DesignSection, ground: Ground) -> Triple:
    assert design.box is not None
    box = design.box
    tries = 1 << max(3, (4 * design.count - 1).bit_length())
    while True:
        size, data = _fill(box, ground.sizes, tries)
        if len(size) >= design.count or tries >= MOST_TRIES:
            break
        tries *= 4
    if len(size) < design.count:
        raise PlanError(
            Fault(
                "SC232",
                "[design] box",
                f"holds {len(size)} of {design.count} points",
                "ranges of N, D and C that overlap: C is about 6 N D",
                "widen a range, or leave out the one that follows from the others",
            )
        )
    size, data = size[: design.count], data[: design.count]
    return _plain(design, size, data, np.full(len(size), np.nan))


def _fill(box: Box, sizes: Sizes, tries: int) -> tuple[Array, Array]:
    """Sobol points in the plane of two ranges that lie in the third."""
    unit = qmc.Sobol(2, scramble=False).random(tries) + 0.5 / tries
    ranges = {name: getattr(box, name) for name in ("N", "D", "C")}
    known = [name for name in ("N", "D", "C") if ranges[name] is not None][:2]
    axes = {}
    for column, name in enumerate(known):
        low, high = np.log(ranges[name])
        axes[name] = np.exp(low + (high - low) * unit[:, column])
    if "C" not in axes:
        size, data = axes["N"], axes["D"]
    elif "N" in axes:
        size = axes["N"]
        data = axes["C"] / sizes.flops_at(size)
    else:
        data = axes["D"]
        size = sizes.size_at(axes["C"] / data)
    inside = np.ones(len(size), dtype=bool)
    found = {"N": size, "D": data, "C": sizes.flops_at(size) * data}
    for name, limits in ranges.items():
        if limits is not None:
            near = 1.0 + 1e-9
            inside &= (found[name] >= limits[0] / near) & (found[name] <= limits[1] * near)
    return size[inside], data[inside]


def _ratio(design: DesignSection, ground: Ground) -> Triple:
    del ground
    assert design.ratio is not None
    size = _levels(design.params)
    return _plain(design, size, design.ratio * size, np.full(len(size), np.nan))


def _points(design: DesignSection, ground: Ground) -> Triple:
    del ground
    return _listed(design.points, design.seeds)


def _optimal(design: DesignSection, ground: Ground) -> Triple:
    assert ground.choose is not None
    del design
    size, data, seeds = ground.choose()
    return size, data, np.full(len(size), np.nan), seeds


_KINDS: dict[str, Callable[[DesignSection, Ground], Triple]] = {
    "isoflop": _isoflop,
    "grid": _grid,
    "ladder": _ladder,
    "l-shape": _l_shape,
    "sobol": _sobol,
    "ratio": _ratio,
    "points": _points,
    "optimal": _optimal,
}
