"""Other people's fitters behind one signature: frame in, parameters and their own verdict out.

Each is imported when it is called, so that a missing one costs a row and nothing else.
"""

import contextlib
import importlib.util
import tempfile
from importlib import metadata

import numpy as np

DELTA = 1e-3
MODULES = {
    "vpnls": "vpnls",
    "chinchilla": "chinchilla",
    "simple-scaling-laws": "simple_scaling_laws",
}
MILLION, BILLION = 1e6, 1e9


def version(name):
    """Version of an installed peer, or None."""
    if importlib.util.find_spec(MODULES[name]) is None:
        return None
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return "unknown version"


def installed():
    """Names of the peers that can be imported here."""
    return [name for name in MODULES if version(name)]


def vpnls(frame, method, huber):
    """Fit levels of the loss by variable projection; N in millions and D in billions.

    Those units are its README's: its own bounds are for coefficients of order one.
    """
    from vpnls.api import fit_vpnls
    from vpnls.api import huber as huber_loss

    n, d, y = (frame[name].to_numpy(dtype=float, copy=True) for name in ("N", "D", "loss"))
    loss = huber_loss(DELTA) if huber else None
    found = fit_vpnls(n / MILLION, d / BILLION, y, method=method, loss=loss)
    params = {
        "E": found.E,
        "A": found.A * MILLION**found.alpha,
        "B": found.B * BILLION**found.beta,
        "alpha": found.alpha,
        "beta": found.beta,
    }
    return params, found.status.value


def chinchilla(frame, factor=1.0):
    """Fit logs of the loss from the grid of its own advice, three values a parameter, one process.

    Parameters
    ----------
    frame : DataFrame
    factor : float
        Multiplies its mean log-Huber loss; 1 is how it comes.
    """
    from chinchilla import Chinchilla
    from chinchilla._metrics import log_huber

    ends = {"E": (1.4, 2.0774), "a": (1, 10), "b": (1, 10), "alpha": (0.1, 0.7), "beta": (0.1, 0.7)}
    grid = {name: np.linspace(*pair, 3) for name, pair in ends.items()}

    def loss(true, predicted):
        return factor * log_huber(true, predicted, DELTA)

    with tempfile.TemporaryDirectory() as folder:
        fitter = Chinchilla(folder, param_grid=grid, loss_fn=loss, log_level=50)
        fitter.database.df = frame[["C", "N", "D", "loss"]].reset_index(drop=True)
        fitter.fit(parallel=False)
    return {name: float(value) for name, value in fitter.params.items()}, "not told"


def simple(frame, draws=1):
    """Fit levels of the loss with `draws` of its wild bootstrap, of which it needs one or more."""
    import polars
    from simple_scaling_laws import fit

    runs = polars.DataFrame(
        {
            "training_run_id": [f"run {k}" for k in range(len(frame))],
            "test_set_id": ["one"] * len(frame),
            "model_size__n": frame["N"].to_numpy(),
            "dataset_size__d": frame["D"].to_numpy(),
            "test_loss__ce": frame["loss"].to_numpy(),
        }
    )
    model = fit(runs, law="separable-power", n_draws=draws, seed=0)
    params = dict(model.params("test_loss__ce"))
    domain = model.observed_domain
    params["A"] *= domain["model_size__n"]["reference"] ** params["alpha"]
    params["B"] *= domain["dataset_size__d"]["reference"] ** params["beta"]
    success = model.fits["test_loss__ce"].optimizer["success"]
    return params, "success" if success else "no success"
