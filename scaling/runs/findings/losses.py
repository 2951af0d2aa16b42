"""Losses that are another quantity, runs that diverged, and losses far from their neighbours."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from scaling.errors import Message
from scaling.runs.columns import COLUMNS
from scaling.runs.findings.view import Array, View

TOO_MUCH = 12.0  # nats per token: more than the logarithm of any vocabulary
_SPREADS, _LEAST, _DIVERGED = 8.0, 0.03, math.log(1.5)
_SAMPLE = 20_000
_FEW = 4


def too_little(view: View) -> Iterator[Message]:
    """Too few runs, or no variation, for any fit."""
    used = int(view.table.used.sum())
    if used < _FEW:
        said = "Only 1 run enters" if used == 1 else f"Only {used} runs enter"
        text = f"{said} a fit: laws have more parameters than that"
        yield view.say("SC401", text, None, "", "warning")
    loss = view.numbers("loss")
    if view.own("loss") and used > 2 and np.nanmax(loss) == np.nanmin(loss):
        yield view.say("SC122", f"All losses are {np.nanmax(loss):.6g}: nothing to fit")


def levels(view: View) -> Iterator[Message]:
    """Losses too large or too small for nats per token."""
    if not view.own("loss"):
        return
    loss = view.numbers("loss")
    reading = view.table.columns["loss"]
    if reading.unit != COLUMNS["loss"].unit:
        return
    median, top = float(np.nanmedian(loss)), float(np.nanmax(loss))
    if median > TOO_MUCH:
        text = f"The median loss is {median:.4g}, too much for nats per token: a perplexity?"
        yield view.say("SC122", text, None, view.map("loss", "log({})"))
    elif top > TOO_MUCH:
        text = f"Losses up to {top:.4g} where the median is {median:.3g}: these runs diverged?"
        mend = 'status = diverged keeps them out of fits; so does --where "loss < 12"'
        yield view.say("SC134", text, loss > TOO_MUCH, mend)
    elif median < 0.5 and top <= 1.0 and reading.header is not None:
        text = f"The median loss is {median:.3g}: an error rate or another loss than nats per token"
        yield view.say("SC122", text, None, "", "info")


def rising(view: View) -> Iterator[Message]:
    """A loss that grows with every resource is a score."""
    if not view.own("loss"):
        return
    loss = view.numbers("loss")
    for column in ("C", "D", "N"):
        x = view.numbers(column)
        known = ~np.isnan(x) & ~np.isnan(loss)
        if known.sum() < 8 or len(np.unique(x[known])) < 3:
            continue
        step = max(1, int(known.sum()) // _SAMPLE)
        ranks = pd.DataFrame({"x": x[known][::step], "y": loss[known][::step]}).rank()
        steady = float(ranks["y"].std()) > 0
        if steady and float(np.corrcoef(ranks["x"], ranks["y"])[0, 1]) > 0.5:
            text = f"The loss rises with {column}: an accuracy or another score taken for a loss"
            yield view.say("SC133", text, None, view.map("loss", "1 - {}"))
        return


def far_from_neighbours(view: View) -> Iterator[Message]:
    """Losses far from a smooth surface through the rows of their group."""
    axes = [c for c in ("N", "D", "C") if c in view.table.frame][:2]
    axes += ["D_unique"] if view.own("D_unique") else []  # repeated data raise losses
    if not axes or not view.own("loss"):
        return
    loss = view.numbers("loss")
    x = np.column_stack([np.log(view.numbers(c)) for c in axes])
    known = ~np.isnan(loss) & ~np.isnan(x).any(axis=1)
    labels = view.labels()
    above = np.zeros(len(loss), dtype=bool)
    far = above.copy()
    worst = {True: 0.0, False: 0.0}
    for label in np.unique(labels[known])[:100]:
        at = np.flatnonzero(known & (labels == label))
        residual = _residuals(x[at], np.log(loss[at]))
        spread = 1.4826 * float(np.median(np.abs(residual)))
        chosen = np.abs(residual) > max(_SPREADS * spread, _LEAST)
        if not 0 < chosen.sum() <= 0.1 * len(at):
            continue
        high = chosen & (residual > _DIVERGED)
        for mask, kind in ((high, True), (chosen & ~high, False)):
            if mask.any():
                worst[kind] = _worse(worst[kind], residual[mask])
        above[at[high]] = True
        far[at[chosen & ~high]] = True
    if above.any() and not (loss > TOO_MUCH).any():
        text = f"Up to {100 * math.expm1(worst[True]):+.0f}% above the neighbours: diverged runs?"
        mend = "status = diverged keeps such runs out of fits and in the table"
        yield view.say("SC134", text, above, mend)
    if far.any():
        count = int(far.sum())
        text = f"{count} loss{'es lie' if count > 1 else ' lies'} far from the neighbours, up to "
        text += f"{100 * math.expm1(worst[False]):+.0f}% in loss; kept"
        mend = "look at these runs; --where leaves them out by a reason of yours"
        yield view.say("SC128", text, far, mend, "info")


def _worse(worst: float, residuals: Array) -> float:
    top = float(residuals[np.argmax(np.abs(residuals))])
    return top if abs(top) > abs(worst) else worst


def _residuals(x: Array, y: Array) -> Array:
    """Residuals of a quadratic in `x`, shape (n, p), by least absolute deviations."""
    spread = x.std(axis=0)
    z = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    columns = [np.ones(len(z)), *z.T]
    for i in range(z.shape[1]):
        columns += [z[:, i] * z[:, j] for j in range(i, z.shape[1])]
    design = np.column_stack(columns)
    if len(design) < design.shape[1] + 8:
        return np.zeros(len(y))
    step = max(1, len(y) // _SAMPLE)
    part, target = design[::step], y[::step]
    weights = np.ones(len(target))
    for _ in range(20):
        root = np.sqrt(weights)
        found = np.linalg.lstsq(part * root[:, None], target * root, rcond=None)[0]
        weights = 1.0 / np.maximum(np.abs(target - part @ found), 1e-4)
    out: Array = y - design @ found
    return out
