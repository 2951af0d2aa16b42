"""What a recipe's rules give for many cells at once: batches, steps, rates, the optimiser.

Rules are evaluated in the order of `RULES`. In a rule, a name is a column of the plan, a constant
of the recipe, or a setting that came before; in its own rule a setting's name means the constant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault
from scaling.expressions import Expression

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Env = Mapping[str, Any]

COLUMNS = {
    "N": "parameters of body and head",
    "N_body": "parameters of the body",
    "N_head": "parameters of the head",
    "N_total": "all parameters",
    "D": "units of data asked for",
    "C": "training compute [FLOP]",
    "d": "width",
    "n": "layers",
    "T": "units in a sequence",
    "V": "vocabulary",
}
DERIVED = {"B": "units in a step", "steps": "optimiser steps"}
MULTIPLIERS = {"embedding": "lr_embedding", "hidden": "lr_hidden", "head": "lr_head"}
RULES = {
    "sequences": "batch",
    "lr": "rate",
    "beta1": "betas",
    "beta2": "betas",
    "weight_decay": "weight decay",
    "clip": "clipping",
    "warmup_steps": "warm-up",
    "decay": "decay",
    "floor": "decay",
    "lr_embedding": "multipliers",
    "lr_hidden": "multipliers",
    "lr_head": "multipliers",
}
OTHERS = ("embedding_sd", "evaluation_sequences", "attention_base", "dropout")
SEEDED = ("init", "data", "dropout")  # what a seed decides
WHOLE = ("sequences", "warmup_steps", "evaluation_sequences")
DEFAULTS = {"clip": 1.0, "floor": 0.0, "lr_embedding": 1.0, "lr_hidden": 1.0, "lr_head": 1.0}
MAY_BE_ZERO = ("weight_decay", "decay", "floor", "warmup_steps", "beta1", "beta2", "dropout")
HIGHEST = {"decay": 1.0, "floor": 1.0, "dropout": 0.9, "beta1": 0.999999, "beta2": 0.999999}
MOST = 1e9
DIGITS = {"beta1": 6, "beta2": 6, "lr_embedding": 6, "lr_hidden": 6, "lr_head": 6}
CERTAIN = 10  # digits that do not depend on the last bit of a power or a logarithm
ROUNDINGS = ("nearest", "power-of-two", "power-of-two-up")
MOMENTUM = 0.95  # of Muon (Jordan et al. 2024)


def limits(name: str) -> tuple[float, float]:
    """Return the lowest and the highest value that a setting or constant may have.

    Constants of a recipe's own are free: what its rules make of them is checked in each cell.
    """
    if name not in RULES and name not in OTHERS:
        return -MOST, MOST
    return (0.0 if name in MAY_BE_ZERO else 1e-30), HIGHEST.get(name, MOST)


def expectation(name: str) -> str:
    """Say in words what a setting or constant may be."""
    low, high = limits(name)
    kind = "a whole number" if name in WHOLE else "a number"
    bottom = {0.0: "from 0", -MOST: f"from {low:g}"}.get(low, "above 0")
    return f"{kind} {bottom}, at most {high:g}"


def significant(x: Any, digits: int) -> Array:
    """Round to significant digits; gives what ``float(f"{x:.4g}")`` gives, for whole arrays.

    The digits are an integer m < 10^digits, so that ``m / 10**k`` is the nearest double to the
    decimal number as long as 10^k is exact: from 1e-17 to 1e22.
    """
    x = np.asarray(x, dtype=np.float64)
    safe = np.where((x == 0) | ~np.isfinite(x), 1.0, np.abs(x))
    power = digits - 1 - np.floor(np.log10(safe))
    up, down = 10.0 ** np.clip(power, 0, 300), 10.0 ** np.clip(-power, 0, 300)
    with np.errstate(all="ignore"):
        rounded = np.rint(x * up / down) / up * down
    return np.asarray(np.where((x == 0) | ~np.isfinite(x), x, rounded), dtype=np.float64)


def whole(x: Array, rounding: str) -> Array:
    """Round to an integer, or to a power of two, 1 or more."""
    if rounding == "nearest":
        return np.rint(significant(x, CERTAIN))
    with np.errstate(all="ignore"):
        power = np.round(np.log2(np.maximum(x, 1.0)), CERTAIN)
    power = np.ceil(power) if rounding == "power-of-two-up" else np.rint(power)
    return np.asarray(2.0**power)


def whole_below(x: Array, rounding: str) -> Array:
    """Round a cap down to an integer, or to a power of two."""
    if rounding == "nearest":
        return np.floor(significant(x, CERTAIN))
    with np.errstate(all="ignore"):
        return np.asarray(2.0 ** np.floor(np.round(np.log2(np.maximum(x, 1.0)), CERTAIN)))


@dataclass(frozen=True)
class Rules:
    """The rules of a recipe, parsed.

    Attributes
    ----------
    constants : mapping
        Numbers by name.
    formulas, caps : mapping of str to Expression
        Of settings; a setting without a formula is its constant.
    rounding : mapping of str to str
        Of whole settings; see `ROUNDINGS`.
    """

    constants: Mapping[str, float]
    formulas: Mapping[str, Expression]
    caps: Mapping[str, Expression]
    rounding: Mapping[str, str]

    def without_length(self) -> Rules:
        """Return the rules without the cap on the warm-up, if that knows the length of a run.

        Branches of a trunk warm up together, however short they are.
        """
        names = set(self.caps["warmup_steps"].names) if "warmup_steps" in self.caps else set()
        if not names & {"D", "C", "steps"}:
            return self
        return replace(self, caps={k: v for k, v in self.caps.items() if k != "warmup_steps"})

    def needs(self, name: str) -> frozenset[str]:
        """Columns of the plan that a setting depends on, through other settings too."""
        found: set[str] = set()
        asked = self.formulas[name].names if name in self.formulas else ()
        if name != "warmup_steps":  # its cap only matters to runs that are too short
            asked += self.caps[name].names if name in self.caps else ()
        before = list(RULES)[: list(RULES).index(name)]
        for other in asked:
            if other in DERIVED:
                found |= self.needs("sequences")
                found |= {"T"} if other == "B" else {"T", "D"}
            elif other in before:
                found |= self.needs(other)
            elif other in COLUMNS:
                found.add(other)
        return frozenset(found)


@dataclass(frozen=True)
class Settings:
    """How each of k cells is trained; arrays have shape (k,).

    Attributes
    ----------
    sequences, steps : ndarray of int
        Sequences a step; steps, D over the units of a step, rounded.
    lr : ndarray
        Peak rate, four significant digits.
    warmup_steps, decay_steps : ndarray of int
    decay : ndarray
        Share of the run over which the rate falls.
    beta1, beta2, weight_decay, clip : ndarray
        AdamW, and the norm that gradients are clipped to.
    floor : ndarray
        Rate at the end over the peak.
    multipliers : mapping of str to ndarray
        Factors on the rate of each group of parameters; empty where all are 1.
    schedule : str
        Shape of the decay.
    optimizer_name : str
        ``adamw``, or ``muon`` for the hidden matrices.
    capped : mapping of str to ndarray of bool
        Cells in which a cap on the batch or the rate holds.
    start : mapping
        The block of initialisation that all points share.
    """

    sequences: Counts
    steps: Counts
    lr: Array
    warmup_steps: Counts
    decay_steps: Counts
    decay: Array
    beta1: Array
    beta2: Array
    weight_decay: Array
    clip: Array
    floor: Array
    multipliers: Mapping[str, Array]
    schedule: str
    optimizer_name: str
    capped: Mapping[str, NDArray[np.bool_]]
    start: Mapping[str, float] = field(default_factory=dict)

    def optimizer(self, i: int) -> dict[str, Any]:
        """Return the optimiser block of cell `i`, new each time; defaults are left out."""
        block = dict(zip(self._names, (column[i] for column in self._columns), strict=True))
        if self.multipliers:
            block["multipliers"] = {k: float(v[i]) for k, v in self.multipliers.items()}
        if self.schedule != "linear":
            block["shape"] = self.schedule
        if self.floor[i]:
            block["floor"] = float(self.floor[i])
        if self.optimizer_name == "muon":
            block["momentum"] = MOMENTUM
        return {"name": self.optimizer_name, **block}

    def init(self, i: int) -> Mapping[str, float]:
        """Return the initialisation block of cell `i`: one mapping for all cells."""
        del i
        return self.start

    def taken(self, index: NDArray[np.int64]) -> Settings:
        """Return the settings of some cells."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        changes: dict[str, Any] = {
            name: value[index] for name, value in columns.items() if isinstance(value, np.ndarray)
        }
        for name in ("multipliers", "capped"):
            changes[name] = {k: v[index] for k, v in columns[name].items()}
        return replace(self, **changes)

    _names = ("lr", "beta1", "beta2", "weight_decay", "clip", "warmup_steps", "decay_steps")

    @cached_property
    def _columns(self) -> list[list[Any]]:
        return [getattr(self, name).tolist() for name in self._names]


def evaluate(
    rules: Rules, env: Env, *, where: str, schedule: str, start: Env, optimizer: str = "adamw"
) -> Settings:
    """Evaluate the rules on the columns `env`, arrays of shape (k,) or numbers.

    Raises
    ------
    ConfigError
        SC012 if a rule gives a value that cannot be used; SC020 if it needs a column that `env`
        has not.
    """
    shape = np.broadcast_shapes(*(np.shape(value) for value in env.values()))
    known: dict[str, Any] = {**rules.constants, **env}
    found: dict[str, Array] = {}
    capped: dict[str, NDArray[np.bool_]] = {}
    for name in RULES:
        value = _value(rules, name, known, shape, where)
        if name in rules.caps:
            cap = np.broadcast_to(_number(rules.caps[name], known, name, where), shape)
            if name in WHOLE:
                cap = whole_below(cap, rules.rounding.get(name, "nearest"))
            capped[name] = value > cap
            value = np.minimum(value, cap)
        if name == "sequences":
            value = np.maximum(value, 1.0)
        _check(name, value, env, where, rules.formulas.get(name))
        found[name] = known[name] = value
        if name == "sequences":
            known["B"] = value * known["T"]
            known["steps"] = np.rint(np.minimum(known["D"] / known["B"], 2.0**53))
            found["steps"] = np.broadcast_to(known["steps"], shape)
    apart = any(rule in rules.formulas or rule in rules.constants for rule in MULTIPLIERS.values())
    steps = found["steps"].astype(np.int64)
    return Settings(
        sequences=found["sequences"].astype(np.int64),
        steps=steps,
        lr=found["lr"],
        warmup_steps=found["warmup_steps"].astype(np.int64),
        decay_steps=np.maximum(1, np.rint(found["decay"] * steps)).astype(np.int64),
        decay=found["decay"],
        beta1=found["beta1"],
        beta2=found["beta2"],
        weight_decay=found["weight_decay"],
        clip=found["clip"],
        floor=found["floor"],
        multipliers={group: found[rule] for group, rule in MULTIPLIERS.items()} if apart else {},
        schedule=schedule,
        optimizer_name=optimizer,
        capped={k: v for k, v in capped.items() if k != "warmup_steps"},
        start=start,
    )


def _value(rules: Rules, name: str, known: Env, shape: tuple[int, ...], where: str) -> Array:
    """Evaluate and round one setting, before its cap."""
    if name not in rules.formulas:
        number = rules.constants.get(name, DEFAULTS.get(name))
        if number is None:
            expected = "a number, or a formula in quotes"
            raise ConfigError(Fault("SC012", f"{where} {name}", "missing", expected))
        return np.full(shape, number if name != "lr" else float(f"{number:.4g}"), dtype=np.float64)
    value = np.broadcast_to(_number(rules.formulas[name], known, name, where), shape)
    if name in WHOLE:
        return whole(value, rules.rounding.get(name, "nearest"))
    return significant(value, DIGITS.get(name, 4))


def _number(formula: Expression, known: Env, name: str, where: str) -> Array:
    value = np.asarray(formula.value(known))
    if value.dtype.kind not in "fiub":
        raise ConfigError(Fault("SC012", f"{where} {name}", f'"{formula.text}"', "a number"))
    return value.astype(np.float64)


def _check(name: str, value: Array, env: Env, where: str, formula: Expression | None) -> None:
    """Refuse what cannot be used, naming the first such cell."""
    low, high = limits(name)
    bad = ~((value >= low) & (value <= high))
    if not bad.any():
        return
    i = int(np.argmax(bad))
    cell = ", ".join(f"{k} = {np.broadcast_to(env[k], bad.shape)[i]:.4g}" for k in ("N", "D"))
    found = f"{formula.text if formula else 'a constant'} gives {value[i]:.4g} at {cell}"
    raise ConfigError(Fault("SC012", f"{where} {name}", found, expectation(name)))
