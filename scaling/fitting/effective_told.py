"""What a reader must be told of effective data: of the reference, of its cells, of the slopes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling.errors import Message
from scaling.fitting.effective_cells import BEYOND, Cells, Reference
from scaling.fitting.effective_curve import Runs
from scaling.fitting.effective_text import between, many
from scaling.fitting.spread import spread_about

FAR = float(np.log(3.0))  # beyond the reference's data, from which extrapolation is warned of
FEW_CLUSTERS = 6  # of one group, below which its intervals are said to be too narrow
WIDE = 2.0  # of the reference's beta: interval over estimate


def about_reference(reference: Reference) -> list[Message]:
    """What limits the reference's curve."""
    runs, found = reference.runs, reference.found
    text = f"Curve of the reference: {reference.curve.title}, {len(runs)} runs."
    messages = [Message("SC440", text, "info")]
    few = len(np.unique(runs.labels))
    if few < FEW_CLUSTERS and reference.draws:
        text = f"The reference has {many(few, 'independent run')}: intervals are too narrow."
        messages.append(Message("SC412", text))
    beta = found.columns().get("beta")
    if beta is not None and len(beta) > 1:
        tail = 50.0 * (1.0 - reference.level)
        best = found.params["beta"]
        spread = spread_about(best, beta, reference.factor, log=False)
        lo, hi = np.percentile(spread, [tail, 100.0 - tail])
        if hi - lo > WIDE * best:
            text = (
                f"The exponent of the reference's curve is not pinned down ({lo:.2f} to {hi:.2f}): "
                "effective data outside its own range of data are guesses."
            )
            messages.append(Message("SC446", text))
    if not found.certificate["converged"]:
        messages.append(Message("SC408", "The fit of the reference's curve did not converge."))
    return messages


def about_cells(
    reference: Reference,
    cells: Cells,
    rows: Sequence[dict[str, Any]],
    mean: dict[str, Any],
    runs: Runs,
    name: str,
) -> list[Message]:
    """What a reader must know of the cells."""
    messages = []
    reach = [row["reach"] for row in rows]
    low, high = (np.log(r / cells.D) for r in reference.ranges(cells.N))
    beyond = np.maximum(cells.log_ratio - high, low - cells.log_ratio)
    far = np.isfinite(beyond) & (beyond > FAR)
    outside = reach.count("above") + reach.count("below")
    if outside:
        text = (
            f"In {outside} of {len(rows)} cells of {name} the effective data lie outside the "
            "reference's range at that size: they are extrapolated, and labelled."
        )
        messages.append(Message("SC441", text, "warning" if far.any() else "info"))
    lost = reach.count("unbounded")
    if lost:
        text = (
            f"In {lost} of {len(rows)} cells {name} lies below the reference's fitted floor: no "
            "amount of the reference's data gives that, and the effective data have a lower bound "
            "only."
        )
        messages.append(Message("SC442", text))
    if mean["cut"]:
        text = (
            f"{mean['cut']} of {len(rows)} cells of {name} count in the mean as {BEYOND:g} times "
            f"beyond the reference's data and no more; the mean is {mean['bound'] or 'cut both'}"
        )
        messages.append(Message("SC442", text + (" this." if mean["bound"] else " ways.")))
    few = len(np.unique(runs.labels))
    if few < FEW_CLUSTERS and len(cells.draws):
        text = f"{name} has {many(few, 'independent run')}: its intervals are too narrow."
        messages.append(Message("SC412", text))
    return messages


def about_slopes(name: str, found: dict[str, Any]) -> str:
    """Say how the multiplier changes."""
    parts = [
        f"by {slope['slope']:+.2f} ({between(slope['interval'])}) per ln {variable}"
        for variable, slope in found["slopes"].items()
    ]
    return (
        f"One multiplier does not describe {name}: ln m changes {' and '.join(parts)} "
        f"(p = {found['p']:.2g}). Read the multiplier of each cell."
    )
