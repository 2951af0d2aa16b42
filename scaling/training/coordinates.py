"""The coordinate check: whether activations keep their size as the width grows.

A learning rate tuned at one width serves another only if a step changes every activation by as
much at both. So a few steps are trained at several widths, and the mean absolute activation of
each layer, and of its change since the start, is followed on one fixed batch. Under width transfer
(muP) the slopes of their logarithms against ln width stay near 0; under the standard
parametrisation changes grow with width.

References
----------
Yang et al. (2022), *Tensor Programs V*, app. D.1 (verifying an implementation by a coordinate
check).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from scaling.errors import Fault, Message, TrainingError
from scaling.training.device import device_of
from scaling.training.trainer import Trainer

SCHEMA = "scaling/coordinates@1"
STEPS = 5
LEAST_WIDTHS = 3
LIMITS = {"size": 0.25, "change": 0.25}  # of |slope|: muP stays below 0.15 here, else 0.7 and more
TINY = 1e-12  # an activation that is 0 has no logarithm: the head's at the start, say


def check_coordinates(
    points: Iterable[Mapping[str, Any]],
    device: str = "auto",
    steps: int = STEPS,
    listener: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Train a few steps at each width, at the full rate, and judge the slopes.

    Parameters
    ----------
    points : iterable of mapping
        Points of a plan that differ in width, and perhaps in seed.
    device : {"auto", "cpu", "cuda"}
    steps : int
        Optimiser steps; warm-up and decay are left out.
    listener : callable, optional
        Called with a line for each finished point.

    Returns
    -------
    dict
        ``schema``; ``rows`` of {width, seed, step, layer, size, change}: mean absolute activation
        and mean absolute change since step 0; ``slopes`` of {layer, quantity, slope, limit,
        passes} at the last step; ``limits``; ``passes``; ``messages`` (SC221 if not).

    Raises
    ------
    TrainingError
        SC306 if the device is not there, SC221 with fewer than 3 widths.
    """
    chosen = device_of(device)
    ordered = sorted(points, key=lambda p: (int(p["shape"]["width"]), int(p["seed"])))
    widths = {int(p["shape"]["width"]) for p in ordered}
    if len(widths) < LEAST_WIDTHS:
        found, expected = f"{len(widths)} widths", f"at least {LEAST_WIDTHS}"
        raise TrainingError(Fault("SC221", "the coordinate check", found, expected))
    rows: list[dict[str, Any]] = []
    for point in ordered:
        rows += coordinates(point, chosen, steps)
        if listener is not None:
            listener(f"width {point['shape']['width']}, seed {point['seed']}: {steps} steps")
    found_slopes = slopes(rows, steps)
    failed = [s for s in found_slopes if not s["passes"]]
    return {
        "schema": SCHEMA,
        "recipe": ordered[0].get("recipe"),
        "device": chosen.type,
        "rows": rows,
        "slopes": found_slopes,
        "limits": dict(LIMITS),
        "passes": not failed,
        "messages": [m.as_dict() for m in _messages(failed)],
    }


def coordinates(point: Mapping[str, Any], device: torch.device, steps: int) -> list[dict[str, Any]]:
    """Follow the activations of one point on the batch of its first step."""
    optimizer = {**point["optimizer"], "warmup_steps": 0, "decay_steps": 0}
    trainer = Trainer({**point, "optimizer": optimizer, "steps": steps}, device)
    tokens = trainer.task.batch(0)
    assert isinstance(tokens, Tensor)
    tokens = tokens[:, :-1]
    before = _activations(trainer.model, tokens)
    rows = []
    for step in range(steps + 1):
        now = before if step == 0 else _activations(trainer.model, tokens)
        for layer, value in now.items():
            rows.append(
                {
                    "width": int(point["shape"]["width"]),
                    "seed": int(point["seed"]),
                    "step": step,
                    "layer": layer,
                    "size": float(value.abs().mean()),
                    "change": float((value - before[layer]).abs().mean()),
                }
            )
        if step < steps:
            trainer.train_step()
    return rows


@torch.no_grad()
def _activations(model: nn.Module, tokens: Tensor) -> dict[str, Tensor]:
    """Outputs of the embedding, of every matrix and of every block, in float32, by name."""
    found: dict[str, Tensor] = {}

    def keep(layer: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            found[layer] = output.detach().float().clone()

        return hook

    handles = [
        module.register_forward_hook(keep(layer))
        for layer, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Embedding)) or layer.startswith("blocks.")
    ]
    try:
        model(tokens)
    finally:
        for handle in handles:
            handle.remove()
    return found


def slopes(rows: list[dict[str, Any]], step: int) -> list[dict[str, Any]]:
    """Slopes of ln size and ln change against ln width, by least squares, of one step.

    Seeds of one width are averaged in logs. A quantity that is 0 at a width has no slope.
    """
    out = []
    for layer in dict.fromkeys(row["layer"] for row in rows):
        for quantity, limit in LIMITS.items():
            chosen = [r for r in rows if r["layer"] == layer and r["step"] == step]
            if any(r[quantity] < TINY for r in chosen):
                continue
            slope = _slope(chosen, quantity)
            out.append(
                {
                    "layer": layer,
                    "quantity": quantity,
                    "slope": slope,
                    "limit": limit,
                    "passes": abs(slope) <= limit,
                }
            )
    return out


def _slope(rows: list[dict[str, Any]], quantity: str) -> float:
    x = torch.tensor([r["width"] for r in rows], dtype=torch.float64).log()
    y = torch.tensor([r[quantity] for r in rows], dtype=torch.float64).log()
    x = x - x.mean()
    return float((x * y).sum() / (x * x).sum())


def _messages(failed: list[dict[str, Any]]) -> list[Message]:
    if not failed:
        return []
    worst = max(failed, key=lambda s: abs(s["slope"]))
    text = (
        f"{len(failed)} slopes against width are beyond their limits; the worst, the "
        f"{worst['quantity']} of {worst['layer']}, goes as width^{worst['slope']:.2f} "
        f"(limit {worst['limit']:g})."
    )
    return [Message("SC221", text)]
