"""Laws of learning rate, batch size and schedule."""

from __future__ import annotations

from scaling.laws.law import Law, Published
from scaling.laws.pieces import coefficient, exponent, offset, scale, signed
from scaling.laws.schedules import MultiPowerLaw

_DEEPSEEK = "DeepSeek-AI (2024), DeepSeek LLM: Scaling Open-Source Language Models, eq. 1"
_STEP = "Li et al. (2025), Predictable Scale: Part I, Optimal Hyperparameter Scaling Law, eq. 1"
_MCCANDLISH = "McCandlish et al. (2018), An Empirical Model of Large-Batch Training"

RATE_OF_COMPUTE = Law(
    name="lr-compute",
    title="Best learning rate against compute",
    formula="k/C**a",
    parameters=(scale("k", "coefficient"), exponent("a", "C")),
    variables=("C",),
    response="lr",
    reference=_DEEPSEEK,
    published=(
        Published("DeepSeek-AI 2024", {"k": 0.3118, "a": 0.1250}, "C = M D, M FLOP a token"),
    ),
)
BATCH_OF_COMPUTE = Law(
    name="batch-compute",
    title="Best batch against compute",
    formula="k*C**a",
    parameters=(scale("k", "coefficient [tokens]"), exponent("a", "C")),
    variables=("C",),
    response="batch",
    reference=_DEEPSEEK,
    published=(
        Published("DeepSeek-AI 2024", {"k": 0.2920, "a": 0.3271}, "C = M D; batch in tokens"),
    ),
)
RATE_OF_SIZE = Law(
    name="lr-step",
    title="Best learning rate against parameters and data",
    formula="k*D**b/N**a",
    parameters=(scale("k", "coefficient"), exponent("a", "N"), exponent("b", "D")),
    variables=("N", "D"),
    response="lr",
    reference=_STEP,
)
BATCH_OF_DATA = Law(
    name="batch-step",
    title="Best batch against data",
    formula="k*D**b",
    parameters=(scale("k", "coefficient [tokens]"), exponent("b", "D")),
    variables=("D",),
    response="batch",
    reference=_STEP,
)
CRITICAL_BATCH = Law(
    name="critical-batch",
    title="Steps to a loss against the batch",
    formula="S_min + X_min/batch",
    parameters=(
        scale("S_min", "steps at an infinite batch"),
        scale("X_min", "examples at small batches; X_min/S_min is critical"),
    ),
    variables=("batch",),
    response="steps",
    reference=f"{_MCCANDLISH}, eq. 2.11",
)
CRITICAL_BATCH_OF_LOSS = Law(
    name="critical-batch-loss",
    title="Critical batch against the loss reached",
    formula="B_star/loss**p",
    parameters=(scale("B_star", "critical batch at loss 1 [tokens]"), exponent("p", "loss")),
    variables=("loss",),
    response="critical_batch",
    reference="Kaplan et al. (2020), Scaling Laws for Neural Language Models, eq. 1.4",
    published=(
        Published("Kaplan et al. 2020", {"B_star": 2e8, "p": 1 / 0.21}, "tokens; loss in nats"),
    ),
)
ANNEALING = Law(
    name="annealing",
    title="Loss curve in the areas of rate and annealing",
    formula="L_0 + A/S_1**alpha - C_a*S_2",
    parameters=(
        offset("L_0", "floor [unit of the loss]"),
        coefficient("A", "S_1"),
        exponent("alpha", "S_1"),
        signed("C_a", "worth of annealing"),
    ),
    variables=("S_1", "S_2"),
    reference="Tissue et al. (2024), Scaling Law with Learning Rate Annealing, eq. 1; "
    "scaling.laws.schedules.annealing_areas gives S_1 and S_2",
)

RECIPES = (
    RATE_OF_COMPUTE,
    BATCH_OF_COMPUTE,
    RATE_OF_SIZE,
    BATCH_OF_DATA,
    CRITICAL_BATCH,
    CRITICAL_BATCH_OF_LOSS,
    ANNEALING,
)
__all__ = ["RECIPES", "MultiPowerLaw"]
