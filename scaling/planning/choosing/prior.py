"""Where priors come from: published laws, given ones, a fit, a center, or the default.

A prior is a finite set of truths. A design that is good on average over them does not depend on any
one being right, nor on the law being additive, if a coupled one is among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Fault, PlanError, listed
from scaling.fitting.allocation import allocates
from scaling.fitting.auto.mixture import Mixture
from scaling.fitting.auto.unmixed import by_law
from scaling.laws import LAWS, Law, Published, get
from scaling.laws.cost import SIX_ND, Cost
from scaling.laws.pieces import EXPONENT_BOUNDS
from scaling.planning.choosing.truths import Noise, Prior, Truth

__all__ = [
    "Noise",
    "Prior",
    "Truth",
    "about_center",
    "coupled_like",
    "explicit",
    "known",
    "language_models",
    "posterior",
    "published",
]

COUPLING = 0.45  # power k of a coupled truth; Videau et al. (2026) report .31 to .45
POWERS = (1.0, 0.6, 0.35)  # k of the truths about a center, from additive to strongly coupled
OFF = 2.0  # factor by which N* of the default laws may be off
GAMMA = 0.17  # exponent of C in the loss along the optimum; Hoffmann .155, Besiroglu .178
LEVEL = "besiroglu-2024"  # whose loss along the optimum is assumed where none is given
MOST = 64  # truths that stand for a posterior


def known() -> dict[str, tuple[Law, Published]]:
    """Return the published laws of N and D by id, such as ``hoffmann-2022``."""
    out: dict[str, tuple[Law, Published]] = {}
    for law in LAWS.values():
        if not allocates(law) or set(law.variables) != {"N", "D"}:
            continue
        for item in law.published:
            author, year = item.source.split()[0], re.search(r"\d{4}", item.source)
            out.setdefault(f"{author}-{year[0] if year else law.name}".lower(), (law, item))
    return out


def published(*ids: str, noise: Noise | None = None) -> Prior:
    """Make a prior of published laws, weighted alike.

    Parameters
    ----------
    *ids : str
        Of `known`.
    noise : Noise, optional

    Raises
    ------
    PlanError
        SC210 with the ids that there are.
    """
    table = known()
    for name in ids:
        if name not in table:
            expected = listed(sorted(table), 8)
            raise PlanError(Fault("SC210", "prior", f'nothing published as "{name}"', expected))
    truths = [
        Truth(law, dict(item.params), name, noise=noise or Noise())
        for name, (law, item) in ((n, table[n]) for n in ids)
    ]
    return Prior(tuple(truths), " + ".join(ids))


def explicit(law: Law | str, params: Mapping[str, float], noise: Noise | None = None) -> Prior:
    """Make a prior of one law with given parameters."""
    found = get(law) if isinstance(law, str) else law
    truth = Truth(found, dict(params), f"{found.name} as given", noise=noise or Noise())
    return Prior((truth,), truth.source)


def posterior(
    law: Law,
    draws: Mapping[str, Any],
    noise: Noise | None = None,
    most: int = MOST,
) -> Prior:
    """Make a prior of the draws of a fit, weighted alike.

    Parameters
    ----------
    law : Law
        That was fitted; of `auto` each draw is of one of its laws.
    draws : mapping
        Values of every parameter, each of shape (k,), as a stored fit holds them; shape (1,) is
        the estimate alone.
    noise : Noise, optional
    most : int
        Draws that are kept, evenly spaced through those there are. Draws that are not finite, on
        a bound in a coefficient or without an optimum say nothing of a decision and are left out.

    Raises
    ------
    PlanError
        SC210 if none is left.
    """
    if isinstance(law, Mixture):
        parts = list(by_law(law, draws))
    else:
        columns = {n: np.atleast_1d(np.asarray(draws[n], dtype=np.float64)) for n in law.names}
        parts = [(law, columns, np.ones(len(next(iter(columns.values())))))]
    truths = []
    for member, values, weights in parts:
        for i in _sound(member, values):
            params = {n: float(v[i]) for n, v in values.items()}
            source = f"{member.name}, draw {i}" if member is not law else f"draw {i}"
            truths.append(Truth(member, params, source, float(weights[i]), noise or Noise()))
    if not truths:
        found, expected = "no usable draw", "finite draws inside the bounds of the law"
        raise PlanError(Fault("SC210", f"posterior of {law.name}", found, expected))
    if len(truths) > most:
        truths = [truths[(k * len(truths)) // most] for k in range(most)]
    return Prior(tuple(truths), f"posterior of {law.name}, {len(truths)} draws")


def _sound(law: Law, columns: Mapping[str, NDArray[np.float64]]) -> NDArray[np.int64]:
    """Draws that are finite, inside the bounds, and on none of them in a coefficient."""
    sound = np.all([np.isfinite(v) for v in columns.values()], axis=0)
    for p in law.parameters:
        sound &= (columns[p.name] >= p.low) & (columns[p.name] <= p.high)
        if p.in_log:
            sound &= (columns[p.name] > 1e3 * p.low) & (columns[p.name] < 1e-3 * p.high)
    return np.flatnonzero(sound)


def coupled_like(truth: Truth, power: float = COUPLING) -> Truth:
    """Return a coupled law with the compute-optimal frontier of an additive one.

    ``E + (A'/N^alpha' + B'/D^beta')^k`` with ``alpha' = alpha/k``, ``beta' = beta/k`` has the same
    N*(C) and the same loss along it for every C under C = 6ND; away from it the losses differ.

    Raises
    ------
    PlanError
        SC210 if the truth is not additive or k not above 0.
    """
    if truth.law.name != "chinchilla" or not power > 0:
        found = f"{truth.law.name} with k = {power:g}"
        raise PlanError(Fault("SC210", f"prior, {truth.source}", found, "chinchilla, k above 0"))
    p = truth.params
    alpha, beta = p["alpha"], p["beta"]
    log_g = (np.log(alpha * p["A"]) - np.log(beta * p["B"])) / (alpha + beta)
    # ln of the inner sum where C/6 = 1, which its two terms share as beta : alpha at the optimum
    log_sum = np.logaddexp(np.log(p["A"]) - alpha * log_g, np.log(p["B"]) + beta * log_g) / power
    inner = {"alpha": alpha / power, "beta": beta / power}
    share = beta / (alpha + beta)
    inner["A"] = float(np.exp(log_sum + np.log(share) + inner["alpha"] * log_g))
    inner["B"] = float(np.exp(log_sum + np.log1p(-share) - inner["beta"] * log_g))
    params = {"E": p["E"], "A": inner["A"], "B": inner["B"]}
    params |= {"alpha": inner["alpha"], "beta": inner["beta"], "k": power}
    source = f"{truth.source}, coupled with k = {power:g}"
    return replace(truth, law=LAWS["coupled"], params=params, source=source, fitted=None)


def about_center(
    N: float,
    C: float,
    exponent: float = 0.5,
    *,
    gamma: float | None = None,
    floor: float | None = None,
    reducible: float | None = None,
    powers: Iterable[float] = POWERS,
    noise: Noise | None = None,
    cost: Cost = SIX_ND,
) -> Prior:
    """Make a prior for those who know only where the optimum is.

    The optimum is ``N*(C') = N (C'/C)^exponent``. The loss is assumed: with C growing as N^s at
    equal D (s = 1 under 6ND), its exponents are ``alpha = gamma/a`` and ``beta = gamma/(1 - a s)``,
    so that the loss along the optimum falls as C^-gamma.

    Parameters
    ----------
    N, C, exponent : float
        Optimum N [count] at C [FLOP], and a, above 0 and below 1.
    gamma : float, optional
        Exponent of C in the loss along the optimum; .17 if not given, or less where alpha or beta
        would not be within the bounds of the laws.
    floor, reducible : float, optional
        E, and loss - E at the optimum of `C` [nats]; of Besiroglu et al. (2024) if not given, and
        then loss - E no more than E.
    powers : iterable of float
        A truth for each power k: 1 is the additive law, another a coupled law with that frontier.
    noise : Noise, optional
    cost : Cost
        What C counts; under another cost than 6ND the law is additive alone.

    Raises
    ------
    PlanError
        SC210 if a number is out of range.
    """
    law, item = known()[LEVEL]
    usual = Prior((Truth(law, item.params, LEVEL),), LEVEL)
    powers = tuple(powers) if cost.formula == SIX_ND.formula else (1.0,)
    sound = 0 < exponent < 1 and N > 0 and C > 0
    slope = float(cost.log_slopes(np.log(N), np.log(C / 6.0 / N))[1]) if sound else 1.0
    rest = 1.0 - exponent * slope
    if gamma is None:
        gamma = min(GAMMA, 0.9 * EXPONENT_BOUNDS[1] * min(exponent, rest) * min(powers))
    if not (sound and gamma > 0 and rest > 0):
        found = f"N {N:g}, C {C:g}, exponent {exponent:g}, gamma {gamma:g}"
        raise PlanError(Fault("SC210", "center", found, "all above 0, the exponent below 1"))
    floor = item.params["E"] if floor is None else floor
    if reducible is None:
        reducible = float(usual.optimum(np.array([C]))[2][0, 0]) - item.params["E"]
        reducible = min(reducible, floor)  # far below the runs that law was fitted to, it explodes
    alpha, beta = gamma / exponent, gamma / rest
    log_n = np.log(N)
    log_d = float(cost.log_tokens(log_n, np.log(C)))
    share = slope * beta / (alpha + slope * beta)  # of the reducible loss that N's term has
    params = {
        "E": floor,
        "A": float(np.exp(np.log(reducible * share) + alpha * log_n)),
        "B": float(np.exp(np.log(reducible * (1.0 - share)) + beta * log_d)),
        "alpha": alpha,
        "beta": beta,
    }
    name = f"N* = {N:.4g} at C = {C:.4g}, a = {exponent:.4g}"
    base = Truth(LAWS["chinchilla"], params, name, noise=noise or Noise())
    truths = [base if k == 1.0 else coupled_like(base, k) for k in powers]
    return Prior(tuple(truths), name, assumed=True)


def language_models(noise: Noise | None = None, off: float = OFF) -> Prior:
    """Return the default prior for language models.

    Hoffmann et al. (2022), its refit by Besiroglu et al. (2024), and a coupled law with the
    refit's frontier, so that a design does not lean on additivity; each also with N* a factor
    `off` lower and higher, so that it does not lean on their data and tokenizer.

    Raises
    ------
    PlanError
        SC210 if `off` is not above 0; 1 takes the laws as they are.
    """
    printed = published("hoffmann-2022", LEVEL, noise=noise)
    laws = Prior((*printed.truths, coupled_like(printed.truths[1])), "language models")
    if off == 1.0:
        return laws
    return laws.shifted((1.0 / off, 1.0, off) if off > 0 else (off,))
