"""A design and true parameters for every law, where noise-free runs determine it."""

import numpy as np

from scaling.laws import LAWS
from scaling.laws.schedules import MultiPowerLaw, annealing_areas

GRID = {"N": np.geomspace(1e7, 1e10, 7), "D": np.geomspace(1e9, 5e11, 7)}


def cross(**axes):
    """All combinations of the axes."""
    found = np.meshgrid(*axes.values(), indexing="ij")
    return {name: values.ravel() for name, values in zip(axes, found, strict=True)}


def curve(name, low, high, points=40):
    return {name: np.geomspace(low, high, points)}


RANGES = {"N": (1e5, 1e10), "D": (1e6, 1e11), "C": (1e15, 1e22)}
SURFACE = cross(**GRID)
MIXTURE = np.random.default_rng(1).dirichlet(np.ones(5), 60)
SLOPES = (-1.2, 0.4, -0.6, 1.1)
LOSSES = {"loss": np.linspace(1.8, 4.2, 30)}


def one_variable(variable):
    """Truths of the laws of one variable, by the start of their name."""
    low, high = RANGES[variable]
    x, top = curve(variable, low, high), np.sqrt(low * high)
    factor, slope = {"N": ("A", "alpha"), "D": ("B", "beta"), "C": ("K", "gamma")}[variable]
    breaks = {f"d{i}": low * (high / low) ** at for i, at in enumerate((0.25, 0.5, 0.75), 1)}
    bends = {"c1": 0.3, "c2": -0.25, "c3": 0.2, "f1": 0.3, "f2": 0.4, "f3": 0.25} | breaks
    wide = curve(variable, low, high, 120)

    def broken(k):
        names = ["a", "b", "c0", *(f"{n}{i}" for i in range(1, k + 1) for n in "cdf")]
        values = {"a": 0.5, "b": 5.0 * low**0.15, "c0": 0.15} | bends
        return wide, {n: values[n] for n in names}

    found = {
        f"power-{variable}": (x, {"E": 1.7, factor: 3.0 * low**0.3, slope: 0.3}),
        f"m1-{variable}": (x, {factor: 3.0 * low**0.1, slope: 0.1}),
        f"kaplan-{variable}": (x, {f"{variable}_c": 1e4 * high, f"alpha_{variable}": 0.08}),
        f"m3-{variable}": (x, {"B": 4.0 * low**0.3, "g": 5.0 / top, "c": 0.3}),
        f"m4-{variable}": (
            x,
            {"E": 0.4, "E_0": 5.0, "alpha": 1.4, "B": top**0.4, "c": 0.4},
        ),
        f"bnsl1-{variable}": broken(1),
        f"bnsl2-{variable}": broken(2),
        f"bnsl3-{variable}": broken(3),
    }
    if variable != "C":  # there it is called vision
        flat = {"E": 0.6, factor: 3.0 * low**0.4, f"{variable}_0": 30.0 * low, slope: 0.4}
        found[f"shifted-{variable}"] = (x, flat)
    if variable != "D":  # there it has no variable in its name
        level = (30.0 * low) ** 0.5
        found[f"rectified-{variable}"] = (
            x,
            {"E": 0.6, "B": 3.0 * level, f"{variable}_l": level, slope: 0.5},
        )
    return found


HOFFMANN = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
TRUTHS = {
    "chinchilla": (SURFACE, HOFFMANN),
    "no-floor": (SURFACE, {k: v for k, v in HOFFMANN.items() if k != "E"}),
    "broken-data": (SURFACE, HOFFMANN | {"c1": 0.15, "d1": 2e10, "f1": 0.4}),
    "over-training": (SURFACE, {"E": 1.8, "A": 166.0, "B": 290.0, "alpha": 0.273}),
    "coupled": (SURFACE, {"E": 1.5, "A": 2e4, "B": 9e4, "alpha": 0.7, "beta": 0.6, "k": 0.45}),
    "nested-q": (SURFACE, {"E": 1.5, "A": 80.0, "B": 150.0, "alpha": 0.3, "beta": 0.26, "q": 0.4}),
    "kaplan": (SURFACE, {"N_c": 6.4e13, "D_c": 1.8e13, "alpha_N": 0.076, "alpha_D": 0.103}),
    "farseer": (
        SURFACE,
        {"a3": 4.0, "b3": 0.3, "gamma": -0.12, "a2": 60.0, "b2": 2.0, "beta": -0.15}
        | {"a1": -0.02, "b1": -0.9, "alpha": 0.12},
    ),
    "data-constrained": (
        cross(N=np.geomspace(1e7, 8e9, 7), D=np.geomspace(1e8, 4e11, 7), D_unique=[1e8, 1e9]),
        HOFFMANN | {"R_D": 15.0, "R_N": 5.0},
    ),
    **{k: v for variable in "NDC" for k, v in one_variable(variable).items()},
    "vision": (curve("C", 1e15, 1e22), {"E": 0.1, "A": 3e3, "C_0": 1e17, "alpha": 0.2}),
    "rectified": (curve("D", 2e2, 2e6), {"E": 1.2, "B": 300.0, "D_l": 120.0, "beta": 0.55}),
    "vanilla": (curve("D", 2e2, 2e6), {"B": 0.02, "E": 1.1, "alpha": 0.6, "beta": 0.4}),
    "transfer": (
        cross(D_F=np.geomspace(1e6, 1e9, 6), N=np.geomspace(1e6, 1e9, 6)),
        {"k": 1.9e4, "alpha": 0.18, "beta": 0.38},
    ),
    "downstream-error": (LOSSES, {"epsilon": 0.857, "k": 2.2, "kappa": 0.71}),
    "task-sigmoid": (LOSSES, {"low": 0.25, "high": 0.95, "k": 3.0, "L_0": 2.9}),
    "reward": (curve("C", 1e15, 1e22), {"R_0": 0.1, "A": 0.62, "C_mid": 1e18, "B": 0.8}),
    "repeated-sampling": (curve("samples", 1, 1e4), {"a": 2.0, "b": 0.35}),
    "moe-clark": (
        cross(N=np.geomspace(1e7, 1e9, 6), experts=[1, 2, 4, 8, 16, 32, 64, 128, 256, 512]),
        {"a_N": -0.082, "b_E": -0.108, "c_NE": 0.009, "d": 2.5, "E_start": 1.9, "E_max": 320.0},
    ),
    "moe-krajewski": (
        cross(**GRID, granularity=[1.0, 2.0, 4.0, 8.0, 16.0]),
        {"E": 0.47, "g": 2.1, "A": 18.1, "B": 30.8, "gamma": 0.58, "alpha": 0.115, "beta": 0.147},
    ),
    "moe-abnar": (
        cross(**GRID, sparsity=[0.0, 0.3, 0.6, 0.8, 0.9, 0.95]),
        {"E": 0.9, "A": 400.0, "B": 400.0, "c": 0.6, "d": 200.0, "alpha": 0.35, "beta": 0.3}
        | {"lam": -0.4, "delta": 0.15, "gamma": 0.25},
    ),
    "moe-ludziejewski": (
        cross(**GRID, experts=[1.0, 2.0, 4.0, 8.0, 16.0, 32.0]),
        {"E": 1.1, "A": 40.0, "B": 60.0, "alpha": 0.2, "beta": 0.22, "gamma": -0.008}
        | {"zeta": 0.006, "delta": 0.12, "omega": -0.15},
    ),
    "precision": (
        cross(
            N=np.geomspace(3e7, 1e9, 4), D=np.geomspace(1e9, 1e11, 4),
            P_w=[3.0, 4, 6, 12], P_a=[3.0, 6, 12], P_kv=[3.0, 6, 12],
        ),
        HOFFMANN | {"gamma_w": 2.6, "gamma_a": 2.2, "gamma_kv": 0.9},
    ),
    "precision-post": (
        cross(N=np.geomspace(3e7, 1e9, 5), D=np.geomspace(1e9, 1e11, 5), P_post=[3.0, 4, 5, 6, 8]),
        HOFFMANN | {"C_T": 0.05, "gamma_D": 0.5, "gamma_N": 0.4, "gamma_post": 0.6},
    ),
    "vocabulary": (
        cross(N_nv=np.geomspace(3e7, 1e9, 5), N_v=np.geomspace(2e6, 1e8, 5),
              H=np.geomspace(1e9, 1e11, 5)),
        {"E": -6.0, "A_1": 300.0, "A_2": 80.0, "B": 250.0, "alpha_1": 0.35, "alpha_2": 0.3}
        | {"beta": 0.25},
    ),
    "parallel-streams": (
        cross(N=np.geomspace(5e8, 5e9, 6), streams=[1.0, 2, 4, 8]),
        {"E": 1.3, "A": 2e7, "alpha": 0.2, "k": 0.33},
    ),
    **{
        f"mixture-{k}": (
            {f"r_{j}": MIXTURE[:, j - 1] for j in range(1, k)},
            {"c": 1.5, "k": 1.2} | {f"t_{j}": t for j, t in enumerate(SLOPES[: k - 1], 1)},
        )
        for k in (2, 3, 4, 5)
    },
    "lr-compute": (curve("C", 1e17, 1e21, 12), {"k": 0.3118, "a": 0.125}),
    "batch-compute": (curve("C", 1e17, 1e21, 12), {"k": 0.292, "a": 0.3271}),
    "lr-step": (SURFACE, {"k": 1.79, "a": 0.713, "b": 0.307}),
    "batch-step": (curve("D", 1e9, 1e12, 12), {"k": 0.58, "b": 0.571}),
    "critical-batch": (curve("batch", 1e3, 1e7, 12), {"S_min": 2e3, "X_min": 8e8}),
    "critical-batch-loss": (LOSSES, {"B_star": 2e8, "p": 4.76}),
    "annealing": (
        dict(
            zip(
                ("S_1", "S_2"),
                (a[9::10] for a in annealing_areas(1e-3 * np.cos(np.linspace(0, 1.4, 600)) ** 2)),
                strict=True,
            )
        ),
        {"L_0": 2.2, "A": 0.5, "alpha": 0.5, "C_a": 0.4},
    ),
}  # fmt: skip
SCHEDULES = (
    1e-2 * (0.1 + 0.45 * (1 + np.cos(np.linspace(0, np.pi, 400)))),
    1e-2 * np.minimum(1.0, np.linspace(4.0, 0.1, 400)),
)
MULTI_POWER = MultiPowerLaw.of(*SCHEDULES, warmup_area=0.1)
STEPS = {"curve": np.repeat([0.0, 1.0], 40), "step": np.tile(np.arange(10.0, 401, 10), 2)}
MULTI_POWER_TRUTH = {
    "L_0": 2.6, "A": 0.45, "B": 40.0, "alpha": 0.5, "beta": 0.6, "gamma": 0.55, "C": 1.5,
}  # fmt: skip


def every_law():
    """Yield the laws with their design and truth."""
    for name, law in LAWS.items():
        yield (law, *TRUTHS[name])
    yield MULTI_POWER, STEPS, MULTI_POWER_TRUTH
