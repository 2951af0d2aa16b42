"""Named, versioned rules for batch, learning rate, optimiser and schedule.

A recipe is data (``recipe.toml``): constants that a study may override, and formulas of the
plan's columns. Recipes differ in what they let depend on the length of a run; those that let it
decide the rate, the batch or the decay of weights cannot serve several lengths from one trunk.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.errors import ConfigError, Fault, Message, listed
from scaling.expressions import Expression, parse
from scaling.planning.recipes.settings import (
    COLUMNS,
    DEFAULTS,
    DERIVED,
    RULES,
    SEEDED,
    WHOLE,
    Env,
    Rules,
    Settings,
    evaluate,
    expectation,
    limits,
)
from scaling.runs.files import sha256_text

if TYPE_CHECKING:
    from scaling.planning.recipes.tuned import Tuned

__all__ = ["Recipe", "Settings", "get", "known"]

WHERE = "[recipe.overrides]"
LONG_WARMUP = 0.1
NOISE = 0.004  # scatter about a law that published sweeps of language models show
LENGTH = {"D", "C"}
OPTIMIZERS = {"adamw": "AdamW", "muon": "Muon for hidden matrices, AdamW for embedding and head"}
LONGEST_LABEL = 40
REACH_OF_TUNING = 10.0
WORDS = {
    "sequences": "batch in sequences",
    "lr": "peak learning rate",
    "weight_decay": "weight decay",
    "warmup_steps": "warm-up steps",
    "decay": "share of the run in which the rate falls",
    "floor": "rate at the end over the peak",
    "lr_embedding": "rate of embeddings over the peak",
    "lr_hidden": "rate of hidden matrices over the peak",
    "lr_head": "rate of the head over the peak",
}


@dataclass(frozen=True)
class Recipe:
    """How points are trained.

    Attributes
    ----------
    name : str
        ``name@version``, with what a study changed behind it; the version rises with every change
        of a rule.
    title, source : str
        What it is, and where it comes from.
    notes : tuple of str
        What a reader must know, and what the source does that the worker does not.
    rule_set : Rules
    schedule : {"linear", "cosine", "1-sqrt", "average"}
        Shape of the decay after warm-up and constant rate; ``average`` keeps the rate and averages
        the weights instead.
    tuned : tuple of float
        Range of N that its rules were made for.
    optimizer : {"adamw", "muon"}
        Of the hidden matrices; embedding and head have AdamW.
    held : tuple of str
        Which of `SEEDED` have the seed 0 in every run.
    noise : float
        Standard deviation of ln loss of its runs about a law: seeds, order of data, evaluation.
    reach : float
        Factor beyond that range up to which it may be used without a warning.
    """

    name: str
    title: str
    source: str
    notes: tuple[str, ...]
    rule_set: Rules
    schedule: str
    tuned: tuple[float, float]
    optimizer: str = "adamw"
    held: tuple[str, ...] = ()
    noise: float = NOISE
    reach: float = 1.0

    @property
    def constants(self) -> Mapping[str, float]:
        """Numbers that a study may override."""
        return self.rule_set.constants

    @property
    def evaluation_sequences(self) -> int:
        """Fixed validation sequences."""
        return int(self.constants["evaluation_sequences"])

    @property
    def embedding_sd(self) -> float:
        """Standard deviation of the initial embeddings."""
        return float(self.constants["embedding_sd"])

    @cached_property
    def _start(self) -> dict[str, float]:
        """The block of initialisation: only what differs from the model's defaults is named."""
        names = ("embedding_sd", "attention_base", "dropout")
        found = {name: self.constants[name] for name in names if name in self.constants}
        return found | {f"seed_{name}": 0 for name in self.held}

    def settings(self, env: Env) -> Settings:
        """Evaluate the rules for many cells.

        Parameters
        ----------
        env : mapping
            Columns N, N_body, N_head, N_total [count], D [units asked for], C [FLOP], d, n, T, V:
            arrays of shape (k,), or numbers. Only those that the rules name are needed, and D, T.

        Raises
        ------
        ConfigError
            SC012 if a rule gives a value that cannot be used; SC020 if a column is missing.
        """
        return evaluate(
            self.rule_set,
            env,
            where=WHERE,
            schedule=self.schedule,
            start=self._start,
            optimizer=self.optimizer,
        )

    def resolve(self, size: int, steps: int) -> dict[str, Any]:
        """Return the optimiser block of a point of N = `size`, for rules of N and steps only."""
        sequences = self.settings({"N": float(size), "D": 1.0, "T": 1.0}).sequences
        return self.settings(
            {"N": np.array([size]), "D": sequences * float(steps), "T": 1.0}
        ).optimizer(0)

    @property
    def depends_on_length(self) -> tuple[str, ...]:
        """Which kinds of settings depend on D: a trunk with branches allows none.

        The decay is no such setting, since it belongs to the branch.
        """
        needy = [name for name in RULES if self.rule_set.needs(name) & LENGTH]
        return tuple(dict.fromkeys(RULES[n] for n in needy if RULES[n] != "decay"))

    @property
    def of_tokens(self) -> bool:
        """Whether the batch is counted in tokens: it follows from the length of a sequence."""
        return "T" in self.rule_set.needs("sequences")

    def rules(self) -> list[str]:
        """Say the rules by their formulas and the values of their constants."""
        rules = self.rule_set
        lines = [f"{self.name}: {self.title}"]
        for name in RULES:
            word = WORDS.get(name, name)
            if name in rules.formulas:
                lines.append(f"{word} = {self._spelt(rules.formulas[name])}{self._limits(name)}")
            elif rules.constants.get(name, DEFAULTS.get(name)) != DEFAULTS.get(name):
                lines.append(f"{word} = {rules.constants[name]:g}{self._limits(name)}")
        lines.append(f"{OPTIMIZERS[self.optimizer]}; linear warm-up, constant rate, {self._end()}")
        low, high = self.tuned
        lines.append(f"made for N from {low:.3g} to {high:.3g}")
        return [*lines, f"source: {self.source}", *(f"note: {note}" for note in self.notes)]

    def _end(self) -> str:
        if self.schedule == "average":
            return "average of the weights over the share of the decay"
        return f"{self.schedule} decay"

    def varying(self, streams: Sequence[str]) -> Recipe:
        """Return the recipe for a design whose seeds decide only some of `SEEDED`."""
        return replace(self, held=tuple(name for name in SEEDED if name not in streams))

    def for_trunks(self) -> Recipe:
        """Return the recipe for branches of trunks, whose warm-up knows no length."""
        rules = self.rule_set.without_length()
        if rules is self.rule_set:
            return self
        note = "under trunks all lengths warm up alike: no cut for short runs"
        return replace(self, rule_set=rules, notes=(*self.notes, note))

    def _spelt(self, formula: Expression) -> str:
        used = [name for name in formula.names if name in self.constants]
        values = ", ".join(f"{name} = {self.constants[name]:g}" for name in used)
        return formula.text + (f" with {values}" if values else "")

    def _limits(self, name: str) -> str:
        cap, rounding = self.rule_set.caps.get(name), self.rule_set.rounding.get(name)
        text = "" if rounding is None else f", rounded to a {rounding.replace('-', ' ')}"
        return text + ("" if cap is None else f", at most {self._spelt(cap)}")

    def with_tuning(self, tuned: Tuned) -> Recipe:
        """Return the recipe with its learning rate replaced by a tuned law.

        Raises
        ------
        ConfigError
            SC012 if the rates were tuned for another recipe.
        """
        if tuned.recipe != self.name:
            found, expected = f"tuned for {tuned.recipe}", self.name
            mend = "tune this recipe, or name the one that was tuned"
            raise ConfigError(Fault("SC012", "[tuning]", found, expected, mend))
        formula = _formula("lr", tuned.formula, self.constants)
        rules = replace(self.rule_set, formulas={**self.rule_set.formulas, "lr": formula})
        low, high = tuned.range
        note = f"rate tuned at {len(tuned.optima)} sizes from N = {low:.3g} to {high:.3g}"
        return replace(
            self,
            name=f"{self.name}+tuned-{tuned.id}",
            rule_set=rules,
            notes=(*self.notes, f"{note}; exponent {tuned.describe()}"),
            tuned=tuned.range,
            reach=REACH_OF_TUNING,
        )

    def concerns(self, settings: Settings, env: Env) -> list[Message]:
        """Say what in these settings may spoil a comparison between cells.

        SC218 for long warm-ups, SC219 for sizes that the rules were not made for, SC220 where a
        cap or a threshold changes settings within the plan.
        """
        return [
            *_long_warmup(settings),
            *self._outside(np.atleast_1d(np.asarray(env["N"], dtype=np.float64))),
            *self._jumps(settings),
        ]

    def _outside(self, sizes: Any) -> list[Message]:
        low, high = self.tuned[0] / self.reach, self.tuned[1] * self.reach
        outside = (sizes < low) | (sizes > high)
        if not outside.any():
            return []
        beyond = f" by more than {self.reach:g} times" if self.reach > 1 else ""
        text = (
            f"{int(outside.sum())} of {outside.size} points lie outside the sizes that "
            f"{self.name} was made for (N from {self.tuned[0]:.3g} to {self.tuned[1]:.3g})"
            f"{beyond}: N from {sizes[outside].min():.3g} to {sizes[outside].max():.3g}."
        )
        return [Message("SC219", text, mend="tune the rate at these sizes")]

    def _jumps(self, settings: Settings) -> list[Message]:
        said = []
        for name, word in (("lr", "the learning rate"), ("sequences", "the batch")):
            held = settings.capped.get(name)
            if held is not None and held.any():
                said.append(f"{word} is capped at {int(held.sum())} of {held.size} points")
        for name in ("sequences", "lr", "beta1", "beta2", "weight_decay", "warmup_steps"):
            formula = self.rule_set.formulas.get(name)
            if formula is None or not any(
                isinstance(x, ast.Compare) for x in ast.walk(formula.tree)
            ):
                continue
            values = np.unique(getattr(settings, name))
            if len(values) > 1:
                said.append(f"{name} jumps between {values[0]:g} and {values[-1]:g}")
        if not said:
            return []
        return [Message("SC220", f"Rules of {self.name} have corners: {'; '.join(said)}.")]


def _long_warmup(settings: Settings) -> list[Message]:
    long = (settings.warmup_steps > LONG_WARMUP * settings.steps + 1) & (settings.steps > 0)
    if not long.any():
        return []
    share = settings.warmup_steps / np.maximum(settings.steps, 1)
    text = (
        f"{int(long.sum())} of {long.size} points warm up for more than {LONG_WARMUP:.0%} of their "
        f"steps, at most {share[long].max():.0%}."
    )
    return [Message("SC218", text)]


# ------------------------------------------------------------------------------------- by name


@cache
def _declared() -> dict[str, Recipe]:
    """Recipes of the file by ``name@version``."""
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    recipes = [_recipe(entry) for entry in tomllib.loads(text)["recipe"]]
    return {recipe.name: recipe for recipe in recipes}


def _recipe(entry: Mapping[str, Any]) -> Recipe:
    constants = {
        name: int(value) if name in WHOLE else float(value)
        for name, value in entry["constants"].items()
    }
    formulas = {k: _formula(k, v, constants) for k, v in entry.get("rules", {}).items()}
    caps = {k: _formula(k, v, constants) for k, v in entry.get("caps", {}).items()}
    low, high = entry["tuned"]
    return Recipe(
        name=f"{entry['name']}@{entry['version']}",
        title=entry["title"],
        source=entry["source"],
        notes=tuple(entry.get("notes", ())),
        rule_set=Rules(constants, formulas, caps, entry.get("rounding", {})),
        schedule=entry.get("schedule", "linear"),
        tuned=(float(low), float(high)),
        noise=float(entry.get("noise", NOISE)),
        reach=float(entry.get("reach", 1.0)),
    )


def _formula(name: str, text: str, constants: Mapping[str, float]) -> Expression:
    """Parse the formula of a setting; it may use what comes before that setting."""
    before = list(RULES)[: list(RULES).index(name)]
    names = [*COLUMNS, *(DERIVED if name != "sequences" else ()), *before, *constants]
    return parse(text, where=f"{WHERE} {name}", names=list(dict.fromkeys(names)))


def known() -> tuple[str, ...]:
    """Names of the declared recipes, ``name@version``."""
    return tuple(_declared())


def _find(name: str) -> Recipe:
    if name in _declared():
        return _declared()[name]
    versions = [r for r in _declared().values() if r.name.split("@")[0] == name]
    if not versions:
        raise ConfigError(Fault("SC012", "[recipe] name", f'"{name}"', listed(known())))
    return max(versions, key=lambda recipe: int(recipe.name.split("@")[1]))


def get(
    name: str,
    overrides: Mapping[str, float | str] | None = None,
    *,
    schedule: str | None = None,
    optimizer: str | None = None,
) -> Recipe:
    """Return a recipe, changed as a study asks; its name then says so.

    Parameters
    ----------
    name : str
        ``"bytes-small"`` for its newest version, or ``"bytes-small@1"``.
    overrides : mapping, optional
        Numbers for constants and settings; formulas, as text, for settings:
        ``{"lr": "0.004*(N/1e6)**-0.3"}``.
    schedule, optimizer : str, optional
        In place of the recipe's own.

    Raises
    ------
    ConfigError
        SC012 for an unknown recipe or an impossible number, SC011 for an unknown name, SC020 for
        a formula that cannot be used.
    """
    recipe = _find(name)
    for part, wish in (("schedule", schedule), ("optimizer", optimizer)):
        if wish is not None and wish != getattr(recipe, part):
            changed: dict[str, Any] = {part: wish, "name": f"{recipe.name}+{wish}"}
            recipe = replace(recipe, **changed)
    rules, labels = recipe.rule_set, []
    constants, formulas = dict(rules.constants), dict(rules.formulas)
    for key, value in sorted((overrides or {}).items()):
        names = list(dict.fromkeys([*constants, *RULES, "dropout"]))
        if key not in names:
            found, expected = "unknown", listed(names, limit=len(names))
            raise ConfigError(Fault("SC011", f"{WHERE} {key}", found, expected))
        if isinstance(value, str):
            if key not in RULES:
                found = f'"{value}"'
                raise ConfigError(Fault("SC012", f"{WHERE} {key}", found, "a number"))
            formulas[key] = _formula(key, value, constants)
            labels.append(f"{key}={_label(value)}")
            continue
        _check_number(key, value)
        if key not in constants:  # a setting that has only a formula
            formulas.pop(key, None)
        constants[key] = int(value) if key in WHOLE else float(value)
        labels.append(f"{key}={value:g}")
    if not labels:
        return recipe
    new = replace(rules, constants=constants, formulas=formulas)
    return replace(recipe, name=f"{recipe.name}+{','.join(labels)}", rule_set=new)


def _label(formula: str) -> str:
    text = "".join(formula.split())
    return text if len(text) <= LONGEST_LABEL else sha256_text(text)[:8]


def _check_number(key: str, value: float) -> None:
    low, high = limits(key)
    if low <= value <= high and not (key in WHOLE and value != int(value)):
        return
    raise ConfigError(Fault("SC012", f"{WHERE} {key}", f"{value}", expectation(key)))
