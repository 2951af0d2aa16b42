"""The objective against a few lines of NumPy, its gradient, and scipy from the solution."""

import numpy as np
import pytest
from scipy.optimize import least_squares, minimize

import scaling as sc
from scaling.fitting import objectives
from scaling.fitting.data import Data
from scaling.fitting.seeds import Seeds
from scaling.fitting.solve import refine
from scaling.laws import get

OBJECTIVES = ("log-huber", "huber", "log-mse", "mse")
CHINCHILLA = get("chinchilla")


def surface(p, frame):
    N, D, _ = frame.to_numpy().T
    return p["E"] + p["A"] * N ** -p["alpha"] + p["B"] * D ** -p["beta"]


def huber(r, delta):
    size = np.abs(r)
    return np.where(size <= delta, r**2 / 2, delta * (size - delta / 2))


def expected(name, delta, params, frame):
    """Return the sum that is minimised, written down afresh."""
    f, y = surface(params, frame), frame.to_numpy()[:, 2]
    r = np.log(f) - np.log(y) if name.startswith("log-") else f - y
    return float((r**2 if name.endswith("mse") else huber(r, delta)).sum())


@pytest.fixture(scope="module", params=[0, 2])
def frame(request, runs, hoffmann):
    """Return noisy runs, columns N, D and loss; the second set has outliers."""
    frame = runs("chinchilla", hoffmann, noise=0.004, seed=request.param)
    if request.param == 2:
        frame.loc[[3, 20], "loss"] *= [1.2, 0.9]
    return frame


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("delta", [1e-3, 0.02])
def test_the_value_is_that_of_the_definition(frame, name, delta):
    fit = sc.fit(frame, "chinchilla", objective=name, delta=delta, bootstrap=0)
    value = expected(name, delta, fit.params, frame)
    assert fit.objective.value == pytest.approx(value, rel=1e-9)
    assert fit.objective.name == name
    assert fit.objective.delta == (None if name.endswith("mse") else delta)
    mean = sc.fit(frame, "chinchilla", objective=name, delta=delta, reduction="mean", bootstrap=0)
    assert mean.objective.value == pytest.approx(value / len(frame), rel=1e-9)
    assert dict(mean.params) == dict(fit.params)


def test_the_defaults_are_those_of_the_chinchilla_paper(frame):
    fit = sc.fit(frame, "chinchilla", bootstrap=0)
    o = fit.objective
    assert (o.name, o.delta, o.reduction) == ("log-huber", 1e-3, "sum")
    assert o.value == pytest.approx(expected("log-huber", 1e-3, fit.params, frame), rel=1e-9)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("method", ["L-BFGS-B", "Nelder-Mead"])
def test_scipy_does_not_improve_the_solution(frame, name, method):
    fit = sc.fit(frame, "chinchilla", objective=name, bootstrap=0)
    names, start = CHINCHILLA.names, np.array([fit.params[n] for n in CHINCHILLA.names])
    found = minimize(
        lambda z: 1e4 * expected(name, 1e-3, dict(zip(names, start * np.exp(z), strict=True)),
                                 frame),
        np.zeros(len(start)), method=method,
        options={"L-BFGS-B": {"ftol": 1e-15, "gtol": 1e-10},
                 "Nelder-Mead": {"xatol": 1e-10, "fatol": 1e-13, "maxfev": 1500}}[method],
    )  # fmt: skip
    assert found.fun >= 1e4 * fit.objective.value * (1 - 1e-8)


@pytest.mark.parametrize(
    "start",
    [
        {"E": 0.5, "A": 20.0, "B": 30.0, "alpha": 0.1, "beta": 0.15},
        {"E": 1.0, "A": 2000.0, "B": 3e4, "alpha": 0.5, "beta": 0.5},
        {"E": 1.9, "A": 1e5, "B": 100.0, "alpha": 0.7, "beta": 0.2},
    ],
    ids=["flat", "middle", "steep"],
)
def test_scipy_from_elsewhere_finds_nothing_lower(frame, start):
    fit = sc.fit(frame, "chinchilla", bootstrap=0)
    names = CHINCHILLA.names
    z = np.log([start[n] for n in names])

    def scaled(z):
        return 1e4 * expected("log-huber", 1e-3, dict(zip(names, np.exp(z), strict=True)), frame)

    for _ in range(3):  # L-BFGS stalls on this objective; restarts carry it on
        z = minimize(scaled, z, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-9}).x
    assert scaled(z) >= 1e4 * fit.objective.value * (1 - 1e-8)


def test_least_squares_agree_with_scipy(frame):
    fit = sc.fit(frame, "chinchilla", objective="log-mse", bootstrap=0)
    names, logs = CHINCHILLA.names, np.log(frame.loss)
    start = np.log([1.5, 300.0, 300.0, 0.3, 0.3])
    found = least_squares(
        lambda z: np.log(surface(dict(zip(names, np.exp(z), strict=True)), frame)) - logs,
        start, xtol=1e-15, ftol=1e-15, gtol=1e-15, x_scale="jac", max_nfev=2000,
    )  # fmt: skip
    assert fit.objective.value == pytest.approx(2 * found.cost, rel=1e-9)
    for name, value in zip(names, np.exp(found.x), strict=True):
        assert fit.params[name] == pytest.approx(value, rel=1e-4), name


# --------------------------------------------------------------------------------- the solver alone


def problem(frame, name="log-huber", delta=1e-3, law=CHINCHILLA, **held):
    x = {v: frame[v].to_numpy() for v in law.variables}
    return Data(law, x, frame.loss.to_numpy(), objectives.make(name, delta), held, {})


def values(data, z):
    return data.loss.value(data.residuals(z)[0], data.loss.delta).sum(axis=1)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("delta", [1e-3, 0.5])
def test_gradient_equals_central_differences(frame, name, delta):
    data = problem(frame, name, delta)
    rng = np.random.default_rng(0)
    z = np.array([1.5, np.log(350), np.log(500), 0.33, 0.29]) * rng.uniform(0.9, 1.1, (20, 5))
    h = np.finfo(float).eps ** (1 / 3) * np.maximum(np.abs(z), 1e-2)
    r, jacobian = data.residuals(z)
    kink = (np.abs(np.abs(r)[:, None] - delta) < 2 * np.abs(jacobian) * h[:, :, None]).any((1, 2))
    z, h, r, jacobian = z[~kink], h[~kink], r[~kink], jacobian[~kink]
    assert len(z) >= 5
    gradient = (jacobian @ data.loss.slope(r, data.loss.delta)[:, :, None])[:, :, 0]
    for j in range(5):
        step = h * (np.arange(5) == j)
        numeric = (values(data, z + step) - values(data, z - step)) / (2 * h[:, j])
        exact = pytest.approx(numeric, rel=1e-6, abs=1e-7 * np.abs(numeric).max())
        assert gradient[:, j] == exact, data.free[j]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_slope_is_the_derivative_and_the_loss_is_even(name):
    loss, delta = objectives.make(name, 0.1), 0.1
    r = np.array([-3.0, -0.2, -0.05, 0.0, 1e-9, 0.07, 0.5, 20.0])
    h = 1e-6
    numeric = (loss.value(r + h, delta) - loss.value(r - h, delta)) / (2 * h)
    assert loss.slope(r, delta) == pytest.approx(numeric, rel=1e-6, abs=1e-9)
    assert loss.value(r, delta) == pytest.approx(loss.value(-r, delta))
    assert (loss.value(r, delta) >= 0).all()


def test_huber_joins_smoothly():
    loss = objectives.make("huber", 0.1)
    below, above = np.array([0.1 - 1e-9]), np.array([0.1 + 1e-9])
    assert loss.value(below, 0.1) == pytest.approx(loss.value(above, 0.1), rel=1e-7)
    assert loss.value(np.array([0.1]), 0.1) == pytest.approx(0.005)
    assert loss.value(np.array([1.0]), 0.1) == pytest.approx(0.1 * 0.95)


def test_squares_ignore_delta():
    assert objectives.make("log-mse", 5.0).value(np.array([2.0]), 1e-3) == 4.0
    assert objectives.make("log-huber", None).delta == 1e-3


def starts_of(data, count):
    weights = np.ones(data.n)
    return Seeds(data, weights).best(weights[None, :], count)[0]


def test_refined_starts_carry_their_certificate(frame):
    data = problem(frame)
    weights = np.ones((1, data.n))
    starts = starts_of(data, 4)
    assert starts.shape == (4, 5)
    solution = refine(data, starts, weights, per=4)
    assert solution.converged.all()
    assert not solution.at_bound.any()
    assert (solution.decrement < 1e-12).all()
    assert solution.objective == pytest.approx(values(data, solution.z), rel=1e-9)
    assert (solution.objective <= values(data, starts)).all()


def test_too_few_iterations_are_told(frame):
    data = problem(frame)
    weights = np.ones((1, data.n))
    solution = refine(data, starts_of(data, 1), weights, max_iterations=1)
    assert not solution.converged.any()


def test_chunks_do_not_change_a_start(frame):
    data = problem(frame)
    weights = np.ones((1, data.n))
    starts = starts_of(data, 6)
    together = refine(data, starts, np.repeat(weights, 6, axis=0))
    for k in range(6):
        alone = refine(data, starts[k : k + 1], weights)
        assert alone.z[0] == pytest.approx(together.z[k], rel=1e-9)


def test_seeds_come_from_the_grid_and_solve_the_linear_part(frame):
    data = problem(frame, "mse")
    grid = Seeds(data, np.ones(data.n)).nodes
    assert grid.shape == (100, 2)
    (z,) = starts_of(data, 1)
    exponents = z[3:]
    assert (np.abs(grid - exponents).sum(axis=1) == 0).any()
    N, D = data.x["N"], data.x["D"]
    basis = np.stack([np.ones(data.n), N ** -exponents[0], D ** -exponents[1]])
    best, *_ = np.linalg.lstsq(basis.T, data.y, rcond=None)
    assert (best > 0).all()
    assert np.concatenate([z[:1], np.exp(z[1:3])]) == pytest.approx(best, rel=1e-6)


def test_fixed_parameters_leave_the_coordinates(frame):
    data = problem(frame, E=1.7, alpha=0.34)
    assert data.free == ("A", "B", "beta")
    z = np.array([[np.log(400.0), np.log(410.0), 0.28]])
    params = {k: float(v[0]) for k, v in data.params(z).items()}
    assert params == pytest.approx({"E": 1.7, "A": 400, "B": 410, "alpha": 0.34, "beta": 0.28})
    back = data.internal({k: np.array([v]) for k, v in params.items()})
    assert back == pytest.approx(z)
    assert data.residuals(z)[1].shape == (1, 3, data.n)
