"""What runs will tell: Fisher information, and standard errors of decisions by the delta method.

Residuals are of ln loss, normal with the prior's noise. Parameters are in the solver's coordinates
(logarithms of positive parameters). Everything is exact to first order; where the runs hardly
determine a law, simulated standard errors are larger.

References
----------
Atkinson, Donev and Tobias (2007), Optimum Experimental Designs, ch. 9 and 17 (information of a
non-linear model; c-optimality).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Fault, PlanError
from scaling.fitting.allocation import best_size, local_exponents
from scaling.laws import Law
from scaling.laws.cost import SIX_ND, Cost
from scaling.planning.choosing.truths import Prior, Truth

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
QUANTITIES = ("exponent", "size", "loss")
NAMES = ("a", "ln N*", "ln loss")  # of QUANTITIES, as standard errors are listed
STENCIL = np.array([-2.0, -1.0, 1.0, 2.0])
WEIGHTS = np.array([1.0, -8.0, 8.0, -1.0]) / 12.0
STEP = 1e-3  # of a logarithm, or of a parameter relative to its size
UNSEEN = 1e-6  # singular value, relative to the largest, of a direction that is not seen;
# of runs along one ratio D/N it is 1e-13 to 1e-6, in a box of factors 1.5 in N and D 3e-5
INSIDE = 1e-6  # share of a gradient that may lie outside what is seen


@dataclass(frozen=True)
class Runs:
    """A design, or runs that exist.

    Attributes
    ----------
    N, D : ndarray
        Parameters and tokens [count], shape (n,).
    replicates : ndarray, optional
        Independent runs of each row, shape (n,); one each if None. Whole numbers where there are
        trunks, whose copies each have noise of their own.
    trunk : ndarray of int, optional
        Rows with equal numbers share the noise of their trunk, shape (n,); below 0, or None: none.
    """

    N: Array
    D: Array
    replicates: Array | None = None
    trunk: Ints | None = None


@dataclass(frozen=True)
class Precision:
    """What a design tells of one truth.

    Attributes
    ----------
    names : tuple of str
        Free parameters of the law to be fitted.
    covariance : ndarray
        Of the parameters in the solver's coordinates, shape (p, p); over the directions that the
        runs see, where they do not see all.
    identified : bool
        Whether the runs see every direction.
    se : mapping
        Standard errors of the parameters in their own units, and of ``a``, ``ln N*`` and
        ``ln loss`` at the target; infinite where the runs do not see them.
    """

    names: tuple[str, ...]
    covariance: Array = field(compare=False, repr=False)
    identified: bool
    se: Mapping[str, float]


def precision(
    truth: Truth, runs: Runs, target: float, cost: Cost = SIX_ND, decisions: Array | None = None
) -> Precision:
    """Return the standard errors that a design gives under a truth.

    Parameters
    ----------
    truth : Truth
    runs : Runs
    target : float
        C at which N* and the loss are wanted [FLOP]; also of `a`, where it varies.
    cost : Cost
    decisions : ndarray, optional
        Gradients from `decision_gradients`, shape (3, p), if they are at hand.

    Raises
    ------
    PlanError
        SC211 if the truth has no optimum at the target.
    """
    law, at = truth.model, truth.lifted()
    if decisions is None:
        decisions = decision_gradients([truth], target, cost)[0]
    rows = whitened(truth, runs)
    scale = np.sqrt((rows**2).sum(axis=0))
    scale[scale == 0] = 1.0
    triangle = np.linalg.qr(rows / scale, mode="r")
    _, values, basis = np.linalg.svd(triangle, full_matrices=False)
    seen = values > UNSEEN * max(values[0], 1e-300)
    root = basis[seen].T / values[seen] / scale[:, None]
    width = np.array([at[n] if law.parameter(n).in_log else 1.0 for n in law.names])
    asked = np.concatenate([np.diag(width), decisions])
    scaled = asked / scale
    hidden = scaled - (scaled @ basis[seen].T) @ basis[seen]
    lost = np.linalg.norm(hidden, axis=1) > INSIDE * np.linalg.norm(scaled, axis=1)
    errors = np.where(lost, np.inf, np.linalg.norm(asked @ root, axis=1))
    se = dict(zip((*law.names, *NAMES), map(float, errors), strict=True))
    return Precision(law.names, root @ root.T, int(seen.sum()) == len(law.names), se)


def precisions(
    prior: Prior, runs: Runs, target: float, cost: Cost = SIX_ND
) -> tuple[Precision, ...]:
    """Return `precision` under each truth of a prior."""
    found = decision_gradients(prior.truths, target, cost)
    pairs = zip(prior.truths, found, strict=True)
    return tuple(precision(truth, runs, target, cost, own) for truth, own in pairs)


def pooled(prior: Prior, found: Sequence[Precision]) -> dict[str, float]:
    """Return the root of the weighted mean square of each standard error that all truths have."""
    names = [n for n in found[0].se if all(n in p.se for p in found)]
    squares = {n: np.array([p.se[n] for p in found]) ** 2 for n in names}
    return {n: float(np.sqrt(prior.weights @ square)) for n, square in squares.items()}


# ------------------------------------------------------------------------------------------ rows


def sensitivities(truth: Truth, N: Array, D: Array) -> Array:
    """Return the derivatives of ln loss by the parameters to be fitted, shape (n, p)."""
    found = _slopes(truth.model, _columns([truth]), np.asarray(N), np.asarray(D))
    return np.asarray(found[0])


def whitened(truth: Truth, runs: Runs) -> Array:
    """Return rows whose products add up to the information, ``W^T W``.

    Without trunks each row is the sensitivity over the noise, times the root of its replicates;
    rows of a copy of a trunk are decorrelated by the Cholesky factor of their covariance.

    Returns
    -------
    ndarray
        Shape (n, p), or with trunks a row for each replicate.

    Raises
    ------
    PlanError
        SC211 if lengths differ, numbers are not above 0, or replicates of trunks not whole.
    """
    N, D = np.asarray(runs.N, dtype=np.float64), np.asarray(runs.D, dtype=np.float64)
    count = np.ones(len(N)) if runs.replicates is None else np.asarray(runs.replicates, float)
    check_runs(N, D, count, runs.trunk)
    rows = sensitivities(truth, N, D)
    if runs.trunk is None or truth.noise.trunk == 0.0:
        return np.asarray(rows * (np.sqrt(count) / truth.noise.total(N, D))[:, None])
    times = np.rint(count).astype(np.int64)
    index = np.repeat(np.arange(len(N)), times)
    copy = np.arange(len(index)) - np.repeat(np.cumsum(times) - times, times)
    own, rows, trunk = truth.noise.own(N, D)[index], rows[index], np.asarray(runs.trunk)[index]
    out = rows / np.hypot(own, truth.noise.trunk)[:, None]
    keys = np.stack([trunk, copy], axis=1)
    for key in np.unique(keys[trunk >= 0], axis=0):
        members = np.flatnonzero((keys == key).all(axis=1))
        block = np.diag(own[members] ** 2) + truth.noise.trunk**2
        out[members] = np.linalg.solve(np.linalg.cholesky(block), rows[members])
    return np.asarray(out)


def check_runs(N: Array, D: Array, count: Array, trunk: Ints | None) -> None:
    """Refuse arrays that are no runs.

    Raises
    ------
    PlanError
        SC211.
    """
    lengths = {len(N), len(D), len(count), len(N if trunk is None else trunk)}
    if len(lengths) > 1 or not len(N):
        raise PlanError(Fault("SC211", "runs", f"lengths {sorted(lengths)}", "equal, at least 1"))
    good = (N > 0) & (D > 0) & np.isfinite(N) & np.isfinite(D) & (count > 0) & np.isfinite(count)
    if trunk is not None:
        good &= np.rint(count) == count
    if not good.all():
        i = int(np.flatnonzero(~good)[0])
        found = f"N {N[i]:g}, D {D[i]:g}, {count[i]:g} times"
        expected = "numbers above 0, and whole replicates where there are trunks"
        raise PlanError(Fault("SC211", f"runs, row {i + 1}", found, expected))


# ------------------------------------------------------------------------------------- gradients


def decision_gradients(
    truths: Sequence[Truth], target: float, cost: Cost = SIX_ND
) -> tuple[Array, ...]:
    """Return the derivatives of `QUANTITIES` by the parameters to be fitted.

    Those of the loss are exact (the envelope theorem: at the optimum a move of N* changes nothing);
    those of a and ln N* are differences of fourth order.

    Returns
    -------
    tuple of ndarray
        One of shape (3, p) for each truth: of a, of ln N* and of ln loss at the target.

    Raises
    ------
    PlanError
        SC211 if a truth has no optimum at the target.
    """
    out: list[Array] = [np.zeros(0)] * len(truths)
    groups: dict[str, list[int]] = {}
    for i, truth in enumerate(truths):
        groups.setdefault(truth.model.formula, []).append(i)
    for members in groups.values():
        law, columns = truths[members[0]].model, _columns([truths[i] for i in members])
        for i, found in zip(members, _gradients(law, columns, target, cost), strict=True):
            if not np.isfinite(found).all():
                where, what = f"prior, {truths[i].source}", f"no optimum at C = {target:.4g}"
                mend = "choose a target that this law allots, or leave the law out"
                raise PlanError(Fault("SC211", where, what, mend=mend))
            out[i] = found
    return tuple(out)


def _columns(truths: Sequence[Truth]) -> dict[str, Array]:
    """Parameters of truths with one law to be fitted, each of shape (k,)."""
    lifted = [truth.lifted() for truth in truths]
    return {name: np.array([p[name] for p in lifted]) for name in truths[0].model.names}


@np.errstate(all="ignore")  # a truth whose optimum lies beyond any number is refused above
def _gradients(law: Law, columns: Mapping[str, Array], target: float, cost: Cost) -> Array:
    """Gradients of the three quantities, shape (k, 3, p)."""
    k, p = len(next(iter(columns.values()))), len(law.names)
    logs = np.array([law.parameter(name).in_log for name in law.names])
    z = np.stack([columns[n] for n in law.names], axis=1)
    size = np.where(logs, 1.0, np.maximum(np.abs(z), 1e-3))
    moved = np.repeat(z[:, None, None, :], p, axis=1).repeat(len(STENCIL), axis=2)
    for j in range(p):
        by = STEP * STENCIL
        moved[:, j, :, j] = (
            z[:, j, None] * np.exp(by) if logs[j] else z[:, j, None] + by * size[:, j, None]
        )
    flat = moved.reshape(-1, p)
    around = {n: flat[:, j] for j, n in enumerate(law.names)}
    exponent, log_size = _decisions(law, around, target, cost)
    values = np.stack([exponent, log_size], axis=1).reshape(k, p, len(STENCIL), 2)
    slopes = np.einsum("s,kpsq->kqp", WEIGHTS, values) / STEP / size[:, None, :]
    u, v = best_size(law, _drawn(columns), np.log([target]), cost)
    loss = _slopes(law, columns, np.exp(u), np.exp(v))
    return np.concatenate([slopes, loss], axis=1)


def _decisions(
    law: Law, columns: Mapping[str, Array], target: float, cost: Cost
) -> tuple[Array, Array]:
    """Return a and ln N* at the target, shape (m,)."""
    u, _ = best_size(law, _drawn(columns), np.log([target]), cost)
    exponent = np.asarray(local_exponents(law, columns, target, cost)[0])
    return np.broadcast_to(exponent, u[:, 0].shape), u[:, 0]


def _drawn(columns: Mapping[str, Array]) -> dict[str, Array]:
    return {name: value[:, None] for name, value in columns.items()}


def _slopes(law: Law, columns: Mapping[str, Array], N: Array, D: Array) -> Array:
    """Derivatives of ln loss by the parameters in the solver's coordinates, shape (k, n, p)."""
    x, own = {"N": N, "D": D}, _drawn(columns)
    logs = {name: np.log(value) for name, value in x.items()}
    value, slope = law.value_and_gradient(own, x, logs, law.names)
    shape = np.shape(value)
    out = np.zeros((*shape, len(law.names)))
    for j, name in enumerate(law.names):
        chain = own[name] if law.parameter(name).in_log else 1.0
        out[..., j] = slope.get(name, 0.0) * chain / value
    return out
