"""Recipes of known worth: multipliers, tests, crossings and pairing; how comparisons are stored."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import scaling as sc
from scaling.errors import ConfigError, QuestionError

LAW = sc.law("chinchilla")
CENTRE = 1e20


def grid(sizes=6, data=6, n=(1e7, 1e10), d=(1e9, 5e11)):
    n, d = np.geomspace(*n, sizes), np.geomspace(*d, data)
    return pd.DataFrame({"N": np.repeat(n, data), "D": np.tile(d, sizes)})


def recipe(truth, name, m=1.0, slope=0.0, *, x=None, noise=0.0, seed=0):
    """Runs that do at C as well as the law at m (C/1e20)^slope C."""
    x = grid() if x is None else x
    gamma = truth["alpha"] * truth["beta"] / (truth["alpha"] + truth["beta"])
    worth = m * (6 * x.N * x.D / CENTRE) ** slope
    loss = truth["E"] + (LAW.loss(truth, x) - truth["E"]) * worth**-gamma
    eps = noise * np.random.default_rng(seed).standard_normal(len(x))
    return x.assign(recipe=name, loss=loss * np.exp(eps))


def fits(*frames, law="chinchilla", bootstrap=0, **options):
    frame = pd.concat(frames, ignore_index=True)
    return sc.fit(frame, law, group="recipe", objective="log-mse", bootstrap=bootstrap, **options)


def codes(found):
    return [(m.code, m.severity) for m in found.messages]


# ---------------------------------------------------------------------------------- recipes


@pytest.mark.parametrize(("m", "slope"), [(1.3, 0.0), (0.6, 0.0), (3.0, 0.0), (1.4, 0.05)])
def test_the_multiplier_is_recovered_at_every_scale(hoffmann, m, slope):
    pair = fits(recipe(hoffmann, "A"), recipe(hoffmann, "B", m, slope))
    found = sc.compare(pair, at=[1e24])
    assert len(found.rows) == 6
    base, other = (fit.optimal(C=[r["C"] for r in found.rows]).loss for fit in pair.fits)
    for k, row in enumerate(found.rows):
        worth = m * (row["C"] / CENTRE) ** slope
        assert row["multiplier"] == pytest.approx(worth, rel=1e-6)
        at_once = pair.fits[0].optimal(C=worth * row["C"]).loss[0]
        assert row["difference"] == pytest.approx(at_once - base[k], abs=1e-8)
        if slope == 0:  # then the law of B is the additive one too
            assert row["difference"] == pytest.approx(other[k] - base[k], abs=1e-6)
        assert row["pair"] == ["group A", "group B"]
        assert row["pairing"]["kind"] == "paired"
    offset, exponent = found.tests
    assert (offset["quantity"], exponent["quantity"]) == ("offset", "exponent")
    worth = np.log(m * (offset["at"] / CENTRE) ** slope)
    assert offset["estimate"] == pytest.approx(worth, abs=1e-6)
    assert exponent["estimate"] == pytest.approx(slope, abs=1e-7)
    assert offset["p"] < 1e-10


def test_the_scales_are_those_of_the_grid_and_what_was_asked(hoffmann):
    """The cells' own compute where there are few levels; the largest cell is no extrapolation."""
    budgets = np.repeat([1e18, 1e19, 1e20, 1e21], 5)
    size = LAW.frontier.size(hoffmann, budgets) * np.tile(np.geomspace(0.25, 4, 5), 4)
    x = pd.DataFrame({"N": size, "D": budgets / 6 / size})
    pair = fits(recipe(hoffmann, "A", x=x), recipe(hoffmann, "B", 1.3, x=x))
    found = sc.compare(pair, at=[1e23])
    scales = [r["C"] for r in found.rows]
    assert scales == pytest.approx([1e18, 1e19, 1e20, 1e21, 1e23], rel=1e-9)
    factors = [r["extrapolation"]["factor"] for r in found.rows]
    assert factors == pytest.approx([1e-3, 1e-2, 1e-1, 1, 100], rel=1e-9)


def test_a_pair_shares_its_noise(hoffmann):
    """Noise that both runs of a pair have cancels; the same amount apart does not."""
    a = recipe(hoffmann, "A", noise=0.01, seed=1)
    widths = {}
    for name, seed in (("shared", 1), ("apart", 2)):
        b = recipe(hoffmann, "B", 1.3, noise=0.01, seed=seed)
        found = sc.compare(fits(a, b))
        (row,) = [r for r in found.rows if 1e19 < r["C"] < 1e20]
        low, high = row["interval"]["multiplier"]
        assert low < 1.3 < high or name == "shared"
        widths[name] = np.log(high / low)
        if name == "shared":
            assert row["multiplier"] == pytest.approx(1.3, rel=0.02)
    assert widths["apart"] > 5 * widths["shared"]


def test_tests_and_intervals_belong_together(hoffmann):
    a = recipe(hoffmann, "A", noise=0.003)
    b = recipe(hoffmann, "B", 1.05, noise=0.003, seed=1)
    pair = fits(a, b, bootstrap=40)
    wide, narrow = sc.compare(pair), sc.compare(pair, interval=0.5)
    for test, inner in zip(wide.tests, narrow.tests, strict=True):
        (low, high), (lower, higher) = test["interval"], inner["interval"]
        assert low < lower < test["estimate"] < higher < high
        assert (test["level"], inner["level"]) == (0.95, 0.5)
        half = stats.t.ppf(0.975, 32)
        p = 2 * stats.t.sf(abs(test["estimate"]) / ((high - low) / 2 / half), 32)
        assert test["p"] == pytest.approx(p, rel=1e-6)
    for row, inner in zip(wide.rows, narrow.rows, strict=True):
        for name in ("multiplier", "difference"):
            low, high = row["interval"][name]
            assert low < inner["interval"][name][0] < row[name] < inner["interval"][name][1] < high
    no_draws = sc.compare(fits(a, b))
    widths = [np.diff(c.tests[0]["interval"])[0] for c in (wide, no_draws)]
    assert widths[0] > widths[1]  # the reference's own error is part of it


def test_the_intervals_cover(hoffmann):
    """ln m of 30 simulations in units of its standard error, at the middle of the grid."""
    scores = []
    for seed in range(30):
        a = recipe(hoffmann, "A", noise=0.003, seed=2 * seed)
        b = recipe(hoffmann, "B", 1.3, 0.02, noise=0.003, seed=2 * seed + 1)
        offset, exponent = sc.compare(fits(a, b)).tests
        truths = (np.log(1.3 * (offset["at"] / CENTRE) ** 0.02), 0.02)
        for test, truth in zip((offset, exponent), truths, strict=True):
            error = np.diff(test["interval"])[0] / 2 / stats.t.ppf(0.975, 34)
            scores.append((test["estimate"] - truth) / error)
    scores = np.array(scores).reshape(30, 2)
    assert (np.sqrt((scores**2).mean(axis=0)) < 1.45).all()  # chi-square, 30 degrees: p < 1e-4
    assert (np.sqrt((scores**2).mean(axis=0)) > 0.6).all()


def test_where_recipes_cross(hoffmann):
    pair = fits(recipe(hoffmann, "A"), recipe(hoffmann, "B", 1.0, 0.06))
    found = sc.compare(pair)
    (crossing,) = found.crossings
    assert crossing["pair"] == ["group A", "group B"]
    assert crossing["inside"]
    assert crossing["C"] == pytest.approx(CENTRE, rel=1e-5)
    (told,) = [m for m in found.messages if m.code == "SC436"]
    assert "1e+20" in told.text
    assert told.severity == "warning"
    noisy = fits(recipe(hoffmann, "A", noise=0.002),
                 recipe(hoffmann, "B", 1.0, 0.06, noise=0.002, seed=1), bootstrap=40)  # fmt: skip
    (crossing,) = sc.compare(noisy).crossings
    low, high = crossing["interval"]
    assert low < CENTRE < high
    assert low < crossing["C"] < high
    for row in sc.compare(noisy, at=[low, high]).rows:  # where the multiplier's interval meets 1
        ends = np.array(row["interval"]["multiplier"])
        if row["C"] in (low, high):
            assert np.abs(np.log(ends)).min() < 1e-6
        else:
            assert ((ends > 1).all() or (ends < 1).all()) == (not low < row["C"] < high)


def test_a_crossing_far_from_the_runs_is_not_told(hoffmann):
    """m = 1 at 1e30, or nowhere."""
    for m, slope in ((10**-0.5, 0.05), (1.3, 0.0)):
        pair = fits(recipe(hoffmann, "A"), recipe(hoffmann, "B", m, slope))
        found = sc.compare(pair)
        assert not any(c["inside"] for c in found.crossings)
        assert "SC436" not in dict(codes(found))


def test_equal_recipes_are_equal(hoffmann):
    found = sc.compare(fits(recipe(hoffmann, "A"), recipe(hoffmann, "B")))
    assert [r["multiplier"] for r in found.rows] == pytest.approx([1.0] * len(found.rows), abs=1e-9)
    assert all(np.isfinite(t["p"]) for t in found.tests)
    json.dumps(found.as_dict(), allow_nan=False)


def test_pairs_are_of_one_seed_where_seeds_are_there(hoffmann):
    """B has the second seed alone, with noise that A's second seed shares."""
    first = recipe(hoffmann, "A", noise=0.03, seed=1).assign(seed=0)
    second = recipe(hoffmann, "A", noise=0.03, seed=2).assign(seed=1)
    b = recipe(hoffmann, "B", 1.3, noise=0.03, seed=2).assign(seed=1)
    found = sc.compare(fits(first, second, b))
    pairing = found.rows[0]["pairing"]
    assert (pairing["by"], pairing["n"], pairing["alone"]) == ("N, D and seed", 36, [36, 0])
    width = np.diff(found.tests[0]["interval"])[0]
    assert found.tests[0]["estimate"] == pytest.approx(np.log(1.3), abs=0.1)
    bare = sc.compare(fits(*(f.drop(columns="seed") for f in (first, second, b))))
    pairing = bare.rows[0]["pairing"]  # repeats of a cell are averaged
    assert (pairing["by"], pairing["n"], pairing["alone"]) == ("N and D", 36, [0, 0])
    assert np.diff(bare.tests[0]["interval"])[0] > 3 * width


def test_cells_without_a_partner_are_counted_and_told(hoffmann):
    x, y = grid().iloc[10:], grid().iloc[:33]
    found = sc.compare(fits(recipe(hoffmann, "A", x=x), recipe(hoffmann, "B", 1.3, x=y)))
    assert found.rows[0]["pairing"] == {"kind": "paired", "by": "N and D", "n": 23,
                                        "alone": [3, 10], "law": "chinchilla"}  # fmt: skip
    assert found.rows[0]["multiplier"] == pytest.approx(1.3, rel=1e-6)
    (told,) = [m.text for m in found.messages if m.code == "SC433"]
    for text in ("23 pairs", "3 of group A", "10 of group B"):
        assert text in told
    jitter = grid().assign(N=lambda t: t.N * 1.004)  # counted differently, but the same models
    found = sc.compare(fits(recipe(hoffmann, "A"), recipe(hoffmann, "B", 1.3, x=jitter)))
    assert found.rows[0]["pairing"]["n"] == 36


def test_different_grids_are_compared_by_their_surfaces(hoffmann):
    other = grid(5, 5, (2e7, 8e9), (2e9, 4e11))
    found = sc.compare(fits(recipe(hoffmann, "A"), recipe(hoffmann, "B", 1.3, x=other)), at=[1e23])
    assert {r["pairing"]["kind"] for r in found.rows} == {"unpaired"}
    for row in found.rows:
        assert row["multiplier"] == pytest.approx(1.3, rel=1e-6)
        assert np.isnan(row["interval"]["multiplier"]).all()
    assert (found.tests, codes(found)) == ((), [("SC433", "warning")])
    noisy = sc.compare(fits(recipe(hoffmann, "A", noise=0.002),
                            recipe(hoffmann, "B", 1.3, x=other, noise=0.002, seed=1),
                            bootstrap=60))  # fmt: skip
    for row in noisy.rows:
        low, high = row["interval"]["multiplier"]
        assert low < row["multiplier"] < high
        low, high = row["interval"]["difference"]
        assert low < row["difference"] < high < 0
    crossing = sc.compare(fits(recipe(hoffmann, "A"), recipe(hoffmann, "B", 1.0, 0.06, x=other)))
    (where,) = crossing.crossings
    assert 1e18 < where["C"] < 1e22
    assert "SC436" in dict(codes(crossing))


def test_nothing_in_common_is_refused(hoffmann):
    ray = pd.DataFrame({"N": 1.3e7 * 2.0 ** np.arange(10)}).assign(D=lambda t: 20 * t.N)
    pair = fits(recipe(hoffmann, "A"), recipe(hoffmann, "B", 1.3, x=ray, noise=1e-4))
    assert pair.fits[1].status == "not-identified"
    with pytest.raises(QuestionError) as caught:
        sc.compare(pair)
    assert caught.value.code == "SC433"
    for text in ("group A and group B", "0 common cells", "6 cells", "scaling predict"):
        assert text in str(caught.value)
    with pytest.raises(QuestionError) as caught:
        sc.compare(pair, reference="B")
    assert caught.value.code == "SC430"
    data = pd.DataFrame({"D": np.geomspace(1e9, 1e12, 12)}).assign(
        loss=lambda t: 2 + 9e2 / t.D**0.4
    )
    with pytest.raises(QuestionError) as caught:
        sc.compare([pair.fits[0], sc.fit(data, "power-D", bootstrap=0)])
    assert caught.value.code == "SC433"


def test_a_few_common_cells_are_enough_without_a_second_surface(hoffmann):
    ray = grid().iloc[::7]  # one size for each amount of data: no surface
    pair = fits(recipe(hoffmann, "A"), recipe(hoffmann, "B", 1.3, x=ray, noise=1e-6))
    found = sc.compare(pair)
    assert found.rows[0]["pairing"]["n"] == 6
    assert found.tests[0]["estimate"] == pytest.approx(np.log(1.3), abs=1e-3)


def test_the_reference_may_be_chosen(hoffmann):
    three = fits(*(recipe(hoffmann, k, m) for k, m in (("A", 1.0), ("B", 1.3), ("C", 2.0))))
    found = sc.compare(three, reference="B")
    for row in found.rows:
        worth = {"group A": 1 / 1.3, "group C": 2 / 1.3}[row["pair"][1]]
        assert row["pair"][0] == "group B"
        assert row["multiplier"] == pytest.approx(worth, rel=1e-6)
    assert [r["pair"][1] for r in sc.compare(three).rows[::5]] == ["group B", "group C"]
    with pytest.raises(ConfigError) as caught:
        sc.compare(three, reference="Z")
    assert caught.value.code == "SC004"
    assert "A, B, C" in str(caught.value)


@pytest.mark.parametrize("options", [{"interval": 1.0}, {"interval": 0.0}, {"at": [-1e20]},
                                     {"at": [np.nan]}, {"at": [0.0]}], ids=str)  # fmt: skip
def test_options_that_cannot_be_meant(hoffmann, options):
    pair = fits(recipe(hoffmann, "A"), recipe(hoffmann, "B", 1.3))
    with pytest.raises(ConfigError) as caught:
        sc.compare(pair, **options)
    assert caught.value.code == "SC004"
    with pytest.raises(ConfigError):
        sc.compare([])


@pytest.mark.parametrize("laws", [["chinchilla", "kaplan"], ["kaplan", "chinchilla"]])
def test_recipes_are_compared_by_the_law_that_is_ranked_first(hoffmann, laws):
    """Kaplan's law does not follow these runs; the order in which laws are named says nothing."""
    pair = fits(recipe(hoffmann, "A"), recipe(hoffmann, "B", 1.3), law=laws)
    found = sc.compare(pair)
    assert [r["law"] for r in found.laws] == ["chinchilla", "kaplan"] * 2
    assert [r["multiplier"] for r in found.rows] == pytest.approx([1.3] * len(found.rows), rel=1e-3)


def test_the_frame_and_the_json_say_the_same(hoffmann):
    other = grid(5, 5, (2e7, 8e9), (2e9, 4e11))
    paired = sc.compare(fits(recipe(hoffmann, "A", noise=0.002), recipe(hoffmann, "B", 1.3)))
    alone = sc.compare(fits(recipe(hoffmann, "A"), recipe(hoffmann, "B", 1.3, x=other)))
    for found in (paired, alone):
        stored = json.loads(json.dumps(found.as_dict(), allow_nan=False))
        assert stored["schema"] == "scaling/compare@1"
        frame = json.loads(found.to_frame().to_json(orient="records", double_precision=15))
        for row, flat in zip(stored["rows"], frame, strict=True):
            assert [flat["reference"], flat["recipe"]] == row["pair"]
            assert flat["multiplier"] == pytest.approx(row["multiplier"], rel=1e-12)
            ends = row["interval"]["multiplier"] + row["interval"]["difference"]
            names = ("lo", "hi", "difference_lo", "difference_hi")
            if None not in ends:
                assert [flat[n] for n in names] == pytest.approx(ends, rel=1e-12)
            assert [flat[n] is None for n in names] == [end is None for end in ends]
            assert flat["factor"] == pytest.approx(row["extrapolation"]["factor"], rel=1e-12)
            assert (flat["pairing"], flat["pairs"]) == (row["pairing"]["kind"], row["pairing"]["n"])
    assert [r["interval"]["multiplier"] for r in stored["rows"]] == [[None, None]] * len(frame)


def test_tables_without_groups_are_told_apart(hoffmann, tmp_path):
    """Two results.csv of two folders; a reader must know which recipe is which."""
    from scaling.fitting.analyse import analyse
    from scaling.fitting.options import Options
    from scaling.runs.read import read_table

    made = []
    for name, m in (("old", 1.0), ("new", 1.3)):
        path = tmp_path / name / "results.csv"
        path.parent.mkdir()
        recipe(hoffmann, name, m).drop(columns="recipe").to_csv(path, index=False)
        options = Options(objective="log-mse", bootstrap=0)
        made += analyse(read_table(path), laws=["chinchilla"], options=options).fits
    found = sc.compare(made)
    assert [r["multiplier"] for r in found.rows] == pytest.approx([1.3] * len(found.rows), rel=1e-6)
    one, two = found.rows[0]["pair"]
    assert one != two
