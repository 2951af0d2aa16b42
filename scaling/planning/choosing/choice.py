"""Candidate runs of a study, and the choice among them for a decision."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Fault, Message, PlanError
from scaling.laws.cost import SIX_ND, Cost
from scaling.planning.choosing.candidates import Candidates
from scaling.planning.choosing.information import pooled
from scaling.planning.choosing.optimal import Optimal, optimal
from scaling.planning.choosing.prior import Prior
from scaling.planning.costing.pricing import Pricing
from scaling.planning.designs import Cells
from scaling.planning.resolve import Asked, Laid, lay
from scaling.planning.sections import Box, DesignSection

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
SIZES, LENGTHS = 28, 56  # levels of N and of D that candidates are laid on
CHEAPEST, DEAREST = 1e-4, 0.25  # share of the budget that one run may cost
FEWEST_STEPS = 200  # of a candidate: shorter runs are told by their schedule
REPEATS = 3  # most seeds of one cell
WIDE = 4.0  # how far N and D may be from the believed optimum where a box does not say


_NAMED = {
    "all": "a, N* and the loss together",
    "size": "N*",
    "loss": "the loss",
    "exponent": "a",
}


@dataclass(frozen=True)
class Choice:
    """An optimal design and the candidates that it was chosen from.

    Attributes
    ----------
    laid : Laid
        Candidates that can be points.
    found : Optimal
    decision : str
        What it was chosen for.
    """

    laid: Laid
    found: Optimal
    decision: str

    def cells(self) -> tuple[Array, Array, Ints]:
        """N and D as realised, and the seeds of each chosen run."""
        index = np.asarray(self.found.indices)
        return (
            self.laid.N[index],
            self.laid.D[index].astype(np.float64),
            np.asarray(self.found.replicates, dtype=np.int64),
        )

    def messages(self, prior: Prior | None) -> list[Message]:
        """Say what the choice promises, and how near it is to the best that a choice could do."""
        assert prior is not None
        se = pooled(prior, self.found.predicted)
        text = (
            f"Standard errors to first order, over the prior: a {se['a']:.2g}, ln N* "
            f"{se['ln N*']:.2g}, ln loss {se['ln loss']:.2g}."
        )
        if self.found.efficiency is not None:
            text += f" No choice in the box could have less than {self.found.efficiency:.0%} of "
            text += f"the variance of {_NAMED[self.decision]}."
        return [Message("SC245", text, "info")]


def candidates(asked: Asked, box: Box, span: Array) -> Laid:
    """Lay out every run of a box that can be trained.

    Parameters
    ----------
    asked : Asked
    box : Box
        N, D and C; a range that is missing follows from the other two.
    span : ndarray
        N of the smallest and the largest model where the box names none.

    Raises
    ------
    PlanError
        SC232 if nothing in the box can be trained.
    """
    low, high = span if box.N is None else box.N
    sizes = asked.sizes
    there = sizes.N[_within(sizes.N, low, high)]
    if not len(there):
        raise _empty(f"no shape has N from {low:.3g} to {high:.3g}")
    wanted = np.geomspace(there[0], there[-1], min(SIZES, len(there)))
    size = np.unique(there[np.abs(np.log(wanted[:, None] / there)).argmin(axis=1)])
    flops = sizes.flops_at(size)
    if box.D is not None:
        least, most = box.D
    else:
        assert box.C is not None
        least, most = float(box.C[0] / flops.max()), float(box.C[1] / flops.min())
    lengths = np.geomspace(least, most, LENGTHS)
    n, d = (x.ravel() for x in np.meshgrid(size, lengths, indexing="ij"))
    if box.C is not None:
        inside = _within(sizes.flops_at(n) * d, *box.C)
        n, d = n[inside], d[inside]
    if not len(n):
        raise _empty("its ranges of N, D and C do not overlap")
    none = np.full(len(n), np.nan)
    laid = lay(asked, Cells(n, d, none, np.zeros(len(n), dtype=np.int64), np.ones(len(n))))
    long = np.zeros(0, dtype=bool)
    if laid.settings is not None:
        long = laid.settings.steps[laid.rows] >= FEWEST_STEPS
    if not long.any():
        raise _empty(f"no run in it has {FEWEST_STEPS} steps")
    laid = laid.taken(np.flatnonzero(long))
    both = np.stack([laid.N, laid.D], axis=1)  # close lengths are one once they are whole steps
    return laid.taken(np.sort(np.unique(both, axis=0, return_index=True)[1]))


def _within(values: Array, low: float, high: float) -> NDArray[np.bool_]:
    """Whether values lie in a range, up to rounding."""
    small = 1e-9
    return (values > low * (1.0 - small)) & (values < high * (1.0 + small))


def _empty(found: str) -> PlanError:
    expected = "ranges of N, D and C that overlap: C is about 6 N D"
    return PlanError(Fault("SC232", "[design] box", found, expected, "widen the box"))


def box_of(design: DesignSection, budget: float) -> Box:
    """The box of a design; without one, runs that cost a ten-thousandth to a quarter of all."""
    if design.box is not None:
        return design.box
    return Box(C=[CHEAPEST * budget, DEAREST * budget])


def choose(
    design: DesignSection,
    asked: Asked,
    pricing: Pricing,
    prior: Prior,
    target: float | None,
    cost: Cost = SIX_ND,
) -> Choice:
    """Choose the runs of an optimal design; `cost` is what C counts at the target.

    Raises
    ------
    PlanError
        SC012 without a budget or a target; SC232 for an empty box, SC224 if none of it fits into
        memory; SC211 to SC213.
    """
    budget, unit = budget_of(design)
    if budget is None:
        expected = "budget_flops or budget_gpu_hours, or the option of that name"
        raise PlanError(Fault("SC012", "[design] budget_flops", "missing", expected))
    if target is None:
        expected = "the compute at which N* and the loss are wanted"
        raise PlanError(Fault("SC012", "[study] target_flops", "missing", expected))
    flops = budget if unit == "flops" else _flops_of(design, pricing, budget)
    box = box_of(design, flops)
    cheap = np.array([CHEAPEST, DEAREST]) * flops if box.C is None else np.array(box.C)
    best = [np.exp(prior.weights @ np.log(x)) for x in prior.optimum(cheap, cost)[:2]]
    around = [(float(x[0]) / WIDE, float(x[1]) * WIDE) for x in best]
    box = box.model_copy(update={"D": box.D or list(around[1])})
    laid, _ = pricing.without_too_large(candidates(asked, box, np.array(around[0])))
    runs = _priced(laid, pricing, unit)
    decision = "decision" if design.decision == "all" else design.decision
    found = optimal(prior, runs, budget=budget, target=target, decision=decision, most=design.count,
                    repeats=REPEATS, cost=cost)  # fmt: skip
    return Choice(laid, found, design.decision)


def budget_of(design: DesignSection) -> tuple[float | None, str]:
    """What a design may spend, and in which unit: ``flops`` or ``hours``."""
    if design.budget_gpu_hours is not None:
        return design.budget_gpu_hours, "hours"
    return design.budget_flops, "flops"


def _priced(laid: Laid, pricing: Pricing, unit: str) -> Candidates:
    """Candidates with what each costs alone, and what of it lies on a trunk where there are any."""
    alone = replace(pricing, trunks=False)
    price = alone.compute(laid) if unit == "flops" else alone.hours(laid)
    size, data = laid.N, laid.D.astype(np.float64)
    if not pricing.trunks or laid.settings is None:
        return Candidates(size, data, price)
    stem = 1.0 - laid.settings.decay_steps[laid.rows] / laid.settings.steps[laid.rows]
    return Candidates(size, data, price, laid.members.of[laid.rows], stem * price)


def _flops_of(design: DesignSection, pricing: Pricing, hours: float) -> float:
    """About how much compute the hours buy, at the pace of a run of an hour's compute."""
    device = pricing.device
    if design.box is not None:
        return float(design.box.C[1] / DEAREST) if design.box.C is not None else 1e18
    if device is not None:
        return float(hours * 3600.0 * device.peak * (pricing.engine.mfu or 0.25))
    if pricing.calibration is None:
        return 1e18  # no price: the choice itself says so
    paces = [entry.flops / entry.step for entry in pricing.calibration.shapes.values()]
    return float(hours * 3600.0 * np.median(paces))
