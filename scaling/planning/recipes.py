"""Named, versioned rules for learning rate, batch and schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from scaling.errors import ConfigError, Fault


@dataclass(frozen=True)
class Recipe:
    """How a point of size N is trained.

    The peak learning rate is ``lr * min(1, (N / lr_knee)**-lr_power)``: a function of N alone, so
    that runs of one size share everything but their length.

    Attributes
    ----------
    name : str
        ``name@version``; the version rises when a rule changes.
    sequences : int
        Sequences per optimiser step.
    lr, lr_knee, lr_power : float
        Constants of the learning-rate rule.
    warmup_steps : int
        Steps of linear warm-up.
    decay : float
        Last share of the run over which the rate falls linearly to zero.
    beta1, beta2, weight_decay, clip : float
        AdamW (Loshchilov and Hutter 2019) and the norm that gradients are clipped to.
    embedding_sd : float
        Standard deviation of the initial embeddings.
    evaluation_sequences : int
        Fixed validation sequences.
    source : str
        Where the rule comes from.
    """

    name: str
    sequences: int
    lr: float
    lr_knee: float
    lr_power: float
    warmup_steps: int
    decay: float
    beta1: float
    beta2: float
    weight_decay: float
    clip: float
    embedding_sd: float
    evaluation_sequences: int
    source: str

    def learning_rate(self, size: int) -> float:
        """Peak learning rate of a model of N = `size`; four significant digits."""
        rate = self.lr * min(1.0, (size / self.lr_knee) ** -self.lr_power)
        return float(f"{rate:.4g}")

    def resolve(self, size: int, steps: int) -> dict[str, Any]:
        """Return the optimiser block of a point."""
        warmup = min(self.warmup_steps, max(1, steps // 10))
        return {
            "name": "adamw",
            "lr": self.learning_rate(size),
            "beta1": self.beta1,
            "beta2": self.beta2,
            "weight_decay": self.weight_decay,
            "clip": self.clip,
            "warmup_steps": warmup,
            "decay_steps": max(1, round(self.decay * steps)),
        }

    def rules(self) -> list[str]:
        """Say the rules in words, for the plan and the report."""
        return [
            f"learning rate {self.lr:g} up to N = {self.lr_knee:g}, then falling as "
            f"N^-{self.lr_power:g}; linear warm-up over {self.warmup_steps} steps, constant, "
            f"linear decay to zero over the last {self.decay:.0%} of the run",
            f"batch {self.sequences} sequences; AdamW betas {self.beta1:g}, {self.beta2:g}, "
            f"weight decay {self.weight_decay:g}, clipping {self.clip:g}",
            f"source: {self.source}",
        ]


RECIPES: dict[str, Recipe] = {
    recipe.name.split("@")[0]: recipe
    for recipe in (
        Recipe(
            name="bytes-small@1",
            sequences=8,
            lr=0.008,
            lr_knee=2.4e4,
            lr_power=0.65,
            warmup_steps=50,
            decay=0.4,
            beta1=0.9,
            beta2=0.99,
            weight_decay=0.1,
            clip=1.0,
            embedding_sd=0.5,
            evaluation_sequences=2048,
            source="tuned for decoders of 1e4 to 3e5 parameters on bytes, budgets 2e10 to 5e11 "
            "FLOP: four rates at two sizes a budget (docs/lab-notes.md)",
        ),
    )
}


_MAY_BE_ZERO = ("weight_decay", "lr_power", "decay", "warmup_steps", "beta1", "beta2")
_HIGHEST = {"decay": 1.0, "beta1": 0.999999, "beta2": 0.999999}


def _check_override(key: str, value: float, *, whole: bool) -> None:
    low = 0.0 if key in _MAY_BE_ZERO else 1e-30
    high = _HIGHEST.get(key, 1e9)
    if low <= value <= high and not (whole and value != int(value)):
        return
    kind = "a whole number" if whole else "a number"
    bottom = "from 0" if low == 0 else "above 0"
    expected = f"{kind} {bottom}, at most {high:g}"
    raise ConfigError(Fault("SC012", f"[recipe.overrides] {key}", f"{value}", expected))


def get(name: str, overrides: Mapping[str, float]) -> Recipe:
    """Return a recipe with overrides applied; the name then says so.

    Raises
    ------
    ConfigError
        SC012 for an unknown recipe or override.
    """
    if name not in RECIPES:
        raise ConfigError(
            Fault("SC012", "[recipe] name", f'"{name}"', "one of " + ", ".join(RECIPES))
        )
    recipe = RECIPES[name]
    kinds = {f: type(getattr(recipe, f)) for f in recipe.__dataclass_fields__}
    known = [f for f, kind in kinds.items() if kind is not str]
    for key, value in overrides.items():
        if key not in known:
            raise ConfigError(
                Fault("SC011", f"[recipe.overrides] {key}", "unknown", "one of " + ", ".join(known))
            )
        _check_override(key, value, whole=kinds[key] is int)
    if not overrides:
        return recipe
    changes: dict[str, Any] = {k: kinds[k](v) for k, v in overrides.items()}
    label = ",".join(f"{k}={v:g}" for k, v in sorted(overrides.items()))
    return replace(recipe, name=f"{recipe.name}+{label}", **changes)
