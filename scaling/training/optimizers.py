"""Optimisers over weights that lie in few long vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from scaling.errors import Fault, TrainingError


class Optimizer(Protocol):
    """Takes a step at a rate; its state can be kept for each model apart."""

    def step(self, rates: Sequence[float]) -> None:
        """Take a step at the rate of each model."""

    def state(self, model: int) -> dict[str, Any]:
        """State of one model."""

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Continue from the states of all models."""


@dataclass(frozen=True)
class Part:
    """Parameters that one optimiser moves at one factor on the rate."""

    parameters: list[nn.Parameter]
    factor: float
    muon: bool


def parts_of(model: nn.Module, o: Mapping[str, Any]) -> list[Part]:
    """Split parameters as an optimiser block asks: by the factor on their rate, and by optimiser.

    Embedding, head and the rest, the hidden matrices, may have factors of their own; under Muon the
    hidden matrices are apart in any case.
    """
    factors = o.get("multipliers", {})
    found: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        kind = name.split(".")[0]
        kind = kind if kind in ("embedding", "head") else "hidden"
        key = (factors.get(kind, 1.0), o["name"] == "muon" and kind == "hidden")
        found.setdefault(key, []).append(parameter)
    return [Part(parameters, *key) for key, parameters in found.items()]


def flatten(parameters: Sequence[nn.Parameter]) -> nn.Parameter:
    """Lay parameters and their gradients in one vector each, and return it.

    Small models spend their time between operations: the optimiser and the clipping then need one
    call each, whatever the number of layers.
    """
    flat = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
    flat.grad = torch.zeros_like(flat)
    start = 0
    for p in parameters:
        piece = slice(start, start + p.numel())
        p.data = flat.data[piece].view_as(p)
        p.grad = flat.grad[piece].view_as(p)
        start = piece.stop
    return flat


class AdamW:
    """Torch's fused AdamW over one vector for each factor on the rate."""

    def __init__(
        self, flats: Sequence[nn.Parameter], factors: Sequence[float], o: Mapping[str, Any]
    ) -> None:
        self.flats, self.factors = list(flats), list(factors)
        # A step decays by lr * weight_decay whatever the factor (Yang et al. 2022, app. B.3).
        self.torch = torch.optim.AdamW(
            [
                {"params": [flat], "weight_decay": o["weight_decay"] / factor}
                for flat, factor in zip(self.flats, self.factors, strict=True)
            ],
            lr=o["lr"],
            betas=(o["beta1"], o["beta2"]),
            fused=True,
        )

    def step(self, rates: Sequence[float]) -> None:
        """Take a step at the rate of the one model."""
        for group, factor in zip(self.torch.param_groups, self.factors, strict=True):
            group["lr"] = rates[0] * factor
        self.torch.step()

    def state(self, model: int) -> dict[str, Any]:
        """Moments and steps."""
        del model
        return {"adamw": [dict(self.torch.state[flat]) for flat in self.flats]}

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Continue from a state."""
        for flat, kept in zip(self.flats, states[0]["adamw"], strict=True):
            self.torch.state[flat] = {k: v.to(flat.device, copy=True) for k, v in kept.items()}


class StackedAdamW:
    """AdamW over k models at once, each at its own rate and decay.

    Torch's fused kernel takes one rate, so it works out the steps of all models at a rate of 1 in
    a matrix of its own, from which every row is then added at its model's rate.
    """

    def __init__(
        self,
        flats: Sequence[nn.Parameter],
        factors: Sequence[float],
        blocks: Sequence[Mapping[str, Any]],
    ) -> None:
        self.flats, self.factors = list(flats), list(factors)
        first = flats[0]
        self.decay = first.new_tensor([[b["weight_decay"]] for b in blocks])
        self.moves = [nn.Parameter(torch.zeros_like(flat)) for flat in flats]
        for move, flat in zip(self.moves, flats, strict=True):
            move.grad = flat.grad
        o = blocks[0]
        betas = (o["beta1"], o["beta2"])
        self.torch = torch.optim.AdamW(
            self.moves, lr=1.0, betas=betas, weight_decay=0.0, fused=True
        )

    @torch.no_grad()
    def step(self, rates: Sequence[float]) -> None:
        """Take a step at the rate of each model."""
        column = self.decay.new_tensor(rates)[:, None]
        for move in self.moves:
            move.zero_()
        self.torch.step()
        keep = 1.0 - column * self.decay
        for flat, move, factor in zip(self.flats, self.moves, self.factors, strict=True):
            flat.mul_(keep).addcmul_(move, column * factor)

    def state(self, model: int) -> dict[str, Any]:
        """Moments and steps of one model, copied: of a view all rows would be saved."""
        rows = []
        for move in self.moves:
            kept = self.torch.state[move]
            rows.append({k: v[model].clone() if v.dim() == 2 else v for k, v in kept.items()})
        return {"adamw": rows}

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Continue from the states of all models."""
        for i, move in enumerate(self.moves):
            kept = [state["adamw"][i] for state in states]
            self.torch.state[move] = {
                k: (torch.stack([s[k] for s in kept]) if v.dim() == 1 else v).to(
                    move.device, copy=True
                )
                for k, v in kept[0].items()
            }


class Muon:
    """Muon on the hidden matrices, AdamW on embedding and head.

    The update is scaled to the root mean square of AdamW's, so that one rate serves both (Liu et
    al. 2025, Muon is Scalable for LLM Training, eq. 4).

    Parameters
    ----------
    matrices : sequence of Parameter
        Hidden matrices; views of `flats` or not.
    factor : float
        On their rate.
    others : AdamW
        Of the rest.
    o : mapping
        Optimiser block of the point.
    """

    def __init__(
        self,
        matrices: Sequence[nn.Parameter],
        factor: float,
        others: AdamW,
        o: Mapping[str, Any],
    ) -> None:
        self.matrices, self.factor, self.others = list(matrices), factor, others
        self.torch = torch.optim.Muon(
            self.matrices,
            lr=o["lr"],
            weight_decay=o["weight_decay"] / factor,
            momentum=o["momentum"],
            adjust_lr_fn="match_rms_adamw",
        )

    def step(self, rates: Sequence[float]) -> None:
        """Take a step at the rate of the one model."""
        self.torch.param_groups[0]["lr"] = rates[0] * self.factor
        self.torch.step()  # type: ignore[no-untyped-call]
        self.others.step(rates)

    def state(self, model: int) -> dict[str, Any]:
        """Momenta of the matrices, and the state of the rest."""
        kept = [dict(self.torch.state[p]) for p in self.matrices]
        return {"muon": kept, **self.others.state(model)}

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Continue from a state."""
        for p, kept in zip(self.matrices, states[0]["muon"], strict=True):
            self.torch.state[p] = {k: v.to(p.device, copy=True) for k, v in kept.items()}
        self.others.restore(states)


def norm_of(gradients: Sequence[Tensor], rows: bool = False) -> Tensor:
    """Norm of all gradients together, shape (), or of each row's, shape (k,)."""
    dim = -1 if rows else None
    norm: Tensor = torch.linalg.vector_norm(gradients[0], dim=dim)
    for other in gradients[1:]:
        norm = torch.hypot(norm, torch.linalg.vector_norm(other, dim=dim))
    return norm


def build(
    o: Mapping[str, Any], parts: Sequence[Part], flats: Sequence[nn.Parameter]
) -> AdamW | Muon:
    """Build the optimiser that a block names, over the parts of a model and their vectors.

    Raises
    ------
    TrainingError
        SC310 if this torch has no Muon.
    """
    plain = [(flat, part.factor) for part, flat in zip(parts, flats, strict=True) if not part.muon]
    adamw = AdamW([flat for flat, _ in plain], [factor for _, factor in plain], o)
    hidden = [part for part in parts if part.muon]
    if not hidden:
        return adamw
    if not hasattr(torch.optim, "Muon"):
        found = f"torch {torch.__version__} has no Muon"
        raise TrainingError(Fault("SC310", "[recipe] optimizer", found, mend="torch 2.9 or newer"))
    return Muon(hidden[0].parameters, hidden[0].factor, adamw, o)
