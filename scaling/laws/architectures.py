"""Laws of what a model is made of: experts, precision, vocabulary, mixtures, streams."""

from __future__ import annotations

from scaling.laws import starts
from scaling.laws.law import Law, Published
from scaling.laws.pieces import (
    FEW_EXPONENTS,
    coefficient,
    exponent,
    free_exponent,
    near,
    offset,
    positive,
    shape,
    signed,
)

_E_HAT = "1/(1/(experts - 1 + 1/(1/E_start - 1/E_max)) + 1/E_max)"

ROUTED = Law(
    name="moe-clark",
    title="Routed models: bilinear in ln N and ln experts",
    formula=f"exp(a_N*log(N) + b_E*log({_E_HAT}) + c_NE*log(N)*log({_E_HAT}) + d)",
    parameters=(
        shape("a_N", "slope in ln N", 0.0),
        shape("b_E", "slope in ln experts", 0.0),
        shape("c_NE", "interaction", 0.0),
        shape("d", "level", 0.0),
        positive("E_start", "experts at which routing begins to help", (1.0,)),
        positive("E_max", "experts at which it stops helping", (300.0,)),
    ),
    variables=("N", "experts"),
    reference="Clark et al. (2022), Unified Scaling Laws for Routed Language Models, eq. 10",
    candidates=starts.routed,
)

GRANULAR = Law(
    name="moe-krajewski",
    title="Fine-grained mixture of experts",
    formula="E + (g/granularity**gamma + A)/N**alpha + B/D**beta",
    parameters=(
        offset(),
        coefficient("g", "granularity"),
        coefficient("A", "N"),
        coefficient("B", "D"),
        exponent("gamma", "granularity", FEW_EXPONENTS),
        exponent("alpha", "N", FEW_EXPONENTS),
        exponent("beta", "D", FEW_EXPONENTS),
    ),
    variables=("N", "D", "granularity"),
    reference="Krajewski et al. (2024), Scaling Laws for Fine-Grained Mixture of Experts, eq. 9",
    published=(
        Published(
            "Krajewski et al. 2024",
            {
                "E": 0.47,
                "g": 2.1,
                "A": 18.1,
                "B": 30.8,
                "gamma": 0.58,
                "alpha": 0.115,
                "beta": 0.147,
            },
            "N total parameters without embeddings; D tokens",
        ),
    ),
)

SPARSE = Law(
    name="moe-abnar",
    title="Sparse mixture of experts: two terms of sparsity",
    formula="E + A/N**alpha + B/D**beta + c/(1 - sparsity)**lam"
    " + d/((1 - sparsity)**delta*N**gamma)",
    parameters=(
        offset(),
        coefficient("A", "N"),
        coefficient("B", "D"),
        coefficient("c", "sparsity"),
        coefficient("d", "sparsity and N"),
        exponent("alpha", "N", FEW_EXPONENTS),
        exponent("beta", "D", FEW_EXPONENTS),
        free_exponent("lam", "1 - sparsity", (-0.6, -0.2, 0.2, 0.6)),
        free_exponent("delta", "1 - sparsity, with N", (-0.6, -0.2, 0.2, 0.6)),
        exponent("gamma", "N, with sparsity", FEW_EXPONENTS),
    ),
    variables=("N", "D", "sparsity"),
    reference="Abnar et al. (2025), Parameters vs FLOPs: Scaling Laws for Optimal Sparsity, eq. 6",
)

JOINT_MOE = Law(
    name="moe-ludziejewski",
    title="Mixture of experts: exponents move with the experts",
    formula="E + A*experts**delta*N**(-alpha + gamma*log(experts))"
    " + B*experts**omega*D**(-beta + zeta*log(experts))",
    parameters=(
        offset(),
        coefficient("A", "N"),
        coefficient("B", "D"),
        exponent("alpha", "N", FEW_EXPONENTS),
        exponent("beta", "D", FEW_EXPONENTS),
        free_exponent("gamma", "N, per ln experts", (-0.02, 0.02)),
        free_exponent("zeta", "D, per ln experts", (-0.02, 0.02)),
        free_exponent("delta", "experts, in the N term", (-0.4, 0.1)),
        free_exponent("omega", "experts, in the D term", (-0.1, 0.4)),
    ),
    variables=("N", "D", "experts"),
    reference="Ludziejewski et al. (2025), Joint MoE Scaling Laws, eq. 5",
)

_BITS = (0.7, 1.8, 4.0)
PRECISION = Law(
    name="precision",
    title="Additive law in the parameters that precision leaves",
    formula="E + A/(N*(1 - exp(-P_w/gamma_w))*(1 - exp(-P_a/gamma_a))*(1 - exp(-P_kv/gamma_kv)))"
    "**alpha + B/D**beta",
    parameters=(
        offset(),
        coefficient("A", "N"),
        coefficient("B", "D"),
        exponent("alpha", "N", FEW_EXPONENTS),
        exponent("beta", "D", FEW_EXPONENTS),
        positive("gamma_w", "sensitivity to the bits of weights", _BITS),
        positive("gamma_a", "sensitivity to the bits of activations", _BITS),
        positive("gamma_kv", "sensitivity to the bits of the KV cache", _BITS),
    ),
    variables=("N", "D", "P_w", "P_a", "P_kv"),
    reference="Kumar et al. (2024), Scaling Laws for Precision, eq. 3",
)

QUANTISED = Law(
    name="precision-post",
    title="Additive law with the loss added by quantisation",
    formula="E + A/N**alpha + B/D**beta + C_T*D**gamma_D/N**gamma_N*exp(-P_post/gamma_post)",
    parameters=(
        offset(),
        coefficient("A", "N"),
        coefficient("B", "D"),
        coefficient("C_T", "quantisation"),
        exponent("alpha", "N", FEW_EXPONENTS),
        exponent("beta", "D", FEW_EXPONENTS),
        exponent("gamma_D", "D in the penalty", FEW_EXPONENTS),
        exponent("gamma_N", "N in the penalty", FEW_EXPONENTS),
        positive("gamma_post", "bits over which the penalty falls by e", (0.3, 0.6, 1.2)),
    ),
    variables=("N", "D", "P_post"),
    reference="Kumar et al. (2024), Scaling Laws for Precision, eqs. 2 and 9",
)

VOCABULARY = Law(
    name="vocabulary",
    title="Unigram-normalised loss with a vocabulary term",
    formula="-E + A_1/N_nv**alpha_1 + A_2/N_v**alpha_2 + B/H**beta",
    parameters=(
        signed("E", "minus the floor of the normalised loss"),
        coefficient("A_1", "N_nv"),
        coefficient("A_2", "N_v"),
        coefficient("B", "H"),
        exponent("alpha_1", "parameters outside the vocabulary", FEW_EXPONENTS),
        exponent("alpha_2", "parameters of the vocabulary", FEW_EXPONENTS),
        exponent("beta", "characters", FEW_EXPONENTS),
    ),
    variables=("N_nv", "N_v", "H"),
    reference="Tao et al. (2024), Scaling Laws with Vocabulary, eq. 4",
)

STREAMS = Law(
    name="parallel-streams",
    title="Parallel streams count as parameters, logarithmically",
    formula="E + (A/(N*(1 + k*log(streams))))**alpha",
    parameters=(
        offset(),
        positive("A", "scale of N", near("N", 1.0)),
        exponent("alpha", "N"),
        positive("k", "worth of a stream", (0.3,)),
    ),
    variables=("N", "streams"),
    reference="Chen et al. (2025), Parallel Scaling Law for Language Models, eq. 7",
    candidates=starts.streams,
)


def mixture(domains: int) -> Law:
    """Make the law of a data mixture: loss in the shares ``r_1 … r_domains``, which sum to 1.

    The last share is left out of the exponent: adding a constant to every ``t`` rescales ``k`` and
    changes no loss on the simplex.
    """
    free = range(1, domains)
    terms = " + ".join(f"t_{j}*r_{j}" for j in free)
    return Law(
        name=f"mixture-{domains}",
        title=f"Data mixture of {domains} domains",
        formula=f"c + k*exp({terms})",
        parameters=(
            offset("c", "floor [unit of the loss]"),
            coefficient("k", "mixture"),
            *(shape(f"t_{j}", f"slope in the share of domain {j}", -4, -1, 1, 4) for j in free),
        ),
        variables=tuple(f"r_{j}" for j in free),
        reference="Ye et al. (2024), Data Mixing Laws, eq. 1",
    )


ARCHITECTURES = (
    ROUTED,
    GRANULAR,
    SPARSE,
    JOINT_MOE,
    PRECISION,
    QUANTISED,
    VOCABULARY,
    STREAMS,
    *(mixture(k) for k in (2, 3, 4, 5)),
)
