"""Laws of one variable: learning curves, their breaks, and what follows from a loss."""

from __future__ import annotations

import numpy as np

from scaling.laws import starts
from scaling.laws.implicit import SigmoidalLaw
from scaling.laws.law import Law, Parameter, Published
from scaling.laws.pieces import (
    coefficient,
    exponent,
    near,
    offset,
    positive,
    scale,
    shape,
    signed,
)

VARIABLES = {"N": ("A", "alpha"), "D": ("B", "beta"), "C": ("K", "gamma")}
HENIGHAN = "Henighan et al. (2020), Scaling Laws for Autoregressive Generative Modeling, eq. 1.1"
KAPLAN = "Kaplan et al. (2020), Scaling Laws for Neural Language Models"
ALABDULMOHSIN = "Alabdulmohsin et al. (2022), Revisiting Neural Scaling Laws"


def power(variable: str) -> Law:
    """Make a power law with a floor in `variable` (M2 of Alabdulmohsin et al. 2022)."""
    factor, slope = VARIABLES[variable]
    return Law(
        name=f"power-{variable}",
        title=f"Power law in {variable} with an offset (M2)",
        formula=f"E + {factor}/{variable}**{slope}",
        parameters=(offset(), coefficient(factor, variable), exponent(slope, variable)),
        variables=(variable,),
        reference=HENIGHAN,
    )


def pure_power(variable: str) -> Law:
    """Make a power law without a floor in `variable` (M1)."""
    factor, slope = VARIABLES[variable]
    return Law(
        name=f"m1-{variable}",
        title=f"Power law in {variable} without an offset (M1)",
        formula=f"{factor}/{variable}**{slope}",
        parameters=(coefficient(factor, variable), exponent(slope, variable)),
        variables=(variable,),
        reference="Hestness et al. (2017), Deep Learning Scaling is Predictable, Empirically",
    )


_KAPLAN_VALUES = {"N": (8.8e13, 0.076), "D": (5.4e13, 0.095), "C": (3.1e8 * 8.64e19, 0.050)}


def kaplan(variable: str) -> Law:
    """Make Kaplan's law of one variable: a power law named by where the loss would be 1."""
    value, slope = _KAPLAN_VALUES[variable]
    return Law(
        name=f"kaplan-{variable}",
        title=f"Kaplan's power law in {variable}",
        formula=f"({variable}_c/{variable})**alpha_{variable}",
        parameters=(
            positive(
                f"{variable}_c", f"{variable} at which the loss is 1", near(variable, 1e2, 1e6)
            ),
            exponent(f"alpha_{variable}", variable),
        ),
        variables=(variable,),
        reference=f"{KAPLAN}, eqs. 1.1 to 1.3",
        published=(
            Published(
                "Kaplan et al. 2020",
                {f"{variable}_c": value, f"alpha_{variable}": slope},
                "N without embeddings; C_min in FLOP",
                note="Constants depend on the tokenizer.",
            ),
        ),
    )


def saturating(variable: str) -> Law:
    """Make M3: a power law in 1/x + g, which stops falling at large x."""
    return Law(
        name=f"m3-{variable}",
        title=f"Power law in {variable} that saturates (M3)",
        formula=f"B*(1/{variable} + g)**c",
        parameters=(
            scale("B", "coefficient"),
            positive(
                "g", f"1/{variable} at saturation", near(variable, 1e-3, 1e-2, 0.1, 1.0, power=-1.0)
            ),
            exponent("c", f"1/{variable} + g"),
        ),
        variables=(variable,),
        reference=f"{ALABDULMOHSIN}, M3",
    )


def broken(variable: str, breaks: int) -> Law:
    """Make a smoothly broken power law with `breaks` breaks (BNSL).

    The break's power is written with ``softplus``, so that sharp breaks do not overflow.
    """
    bends = "".join(
        f"*exp(-c{i}*f{i}*softplus((log({variable}) - log(d{i}))/f{i}))"
        for i in range(1, breaks + 1)
    )
    parameters: list[Parameter] = [
        offset("a", "floor [unit of the loss]"),
        scale("b", "coefficient"),
        shape("c0", "slope before the first break", 0.2, low=-5.0, high=5.0),
    ]
    for i in range(1, breaks + 1):
        parameters += [
            shape(f"c{i}", f"change of slope at break {i}", 0.2, low=-5.0, high=5.0),
            positive(f"d{i}", f"{variable} at break {i}", near(variable, 1.0)),
            positive(f"f{i}", f"width of break {i} [ln {variable}]", (0.3,)),
        ]
    return Law(
        name=f"bnsl{breaks}-{variable}",
        title=f"Smoothly broken power law in {variable}, {breaks} break{'s' * (breaks > 1)}",
        formula=f"a + b*{variable}**(-c0){bends}",
        parameters=tuple(parameters),
        variables=(variable,),
        reference="Caballero et al. (2023), Broken Neural Scaling Laws, eq. 1",
        candidates=starts.broken(variable, breaks),
    )


def shifted(variable: str) -> Law:
    """Make a power law in `variable` plus a constant, which is flat at small values."""
    factor, slope = VARIABLES[variable]
    named = "vision" if variable == "C" else f"shifted-{variable}"
    if variable == "C":
        factor, slope = "A", "alpha"
    return Law(
        name=named,
        title=f"Power law in {variable} that is flat at small {variable} and has an offset",
        formula=f"E + {factor}*({variable} + {variable}_0)**(-{slope})",
        parameters=(
            offset(),
            scale(factor, "coefficient"),
            positive(
                f"{variable}_0",
                f"{variable} below which more of it does not help",
                near(variable, 1e-4, 1e-2, 0.1, 1),
            ),
            exponent(slope, f"{variable} + {variable}_0"),
        ),
        variables=(variable,),
        reference="Zhai et al. (2022), Scaling Vision Transformers, sec. 3.1",
    )


def rectified(variable: str) -> Law:
    """Make the rectified law of fine-tuning in `variable`: flat before a power law with a floor."""
    _, slope = VARIABLES[variable]
    meaning = {"D": "data already learned in pre-training"}
    return Law(
        name="rectified" if variable == "D" else f"rectified-{variable}",
        title=f"Rectified law of fine-tuning{'' if variable == 'D' else f', in {variable}'}",
        formula=f"E + B/({variable}_l + {variable}**{slope})",
        parameters=(
            offset(),
            scale("B", "coefficient"),
            positive(
                f"{variable}_l",
                meaning.get(variable, f"power of {variable} at which the loss begins to fall"),
                tuple(10.0**k for k in range(-1, 9)),
            ),
            exponent(slope, variable),
        ),
        variables=(variable,),
        reference="Lin et al. (2024), Selecting Large Language Model to Fine-tune via Rectified "
        "Scaling Law, eq. 4",
    )


VANILLA = Law(
    name="vanilla",
    title="Power of a power law with an offset, for fine-tuning",
    formula="(1/(B*D**beta) + E)**alpha",
    parameters=(
        positive("B", "coefficient", (1.0,)),
        Parameter("E", "shape", 0.0, np.inf, starts=(1.0,), meaning="floor before the power"),
        exponent("alpha", "the whole"),
        exponent("beta", "D"),
    ),
    variables=("D",),
    reference="Lin et al. (2024), Selecting Large Language Model to Fine-tune via Rectified "
    "Scaling Law, baseline",
    candidates=starts.vanilla,
)

TRANSFER = Law(
    name="transfer",
    title="Effective data transferred from pre-training",
    formula="k*D_F**alpha*N**beta",
    parameters=(
        scale("k", "coefficient [tokens]"),
        exponent("alpha", "fine-tuning data"),
        exponent("beta", "N"),
    ),
    variables=("D_F", "N"),
    response="D_T",
    reference="Hernandez et al. (2021), Scaling Laws for Transfer, eq. 1.2",
)

DOWNSTREAM_ERROR = Law(
    name="downstream-error",
    title="Task error as an exponential of the loss",
    formula="epsilon - k*exp(-kappa*loss)",
    parameters=(
        offset("epsilon", "error of guessing"),
        signed("k", "coefficient"),
        positive("kappa", "rate in the loss [1/unit of the loss]", (0.1, 0.3, 1.0, 3.0, 8.0)),
    ),
    variables=("loss",),
    response="error",
    reference="Gadre et al. (2024), Language Models Scale Reliably with Over-Training, eq. 5",
)

TASK_SIGMOID = Law(
    name="task-sigmoid",
    title="Task accuracy as a sigmoid of the loss",
    formula="low + (high - low)/(1 + exp(k*(loss - L_0)))",
    parameters=(
        signed("low", "accuracy at high loss"),
        signed("high", "accuracy at low loss"),
        positive("k", "steepness [1/unit of the loss]", (0.5, 1.5, 5.0, 15.0, 50.0)),
        positive("L_0", "loss in the middle", near("loss", 0.6, 0.75, 0.9, 1.0, 1.1, 1.3, 1.6)),
    ),
    variables=("loss",),
    response="accuracy",
    reference="Bhagia et al. (2024), Establishing Task Scaling Laws via Compute-Efficient Model "
    "Ladders, eq. 3",
)

REWARD = Law(
    name="reward",
    title="Reward of reinforcement learning as a sigmoid of compute",
    formula="R_0 + (A - R_0)/(1 + (C_mid/C)**B)",
    parameters=(
        signed("R_0", "reward before training"),
        signed("A", "asymptotic reward"),
        positive(
            "C_mid", "compute at half the gain [FLOP]", near("C", 0.01, 0.1, 1.0, 10.0, 100.0)
        ),
        exponent("B", "compute", (0.2, 0.5, 1.0, 2.0, 4.0)),
    ),
    variables=("C",),
    response="reward",
    reference="Khatri et al. (2025), The Art of Scaling Reinforcement Learning Compute, eq. 1",
)

REPEATED_SAMPLING = Law(
    name="repeated-sampling",
    title="Share of tasks solved in a number of samples",
    formula="exp(-a*samples**(-b))",
    parameters=(
        positive("a", "minus the log of the share solved at the first sample", (1.0,)),
        exponent("b", "samples"),
    ),
    variables=("samples",),
    response="coverage",
    reference="Brown et al. (2024), Large Language Monkeys, eq. 2",
    candidates=starts.coverage,
)

CURVES = (
    *(
        make(v)
        for make in (power, pure_power, kaplan, saturating, SigmoidalLaw.of)
        for v in VARIABLES
    ),
    *(broken(v, k) for k in (1, 2, 3) for v in VARIABLES),
    *(make(v) for make in (shifted, rectified) for v in VARIABLES),
    VANILLA,
    TRANSFER,
    DOWNSTREAM_ERROR,
    TASK_SIGMOID,
    REWARD,
    REPEATED_SAMPLING,
)
