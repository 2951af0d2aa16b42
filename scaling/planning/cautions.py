"""What a reader of a plan must know before anything is spent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Message, counted
from scaling.planning.point import Point
from scaling.planning.sections import Study

Array = NDArray[np.float64]
Believed = Callable[[Array], Array]
FEW_STEPS = 200
FEW_SIZES = 5
BUDGET_TOLERANCE = 0.02
OFF_SIZE, FAR_OFF = 0.1, 0.3


def cautions(
    study: Study,
    points: Sequence[Point],
    dropped: Sequence[Mapping[str, Any]],
    asked_for: Mapping[str, float],
    believed: Believed | None,
) -> list[Message]:
    """Collect the warnings of a plan.

    Parameters
    ----------
    study : Study
    points : sequence of Point
    dropped : sequence of mapping
    asked_for : mapping
        N that was asked for, by point id.
    believed : callable or None
        The N believed to be optimal at budgets.
    """
    assert study.design is not None
    return [
        *_dropped(dropped),
        *_short(points),
        *_repeated(points),
        *_few_sizes(points),
        *_off_budget(points),
        *_off_size(points, asked_for),
        *_not_bracketed(points, believed),
        *_one_ratio(points),
        *_target(study, points),
    ]


def _dropped(dropped: Sequence[Mapping[str, Any]]) -> list[Message]:
    if not dropped:
        return []
    return [
        Message("SC202", f"{counted(len(dropped), 'cell')} left out; first: {dropped[0]['why']}.")
    ]


def _short(points: Sequence[Point]) -> list[Message]:
    short = [p.steps for p in points if p.steps < FEW_STEPS]
    if not short:
        return []
    text = f"{counted(len(short), 'point')} with fewer than {FEW_STEPS} steps; fewest {min(short)}."
    return [Message("SC203", text)]


def _repeated(points: Sequence[Point]) -> list[Message]:
    repeated = [p.epochs for p in points if p.epochs > 1]
    if not repeated:
        return []
    text = (
        f"{counted(len(repeated), 'point')} with repeated data, up to {max(repeated):.2g} epochs."
    )
    return [Message("SC204", text)]


def _sizes(points: Sequence[Point]) -> dict[float, list[int]]:
    """Distinct N of each planned budget, both in growing order."""
    found: dict[float, set[int]] = {}
    for p in points:
        if p.budget is not None:
            found.setdefault(p.budget, set()).add(p.N)
    return {budget: sorted(found[budget]) for budget in sorted(found)}


def _few_sizes(points: Sequence[Point]) -> list[Message]:
    few = [budget for budget, sizes in _sizes(points).items() if len(sizes) < FEW_SIZES]
    if not few:
        return []
    text = f"{counted(len(few), 'budget')} with fewer than {FEW_SIZES} sizes: "
    return [Message("SC205", text + _some(few) + ".")]


def _off_budget(points: Sequence[Point]) -> list[Message]:
    off = [abs(p.C / p.budget - 1) for p in points if p.budget]
    wide = [x for x in off if x > BUDGET_TOLERANCE]
    if not wide:
        return []
    text = f"{counted(len(wide), 'point')} off the budget by up to {max(wide):.1%} because D "
    return [Message("SC207", text + "is a whole number of steps.")]


def _off_size(points: Sequence[Point], asked_for: Mapping[str, float]) -> list[Message]:
    off = [abs(p.N / asked_for[p.id] - 1) for p in points]
    wide = [x for x in off if x > OFF_SIZE]
    if not wide:
        return []
    text = (
        f"{len(wide)} of {len(off)} points have an N that is off by up to {max(wide):.0%}, since "
        "shapes are whole numbers; D and C follow the N that is trained."
    )
    mend = "[model] tolerance leaves them out; another rule has finer steps"
    return [Message("SC227", text, "warning" if max(wide) > FAR_OFF else "info", mend=mend)]


def _not_bracketed(points: Sequence[Point], believed: Believed | None) -> list[Message]:
    """Budgets whose believed optimum is not strictly inside their sizes."""
    sizes = _sizes(points)
    if believed is None or not sizes:
        return []
    best = believed(np.array(list(sizes)))
    out = [
        f"{budget:.3g} (N* {n:.3g}, sizes {own[0]} to {own[-1]})"
        for (budget, own), n in zip(sizes.items(), best, strict=True)
        if not own[0] < n < own[-1]
    ]
    if not out:
        return []
    text = f"The optimum believed before lies outside the sizes at {counted(len(out), 'budget')}: "
    return [Message("SC231", text + "; ".join(out[:3]) + ("; …" if len(out) > 3 else "") + ".")]


def _one_ratio(points: Sequence[Point]) -> list[Message]:
    """All runs on one ray D = r N: the two exponents cannot be told apart."""
    ratios = np.array([p.D / p.N for p in points])
    sizes = {p.N for p in points}
    if len(sizes) < 3 or ratios.max() / ratios.min() > 1.3:
        return []
    text = (
        f"All runs have D/N between {ratios.min():.3g} and {ratios.max():.3g}: N and D grow "
        "together, so no fit can tell what either does alone."
    )
    return [Message("SC230", text)]


def _target(study: Study, points: Sequence[Point]) -> list[Message]:
    target = study.study.target_flops
    largest = max(p.C for p in points)
    if target is None or target > largest:
        return []
    smallest = min(p.C for p in points)
    where = "below all runs" if target < smallest else "inside the runs"
    text = f"The target of {target:.3g} FLOP lies {where} ({smallest:.3g} to {largest:.3g} FLOP): "
    text += "a run of that size answers it for less than this plan costs."
    mend = f"a target above {largest:.3g}, or a plan that ends below {target:.3g}"
    return [Message("SC233", text, mend=mend)]


def _some(values: Sequence[float], most: int = 8) -> str:
    shown = ", ".join(f"{v:.3g}" for v in values[:most])
    return shown + (", …" if len(values) > most else "")
