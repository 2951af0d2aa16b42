"""What a question holds fixed, and how one that cannot be answered is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, FitError, QuestionError
from scaling.fitting.allocation import allocates, best_size, with_unique_data
from scaling.fitting.prediction import Params, cost_of
from scaling.laws import Law
from scaling.laws.cost import SIX_ND, Cost

if TYPE_CHECKING:
    from scaling.fitting.result import Fit

Array = NDArray[np.float64]
ENOUGH = 1e60  # tokens or parameters that stand for no limit


class Setting:
    """What a question holds fixed: the cost, the law's other variables, and the cap on data."""

    def __init__(
        self, law: Law, cost: Cost, training: Cost, held: Mapping[str, float], cap: float | None
    ) -> None:
        self.law, self.cost, self.training = law, cost, training
        self.held, self.cap = dict(held), cap

    @classmethod
    def of(
        cls,
        fit: Fit,
        cost: str | Cost | None,
        inference_tokens: float,
        unique_data: float | None,
        held: Mapping[str, float],
    ) -> Setting:
        """Check a question against the law."""
        refuse_unidentified(fit)
        if not allocates(fit.law):
            refuse_allocation(fit)
        base = cost_of(fit)
        if cost is not None:
            base = cost if isinstance(cost, Cost) else _named(cost)
        _ = base.expression
        if not np.isfinite(inference_tokens) or inference_tokens < 0:
            found = f"{inference_tokens:g}"
            raise ConfigError(Fault("SC004", "--inference-tokens", found, "0 or more"))
        whole = base
        if inference_tokens:
            formula = f"({base.formula}) + 2*N*{float(inference_tokens)!r}"
            whole = Cost(f"{base.name} and inference", formula)
        if "D_unique" in held and "D_unique" in fit.law.variables:
            unique_data = float(amounts("D_unique", held["D_unique"])[0])
            held = {name: value for name, value in held.items() if name != "D_unique"}
        if unique_data is not None:
            unique_data = float(amounts("--unique-data", unique_data)[0])
            if "D_unique" in fit.law.variables:
                law = with_unique_data(fit.law, unique_data)
                return cls(law, whole, base, held_variables(law, held), None)
        return cls(fit.law, whole, base, held_variables(fit.law, held), unique_data)

    def place(self, p: Params, log_c: Array) -> tuple[Array, Array]:
        """Return ln N* and ln D*; see `scaling.fitting.allocation.best_size`."""
        return best_size(self.law, p, log_c, self.cost, self.held, self.cap)

    def loss(self, p: Params, N: Array, D: Array) -> Array:
        """Loss at N and D with the other variables held."""
        with np.errstate(all="ignore"):
            return self.law.loss(p, {**self.held, "N": N, "D": D})

    def refuse_beyond_cap(self, tokens: Array) -> None:
        """Refuse data that are not there and that the law cannot repeat."""
        if self.cap is not None and (tokens > self.cap).any():
            found = f"{float(tokens.max()):.3g} are needed, {self.cap:.3g} are there"
            expected = f"D up to {self.cap:.3g}: law {self.law.name} knows no repeated data"
            mend = "ask at that D, or fit a law of repeated data such as data-constrained"
            raise QuestionError(Fault("SC432", "D", found, expected, mend))


def _named(text: str) -> Cost:
    if text == SIX_ND.name:
        return SIX_ND
    if text == "table":
        mend = "scaling fit --cost table keeps it in the fit"
        raise ConfigError(Fault("SC004", "--cost", "table", "6nd, or a formula of N and D", mend))
    return Cost("given", text)


def held_variables(law: Law, held: Mapping[str, float]) -> dict[str, float]:
    """Check the values of a law's variables beside N and D: all of them, and no others."""
    others = [v for v in law.variables if v not in ("N", "D")]
    unknown = [name for name in held if name not in others]
    if unknown:
        expected = "one of " + ", ".join(others) if others else "N and D alone"
        found = f'the law does not read "{unknown[0]}"'
        raise QuestionError(Fault("SC430", f"law {law.name}", found, expected))
    missing = [name for name in others if name not in held]
    if missing:
        mend = f"--set {missing[0]}=VALUE"
        if missing[0] == "D_unique":
            mend = "--unique-data VALUE"
        found = f"reads {missing[0]} too, and no value was given"
        raise QuestionError(Fault("SC430", f"law {law.name}", found, "a value", mend))
    bad = [name for name, value in held.items() if not np.isfinite(value)]
    if bad:
        raise ConfigError(Fault("SC004", bad[0], f"{held[bad[0]]:g}", "a finite number"))
    return {name: float(value) for name, value in held.items()}


def refuse_unidentified(fit: Fit) -> None:
    """Refuse any question to a fit that is not identified, with what would be."""
    if fit.identified:
        return
    found = f"the fit is {fit.status}, so it answers no question"
    mend = next((m.mend for m in fit.messages if m.code == "SC405" and m.mend), "")
    raise FitError(Fault("SC405", f"law {fit.law.name}", found, "an identified fit", mend))


def refuse_allocation(fit: Fit) -> None:
    """Refuse questions of compute to a law that reads no N and D, with the nearest question."""
    variables, expected = fit.law.variables, "a law of both N and D, such as chinchilla"
    if fit.law.response != "loss":
        found, mend = f"gives {fit.law.response}, not the loss", ""
        expected = "a law of the loss in N and D, such as chinchilla"
    else:
        found = f"reads {', '.join(variables)}, so it says nothing about how to divide compute"
        nearest = {"N": "--params", "D": "--data", "C": "--flops"}.get(variables[0])
        mend = f"ask for its loss: scaling predict FIT {nearest} VALUE" if nearest else ""
    raise QuestionError(Fault("SC430", f"law {fit.law.name}", found, expected, mend))


def amounts(name: str, value: Any) -> Array:
    """Read positive, finite amounts, shape (m,).

    Raises
    ------
    ConfigError
        SC004 for anything else.
    """
    found = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if not len(found) or not (np.isfinite(found) & (found > 0)).all():
        shown = ", ".join(f"{x:g}" for x in found) or "nothing"
        raise ConfigError(Fault("SC004", name, shown, "finite numbers above 0"))
    return found


def unreachable(fit: Fit, setting: Setting, loss: float) -> QuestionError:
    """Return the refusal of a loss below what any compute reaches."""
    law = fit.law
    if setting.cap is not None:
        floor = float(setting.loss(fit.params, np.array(ENOUGH), np.array(setting.cap)))
        where = f"with {setting.cap:.3g} of data"
    else:
        floor = float(setting.loss(fit.params, np.array(ENOUGH), np.array(ENOUGH)))
        where = "with any compute"
    found = f"{loss:.6g} is below what law {law.name} reaches {where}: {floor:.6g}"
    return QuestionError(
        Fault("SC431", "loss", found, f"above {floor:.6g}", "ask for a loss above it")
    )


def never(
    fit: Fit, setting: Setting, known: str, asked: str, given: float, loss: float
) -> QuestionError:
    """Return the refusal of a loss that one amount alone never reaches."""
    at = {known: np.array(given), asked: np.array(ENOUGH)}
    floor = float(setting.loss(fit.params, at["N"], at["D"]))
    found = f"{known} = {given:.3g} never reaches a loss of {loss:.6g}, whatever {asked}"
    expected = f"above {floor:.6g} at this {known}"
    mend = f"raise {known}, or ask for the cheapest way to the loss"
    return QuestionError(Fault("SC431", "loss", found, expected, mend))
