"""Designs: which cells (budget, N, D, seed) a study asks for, before shapes are solved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling.planning.study import DesignSection


@dataclass(frozen=True)
class Cell:
    """A requested run: N [parameters] with either a budget [FLOP] or D [tokens]."""

    N: float
    budget: float | None
    D: float | None
    seed: int


def cells(design: DesignSection) -> list[Cell]:
    """Enumerate the cells of a design in the order (budget, N, D, seed)."""
    return _isoflop(design) if design.kind == "isoflop" else _grid(design)


def _isoflop(design: DesignSection) -> list[Cell]:
    smallest = min(design.budgets)
    out = []
    for budget in sorted(set(design.budgets)):
        seeds = design.seeds
        if budget == smallest and design.seeds_at_smallest is not None:
            seeds = design.seeds_at_smallest
        for size in sizes_at(design, budget):
            out += [Cell(size, budget, None, seed) for seed in range(seeds)]
    return out


def sizes_at(design: DesignSection, budget: float) -> list[float]:
    """Sizes at a budget: those listed, or evenly spaced in ln N around the prior optimum."""
    if not isinstance(design.sizes, int):
        return sorted(set(design.sizes))
    assert design.center is not None
    center = design.center.N * (budget / design.center.C) ** design.center.exponent
    steps = np.linspace(-1.0, 1.0, design.sizes)
    return [float(center * design.span**step) for step in steps]


def _grid(design: DesignSection) -> list[Cell]:
    smallest = min(design.params), min(design.data)
    out = []
    for size in sorted(set(design.params)):
        for tokens in sorted(set(design.data)):
            seeds = design.seeds
            if (size, tokens) == smallest and design.seeds_at_smallest is not None:
                seeds = design.seeds_at_smallest
            out += [Cell(size, None, tokens, seed) for seed in range(seeds)]
    return out
