"""A study of seconds, planned into a folder, and its points trained in this process."""

import json
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from scaling import api  # noqa: E402
from scaling.runs.records import load_plan  # noqa: E402
from scaling.training import loop, trials  # noqa: E402
from scaling.training.tasks.text import Text  # noqa: E402
from tests.training import clusters, faults  # noqa: E402

ROOT = Path(__file__).parents[2]
TINY = {
    "schema": 1,
    "data": {
        "source": "markov",
        "options": {"symbols": 16, "tokens": 60_000, "validation_tokens": 8_000},
    },
    "model": {"context": 16, "layers": 1},
    "design": {"kind": "grid", "params": [9e2, 1.9e3], "data": [4e3, 8e3]},
}


def places(count):
    """Return what divides points into jobs for so many processes of a CPU."""
    return SimpleNamespace(places=count, on_gpu=False, packs=False)


def timeless(record):
    """Return a record without what it took: that differs from run to run."""
    return {name: value for name, value in record.items() if name not in ("seconds", "effort")}


@pytest.fixture(autouse=True)
def denormals():
    """Give the process back as it was, which training flushes denormals in and learns sizes of."""
    yield
    torch.set_flush_denormal(False)
    loop._fitting.clear()
    trials._short.clear()


@pytest.fixture(scope="module", autouse=True)
def path_for_workers():
    """Let worker processes find the package from any folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        yield


@pytest.fixture
def cpu():
    return torch.device("cpu")


@pytest.fixture(scope="session")
def plan_into():
    """Plan the tiny study, with other sections where given, into a folder."""

    def make(folder, **sections):
        api.plan({**TINY, **sections}).write(folder)
        return folder

    return make


@pytest.fixture
def planned(tmp_path, plan_into):
    """Plan the tiny study into a folder of this name."""

    def make(name="out", **sections):
        return plan_into(tmp_path / name, **sections)

    return make


@pytest.fixture
def one_point(planned):
    """Plan a single point; return its folder and its line of the plan."""

    def make(name="out", tokens=1.6e4, **sections):
        design = {"kind": "grid", "params": [9e2], "data": [tokens]}
        folder = planned(name, design=design, **sections)
        (point,) = load_plan(folder)
        return folder, point

    return make


@pytest.fixture
def steps_taken(monkeypatch):
    """List the steps whose batches were drawn."""
    taken, real = [], Text.batch

    def noting(self, step, *share):
        taken.append(step)
        return real(self, step, *share)

    monkeypatch.setattr(Text, "batch", noting)
    return taken


@pytest.fixture(scope="session")
def quickstart_point():
    """Return the first point of the quickstart study at its smallest size."""
    plan = api.plan(ROOT / "sweeps" / "quickstart.toml", smoke=True)
    return json.loads(plan.to_jsonl().splitlines()[0])


def _starter(kind, lacking, tmp_path_factory, absent):
    if lacking:
        absent(f"no {kind.__name__} without {lacking}")
    with ExitStack() as stack:

        def start(**full):
            folder = tmp_path_factory.mktemp("cluster")
            return stack.enter_context(kind(folder, **full))

        yield start


@pytest.fixture(scope="module")
def slurm_with(tmp_path_factory, absent):
    """Start a Slurm, with full disks where asked."""
    yield from _starter(clusters.SlurmCluster, clusters.without_slurm(), tmp_path_factory, absent)


@pytest.fixture(scope="module")
def slurm(slurm_with):
    """Start a Slurm of three nodes."""
    return slurm_with()


@pytest.fixture(scope="module")
def ray_with(tmp_path_factory, absent):
    """Start a Ray, with full disks where asked."""
    yield from _starter(clusters.RayCluster, clusters.without_ray(), tmp_path_factory, absent)


@pytest.fixture(scope="module")
def ray_cluster(ray_with):
    """Start a Ray of a head and two nodes."""
    return ray_with()


@pytest.fixture(scope="session")
def quiet(tmp_path_factory):
    """Return what the study of `faults` leaves where nothing happens."""
    return faults.quiet_run(tmp_path_factory.mktemp("quiet"))


@pytest.fixture
def sweep_on(tmp_path):
    """Make a sweep on a cluster; its driver is ended with the test."""
    made = []

    def make(engine, cluster, seed):
        made.append(faults.Sweep(tmp_path, engine, cluster, seed))
        return made[-1]

    yield make
    for sweep in made:
        sweep.end()
