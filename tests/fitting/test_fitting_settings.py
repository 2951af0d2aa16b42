"""What a fit says of its optimiser, its replicates and the machine."""

import numpy as np
import pytest

from scaling.fitting import estimate, intervals, solve
from scaling.fitting.analyse import analyse, combine
from scaling.fitting.options import Options
from scaling.runs.provenance import platform_of
from scaling.runs.read import from_frame


@pytest.fixture(scope="module")
def frame(runs, hoffmann):
    """Return 36 runs with noise."""
    return runs("chinchilla", hoffmann, noise=0.01)


def test_the_solver_is_described_as_it_is(frame, monkeypatch):
    seen = []
    refine = estimate.refine

    def noted(data, starts, weights, **more):
        seen.append((len(starts), more["max_iterations"], solve.DECREMENT_TOLERANCE))
        return refine(data, starts, weights, **more)

    monkeypatch.setattr(estimate, "refine", noted)
    fits = analyse(from_frame(frame), options=Options(bootstrap=0))
    said = fits.provenance["solver"]
    assert seen[0] == (said["starts"], said["iterations"], said["tolerance"])
    assert said["replicate"]["tolerance"] == intervals.TOLERANCE
    assert fits.provenance["platform"] == platform_of()


def test_replicates_and_what_was_resampled(frame):
    plain = analyse(from_frame(frame), options=Options(bootstrap=20, method="wild"))
    assert plain.provenance["resampling"] == {
        "method": "wild", "replicates": 20, "failed": plain.fits[0].interval.failed,
        "resampled": ["row"],
    }  # fmt: skip
    shared = frame.assign(trunk=np.repeat(np.arange(12), 3))
    other = analyse(from_frame(shared), options=Options(bootstrap=20))
    both = combine([plain, other]).provenance["resampling"]
    assert both["resampled"] == ["row", "trunk"]
    assert both["failed"] == sum(p.fits[0].interval.failed for p in (plain, other))
    none = analyse(from_frame(frame), options=Options(bootstrap=0)).provenance["resampling"]
    assert none == {"method": None, "replicates": 0, "failed": 0, "resampled": []}


def test_two_runs_give_the_same_bytes(frame):
    made = [
        analyse(from_frame(frame), options=Options(bootstrap=20), sensitivity=True).to_json()
        for _ in range(2)
    ]
    assert made[0] == made[1]
