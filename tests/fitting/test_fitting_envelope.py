"""The envelope of loss curves: its winners, exponents and intervals, and what it must say."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import ConvexHull

import scaling as sc
from scaling.errors import ConfigError, TableError

LAW = sc.law("chinchilla")
SIZES = np.geomspace(1e7, 1e10, 25)


def curves(truth, sizes=SIZES, points=60, noise=0.0, seed=0):
    """Return whole curves of the law from 2 to 500 tokens a parameter; noise is a run's own."""
    rng = np.random.default_rng(seed)
    parts = []
    for i, size in enumerate(sizes):
        data = size * np.geomspace(2, 500, points)
        x = {"N": np.full(points, size), "D": data}
        loss = LAW.loss(truth, x) * np.exp(noise * rng.standard_normal())
        parts.append(pd.DataFrame({"run": f"r{i}", **x, "C": 6 * size * data, "loss": loss}))
    return pd.concat(parts, ignore_index=True)


def frontier(truth, compute):
    size = LAW.frontier.size(truth, compute)
    return LAW.loss(truth, {"N": size, "D": compute / 6 / size})


def column(allocation, name, kept=None):
    rows = allocation.minima if kept is None else [m for m in allocation.minima if kept(m)]
    return np.array([getattr(m, name) for m in rows], dtype=float)


def codes(allocation):
    return [m.code for m in allocation.messages]


@pytest.fixture(scope="module")
def frame(hoffmann):
    """Return noise-free curves of 25 sizes."""
    return curves(hoffmann)


@pytest.fixture(scope="module")
def found(frame):
    """Return their envelope."""
    return sc.envelope(frame, bootstrap=60)


def test_the_exponents_are_the_truth(found, hoffmann):
    a = hoffmann["beta"] / (hoffmann["alpha"] + hoffmann["beta"])
    assert found.a == pytest.approx(a, abs=0.005)
    assert found.b == pytest.approx(1 - a, abs=0.005)
    assert (found.a, found.b) == (found.line["N"][1], found.line["D"][1])
    low, high = found.interval["a"]
    assert low < found.a < high
    assert found.approach == "envelope"
    assert "convex hull" in found.method


def test_winners_lie_on_the_frontier(found, hoffmann):
    """Never below the truth, and above it by no more than the sag of a step between sizes."""
    inner = lambda m: m.bracketed  # noqa: E731
    compute, loss = column(found, "budget", inner), column(found, "loss", inner)
    ratio = loss / frontier(hoffmann, compute)
    assert (ratio > 1).all()
    assert ratio.max() < 1 + 2e-4
    size, data = column(found, "N", inner), column(found, "D", inner)
    assert 6 * size * data == pytest.approx(compute, rel=1e-9)
    assert size == pytest.approx(SIZES[1:-1], rel=1e-9)
    best = LAW.frontier.size(hoffmann, compute)
    step = np.log(SIZES[1] / SIZES[0])
    assert np.abs(np.log(size / best)).max() < step / 2


def test_the_frontier_is_below_every_run(found, frame, hoffmann):
    """Straight between winners it is above the true one by its curvature times step squared / 8."""
    inner = lambda m: m.bracketed  # noqa: E731
    x, y = (np.log(column(found, name, inner)) for name in ("budget", "loss"))
    runs = np.log(frame[["C", "loss"]].to_numpy())
    runs = runs[(runs[:, 0] >= x[0]) & (runs[:, 0] <= x[-1])]
    gap = runs[:, 1] - np.interp(runs[:, 0], x, y)
    share = 1 - hoffmann["E"] / frontier(hoffmann, np.exp(x))
    gamma = hoffmann["alpha"] * hoffmann["beta"] / (hoffmann["alpha"] + hoffmann["beta"])
    sag = (gamma**2 * share * (1 - share)).max() * np.diff(x).max() ** 2 / 8
    assert sag < 5e-4
    assert gap.min() > -(sag + 2e-4)
    assert gap.min() < 1e-4  # they touch


def test_winners_are_the_corners_of_scipys_hull(found, frame):
    cloud = np.log(frame[["C", "loss"]].to_numpy())
    facets = ConvexHull(cloud)
    below = facets.equations[:, 1] < 0
    corners = np.unique(facets.simplices[below])
    corners = corners[frame.loss.to_numpy()[corners] >= frame.loss.min()]
    corners = corners[np.argsort(cloud[corners, 0])]
    corners = corners[: cloud[corners, 1].argmin() + 1]  # up to the lowest loss
    assert frame.run.iloc[corners].unique().tolist() == [f"r{i}" for i in range(25)]
    stretch = pd.DataFrame(cloud[corners]).groupby(frame.run.iloc[corners].to_numpy(), sort=False)
    middle = 0.5 * (stretch.first() + stretch.last())[0].to_numpy()
    assert np.log(column(found, "budget")) == pytest.approx(middle, abs=1e-9)
    hull = np.interp(middle, cloud[corners, 0], cloud[corners, 1])
    assert np.log(column(found, "loss")) == pytest.approx(hull, abs=1e-9)


def test_curves_are_for_envelopes_only(frame, tmp_path):
    path = tmp_path / "curves.csv"
    frame.to_csv(path, index=False)
    for refuse in (lambda: sc.fit(frame, "chinchilla", bootstrap=0), lambda: sc.read(path),
                   lambda: sc.isoflop(frame)):  # fmt: skip
        with pytest.raises(TableError) as caught:
            refuse()
        assert caught.value.code == "SC116"
        assert "--approach envelope" in str(caught.value)


def test_the_same_point_twice_is_no_curve(frame):
    twice = pd.concat([frame, frame.iloc[:3]], ignore_index=True)
    with pytest.raises(TableError) as caught:
        sc.envelope(twice)
    assert caught.value.code == "SC106"


def test_winners_of_the_smallest_and_largest_size_are_refused(found):
    first, *_, last = found.minima
    assert [m.bracketed for m in found.minima] == [False] + [True] * 23 + [False]
    for m in (first, last):
        assert (m.N, m.D) == (None, None)
        assert "smallest or the largest size" in m.why
        assert m.loss > 0


def test_and_kept_on_demand(frame, found):
    kept = sc.envelope(frame, edge="keep", bootstrap=0)
    assert column(kept, "N") == pytest.approx(SIZES, rel=1e-9)
    assert [m.bracketed for m in kept.minima] == [m.bracketed for m in found.minima]
    x, y = np.log(column(kept, "budget")), np.log(column(kept, "N"))
    assert kept.a == pytest.approx(np.polyfit(x, y, 1)[0], rel=1e-9)
    assert found.a == pytest.approx(np.polyfit(x[1:-1], y[1:-1], 1)[0], rel=1e-9)
    assert kept.a != pytest.approx(found.a, abs=0.005)  # the ends are not where they seem


def test_bins(frame):
    low, high, count = 1e15, 2e23, 14
    found = sc.envelope(frame, bins=(low, high, count), bootstrap=0)
    edges = np.geomspace(low, high, count + 1)
    rows = [frame[(frame.C >= p) & (frame.C < q)] for p, q in pairwise(edges)]
    best = [r.loc[r.loss.idxmin()] for r in rows]
    assert column(found, "budget") == pytest.approx(np.sqrt(edges[1:] * edges[:-1]), rel=1e-9)
    assert column(found, "loss") == pytest.approx([r.loss for r in best], rel=1e-12)
    assert column(found, "N", lambda m: m.bracketed) == pytest.approx(
        [r.N for r, m in zip(best, found.minima, strict=True) if m.bracketed], rel=1e-9
    )
    assert "bins" in found.method
    inner = [r for r in zip(column(found, "budget"), best, strict=True)
             if SIZES[0] * 1.01 < r[1].N < SIZES[-1] / 1.01]  # fmt: skip
    x, y = np.log([c for c, _ in inner]), np.log([r.N for _, r in inner])
    assert len(inner) == sum(m.bracketed for m in found.minima) < count
    assert found.a == pytest.approx(np.polyfit(x, y, 1)[0], rel=1e-9)
    whole = sc.envelope(frame, bins=12, bootstrap=0)
    ends = (frame.C.min() * (1 - 1e-12), frame.C.max() * (1 + 1e-12), 12)
    same = sc.envelope(frame, bins=ends, bootstrap=0)
    assert column(whole, "loss").tolist() == column(same, "loss").tolist()


@pytest.mark.parametrize(
    "options",
    [{"bins": 0}, {"bins": -3}, {"bins": (1e20, 1e17, 8)}, {"bins": (1e30, 1e31, 8)},
     {"bins": (0.0, 1e20, 8)}, {"edge": "drop"}, {"interval": 1.5}, {"interval": 0.0}],
    ids=str,
)  # fmt: skip
def test_options_that_cannot_be_meant(frame, options):
    with pytest.raises(ConfigError) as caught:
        sc.envelope(frame, bootstrap=30, **options)
    assert caught.value.code == "SC004"


def test_without_sizes_there_is_only_the_loss(frame, found):
    bare = sc.envelope(frame[["run", "C", "loss"]], bootstrap=30)
    assert (bare.a, bare.b) == (None, None)
    assert list(bare.line) == ["loss"]
    assert bare.line["loss"] == pytest.approx(found.line["loss"], rel=1e-9)
    assert list(bare.draws) == ["loss"]
    assert not {"a", "b"} & set(bare.interval)
    assert [m.N for m in bare.minima] == [None] * 25
    (told,) = [m for m in bare.messages if m.code == "SC417"]
    assert "no N and D" in told.text


def test_a_table_without_compute_is_refused(frame):
    with pytest.raises(TableError) as caught:
        sc.envelope(frame[["run", "D", "loss"]])
    assert caught.value.code == "SC105"
    derived = sc.envelope(frame[["run", "N", "D", "loss"]], bootstrap=0)
    assert derived.a == pytest.approx(sc.envelope(frame, bootstrap=0).a, rel=1e-12)


def test_too_few_winners_make_no_exponent(hoffmann):
    few = sc.envelope(curves(hoffmann, np.geomspace(1e7, 1e10, 4)), bootstrap=0)
    assert (few.a, few.b, few.interval) == (None, None, None)
    assert list(few.line) == ["loss"]
    (told,) = [m for m in few.messages if m.code == "SC417"]
    assert "2 of 4" in told.text


def test_the_interval_is_of_whole_runs_drawn_again(frame, found):
    """Resampling of curves, done here by names of runs."""
    assert found.interval["kind"].startswith("bootstrap of the runs, percentile")
    assert (found.interval["level"], found.interval["draws"]) == (0.95, 60)
    slopes = np.array(found.draws["N"][1])
    assert found.interval["a"] == pytest.approx(np.percentile(slopes, [2.5, 97.5]).tolist())
    names = np.array([f"r{i}" for i in range(25)])
    groups = dict(list(frame.groupby("run")))
    drawn = []
    for k in range(60):
        picked = np.unique(np.random.default_rng([0, k]).integers(0, 25, 25))
        again = pd.concat([groups[names[i]] for i in picked], ignore_index=True)
        drawn.append(sc.envelope(again, bootstrap=0).a)
    assert slopes == pytest.approx(drawn, rel=1e-9)  # a run that is drawn twice counts once


def test_the_seed_decides(hoffmann):
    noisy = curves(hoffmann, noise=0.005)
    one, same, other = (sc.envelope(noisy, bootstrap=40, seed=s) for s in (3, 3, 4))
    assert one == same
    assert one.interval["a"] != other.interval["a"]
    assert (one.a, one.line) == (other.a, other.line)
    narrow = sc.envelope(noisy, bootstrap=40, seed=3, interval=0.5).interval
    assert one.interval["a"][0] < narrow["a"][0] < narrow["a"][1] < one.interval["a"][1]


def test_replicates_without_an_envelope_are_counted(hoffmann):
    found = sc.envelope(curves(hoffmann, np.geomspace(1e7, 1e10, 7)), bootstrap=100)
    lost = found.interval["failed"]
    assert 0 < lost < 80
    assert found.interval["draws"] + lost == 100
    assert len(found.draws["N"][0]) == found.interval["draws"]
    (told,) = [m.text for m in found.messages if m.code == "SC409"]
    assert f"{lost} of 100" in told
    assert sc.envelope(curves(hoffmann), bootstrap=0).interval is None


@pytest.mark.parametrize("count", [4, 25])
def test_the_winners_curse_is_always_told(hoffmann, count):
    whole = curves(hoffmann, np.geomspace(1e7, 1e10, count))
    ends = whole.groupby("run").tail(1)
    bare = whole[["C", "loss"]]
    for frame, points in ((whole, 2), (ends, 1), (bare, 1)):
        told = [m for m in sc.envelope(frame, bootstrap=0).messages if m.code == "SC434"]
        assert len(told) == points  # and once more where points are in mid-run
        assert "luckiest" in told[0].text
        assert all(m.severity == "warning" for m in told)


def test_the_envelope_of_noisy_runs_lies_below_their_mean(hoffmann):
    noisy = sc.envelope(curves(hoffmann, noise=0.02, seed=5), bootstrap=0)
    compute, loss = column(noisy, "budget"), column(noisy, "loss")
    assert np.log(loss / frontier(hoffmann, compute)).mean() < -0.005
