"""What a study believes before it runs: its prior, and the optimum that sizes are laid around."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scaling import laws
from scaling.errors import ConfigError, Fault
from scaling.laws.cost import SIX_ND, Cost
from scaling.planning.choosing import prior as priors
from scaling.planning.choosing.prior import Noise, Prior, Truth
from scaling.planning.sections import (
    Center,
    DesignSection,
    PriorSection,
    Study,
    TruthSection,
)
from scaling.planning.sizes import Sizes

Array = NDArray[np.float64]
GRID = 600
REACH = np.log(1e4)  # how far beyond the family's sizes an optimum is looked for
EDGE = 0.02  # exponents of a centre are kept this far from 0 and 1 where a law is made of it


def prior_of(
    study: Study, noise: float, fitted: Prior | None = None, cost: Cost = SIX_ND
) -> Prior | None:
    """Return what the study believes of the law; None if it says nothing.

    Parameters
    ----------
    study : Study
    noise : float
        Standard deviation of ln loss where the study gives none: the recipe's.
    fitted : Prior, optional
        What ``[prior] fit`` names, read by the caller.
    cost : Cost
        What C of the centre counts.

    Raises
    ------
    ConfigError
        SC012 for a law or parameters that do not exist.
    PlanError
        SC210 for a law that does not say how to divide compute.
    """
    section, center = study.prior, None if study.design is None else study.design.center
    believed = _noise(section, study, noise)
    if section is not None and section.fit is not None:
        return None if fitted is None else fitted.with_noise(believed)
    if section is not None and section.laws:
        truths = tuple(_truth(t, believed) for t in section.laws)
        return Prior(truths, " + ".join(t.source for t in truths))
    if center is not None:
        share = min(max(center.exponent, EDGE), 1.0 - EDGE)
        return priors.about_center(center.N, center.C, share, noise=believed, cost=cost)
    if section is not None or (study.design is not None and study.design.kind == "optimal"):
        return priors.language_models(noise=believed)
    return None


def _noise(section: PriorSection | None, study: Study, noise: float) -> Noise:
    """Noise at the largest compute that the design names, growing towards smaller runs."""
    if section is None:
        return Noise(noise)
    largest = 1e18 if study.design is None else largest_compute(study.design)
    return Noise(section.noise or noise, section.noise_growth, largest, section.trunk_noise)


def largest_compute(design: DesignSection) -> float:
    """About the largest compute that a design names, by 6ND where it names N and D."""
    pairs = [6.0 * p[0] * p[1] for p in (*design.points, *design.extra)]
    if design.params and design.data:
        pairs.append(6.0 * max(design.params) * max(design.data))
    if design.params and design.ratio is not None:
        pairs.append(6.0 * design.ratio * max(design.params) ** 2)
    if design.box is not None and design.box.C is not None:
        pairs.append(design.box.C[1])
    elif design.box is not None and design.box.N and design.box.D:
        pairs.append(6.0 * design.box.N[1] * design.box.D[1])
    return max([*design.budgets, *pairs], default=1e18)


def _truth(section: TruthSection, noise: Noise) -> Truth:
    if (section.published is None) == (section.law is None):
        raise ConfigError(
            Fault(
                "SC012",
                "[prior] laws",
                "needs either published or law",
                'published = "hoffmann-2022", or law = "chinchilla" with params = {...}',
            )
        )
    if section.published is not None and section.params:
        found = f"params beside published = {section.published}"
        expected = "published values as they are, or law and params"
        raise ConfigError(Fault("SC012", "[prior] laws", found, expected))
    if section.published is not None:
        made = priors.published(section.published, noise=noise).truths[0]
    else:
        assert section.law is not None
        made = priors.explicit(laws.get(section.law), section.params, noise).truths[0]
    return replace(made, weight=section.weight)


def optimum_of(
    center: Center | None, prior: Prior | None, sizes: Sizes
) -> Callable[[Array], Array] | None:
    """Return the N believed to be optimal at budgets, as a function; None if nothing is believed.

    A centre is taken as it is given. Otherwise each truth's loss is minimised along the budget with
    what a token really costs at each N, head and attention included, and the truths' ln N* are
    averaged by their weights.
    """
    if center is not None:
        return lambda budgets: center.N * (budgets / center.C) ** center.exponent
    if prior is None:
        return None

    def optimum(budgets: Array) -> Array:
        found = [_along(truth, sizes, budgets) for truth in prior.truths]
        return np.asarray(np.exp(prior.weights @ np.stack(found)))

    return optimum


def _along(truth: Truth, sizes: Sizes, budgets: Array) -> Array:
    """Where a truth's loss is lowest along each budget: ln N, refined by a parabola."""
    ends = np.log(sizes.N[[0, -1]]) + np.array([-REACH, REACH])
    grid = np.linspace(ends[0], ends[1], GRID)
    size = np.exp(grid)
    data = budgets[:, None] / sizes.flops_at(size)
    with np.errstate(all="ignore"):
        loss = np.asarray(truth.law.loss(truth.params, {"N": size, "D": data}))
    loss = np.where(np.isfinite(loss) & (data >= 1.0), loss, np.inf)
    k = np.clip(loss.argmin(axis=1), 1, GRID - 2)
    rows = np.arange(len(budgets))
    before, at, after = (loss[rows, k + j] for j in (-1, 0, 1))
    bend = before - 2.0 * at + after
    with np.errstate(all="ignore"):
        shift = np.where(np.isfinite(bend) & (bend > 0), 0.5 * (before - after) / bend, 0.0)
    return np.asarray(grid[k] + np.clip(shift, -1.0, 1.0) * (grid[1] - grid[0]))
