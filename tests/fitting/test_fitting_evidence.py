"""Checks of the solution, the noise, the direction of the law, the hold-out, and other groups."""

import inspect
import re
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.fitting import across, conduct, evidence
from scaling.fitting.optima import Allocation, Minimum
from scaling.fitting.parts import Holdout
from scaling.laws import get


def found(fit):
    return {check.name: check for check in fit.checks}


@pytest.fixture(scope="module")
def sound(runs, hoffmann):
    return sc.fit(runs("chinchilla", hoffmann, noise=0.002), "chinchilla", bootstrap=40)


def test_a_sound_fit_answers_the_checks_of_its_solution(sound):
    names = {
        "objectives of the starts",
        "gradient",
        "parameters at bounds",
        "starting values",
        "replicates converge",
        "interval of E",
        "law is monotone",
        "loss falls with C",
        "residuals against D/N",
        "residuals against ln N x ln D",
    }
    assert names <= set(found(sound))
    assert all(check.wanted for check in sound.checks)
    assert all((check.code is None) == (check.verdict == "pass") for check in sound.checks)


def test_what_cannot_be_answered_is_not_asked(sound):
    absent = {"residuals against seeds", "schedule matched", "warm-up", "losses on one scale"}
    assert not (absent | {"dependent rows", "hold-out", "crossing curves"}) & set(found(sound))


def test_a_bound_is_a_finding(runs):
    frame = runs("chinchilla", {"E": 0.0, "A": 400.0, "B": 400.0, "alpha": 0.3, "beta": 0.3},
                 noise=0.004)  # fmt: skip
    fit = sc.fit(frame, "chinchilla", bootstrap=0, bounds={"E": (0.5, 2.0)})
    check = found(fit)["parameters at bounds"]
    assert (check.verdict, check.code) == ("warn", "SC404")
    assert "E = 0.5" in check.found
    assert sum(m.code == "SC404" for m in fit.messages) == 1  # told once


def certificate(**changed):
    base = {"objectives": [0.0] * 5, "decrement": 1e-15, "gradient": 1e-12, "at_bound": []}
    return {**base, **changed}


class Case:
    """What the checks of a solution read of the data."""

    law = get("power-D")
    free = ("E", "B", "beta")
    x = MappingProxyType({"D": np.geomspace(1e6, 1e9, 12)})
    y = np.full(12, 2.0)


@pytest.mark.parametrize(
    ("name", "changed", "code"),
    [
        ("objectives of the starts", {"objectives": [0.0, 0.0, 1e-3, 0.1]}, "SC407"),
        ("objectives of the starts", {"objectives": [0.0, 0.0, 1e-9, 0.1]}, None),
        ("gradient", {"decrement": 1e-4, "gradient": 0.1}, "SC408"),
        ("gradient", {}, None),
    ],
)
def test_a_solution_that_is_none_is_told(name, changed, code):
    params = {"E": 1.5, "B": 100.0, "beta": 0.3333}
    made = evidence.solution_checks(Case, certificate(**changed), params, None, 0)
    assert {c.name: c.code for c in made}[name] == code


def test_a_parameter_that_never_moved_is_told():
    node = Case.law.parameter("beta").grid(Case.x)[1]
    for value, code in ((node, "SC426"), (node * 1.001, None)):
        params = {"E": 1.5, "B": 100.0, "beta": value}
        made = evidence.solution_checks(Case, certificate(), params, None, 0)
        assert {c.name: c.code for c in made}["starting values"] == code


def test_lost_replicates_and_wide_floors_are_told(sound):
    lost = replace(sound.interval, draws=90, failed=10, params={"E": (0.2, 1.9)})
    made = evidence.solution_checks(Case, certificate(), {"E": 1.0, "beta": 0.3}, lost, 10)
    codes = {c.name: (c.verdict, c.code) for c in made}
    assert codes["replicates converge"] == ("warn", "SC409")
    assert codes["interval of E"] == ("warn", "SC411")
    none = evidence.solution_checks(Case, certificate(), {"E": 1.0, "beta": 0.3}, None, 10)
    assert {c.name: c.verdict for c in none}["replicates converge"] == "fail"


def seeded(runs, hoffmann, noise, law="chinchilla", truth=None):
    frame = runs(law, truth or hoffmann)
    parts = []
    for seed in range(3):
        sigma = noise * np.random.default_rng(seed).standard_normal(len(frame))
        parts.append(frame.assign(seed=seed, loss=frame.loss * np.exp(sigma)))
    return pd.concat(parts, ignore_index=True)


def test_residuals_are_held_against_the_spread_of_seeds(runs, hoffmann):
    fit = sc.fit(seeded(runs, hoffmann, 0.003), "chinchilla", bootstrap=0)
    check = found(fit)["residuals against seeds"]
    assert check.verdict == "pass"
    assert "72 degrees of freedom" in check.found
    wrong = sc.fit(seeded(runs, hoffmann, 0.0005), "chinchilla", fixed={"beta": 0.6}, bootstrap=0)
    assert found(wrong)["residuals against seeds"].code == "SC427"


def test_a_fit_that_follows_its_noise_is_told():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"D": np.repeat(np.geomspace(1e6, 1e9, 6), 2), "seed": [0, 1] * 6})
    y = 2.0 * np.exp(0.05 * rng.standard_normal(12))
    law = get("power-D")
    (check,) = evidence.seed_checks(frame, law, y, np.full(12, 1e-4), 3)
    assert check.code == "SC427"
    same = frame.assign(seed=0)
    assert evidence.seed_checks(same, law, y, np.full(12, 1e-4), 3) == []


def test_other_settings_are_no_seeds():
    frame = pd.DataFrame(
        {"D": np.repeat(np.geomspace(1e6, 1e9, 6), 2), "seed": [0, 1] * 6, "lr": [0.1, 0.2] * 6}
    )
    y = 2.0 + 0.1 * np.random.default_rng(0).standard_normal(12)
    assert evidence.seed_checks(frame, get("power-D"), y, np.full(12, 0.01), 3) == []


def test_a_law_that_rises_is_told():
    law = sc.Law(
        "valley",
        "E + A*(log(D) - 15)**2",
        (*get("power-D").parameters[:1], replace(get("power-D").parameters[1], name="A")),
        ("D",),
        "made here",
    )
    d = np.geomspace(1e5, 1e9, 20)
    frame = pd.DataFrame({"D": d, "loss": 2.0 + 0.01 * (np.log(d) - 15) ** 2})
    check = found(sc.fit(frame, law, bootstrap=0))["law is monotone"]
    assert check.code == "SC428"
    assert f"D at {int((np.log(d) > 15).sum())} of 20" in check.found


def test_a_best_loss_that_rises_with_compute_is_told(runs, hoffmann):
    frame = runs("chinchilla", hoffmann, noise=0.001)
    worse = frame.assign(loss=np.where(frame.N * frame.D > 6e19, 1.5 * frame.loss, frame.loss))
    check = found(sc.fit(worse, "chinchilla", bootstrap=0))["loss falls with C"]
    assert (check.verdict, check.code) == ("warn", "SC428")


def test_a_hold_out_that_is_met_passes(runs, hoffmann):
    frame = runs("chinchilla", hoffmann, noise=0.002)
    fit = sc.fit(frame, "chinchilla", bootstrap=0, holdout="D > 1e11")
    check = found(fit)["hold-out"]
    assert check.verdict == "pass"
    assert check.found.startswith(f"{fit.holdout.n} runs were kept out")


def test_a_hold_out_that_is_missed_or_shared_is_told():
    frame = pd.DataFrame({"trunk": ["a", "a", "b", "c"]})
    held, train = np.array([1, 0, 0, 0], bool), np.array([0, 1, 1, 1], bool)
    score = Holdout("D > 1", 1, 0.002, 0.0, None, 2.0)
    check = evidence.holdout_check(frame, held, train, score, 0.002)
    assert check.code == "SC429"
    assert "1 of their trunks" in check.found
    apart = frame.assign(trunk=list("abcd"))
    assert evidence.holdout_check(apart, held, train, score, 0.002).verdict == "pass"
    far = replace(score, rmse_log=0.03)
    assert evidence.holdout_check(apart, held, train, far, 0.002).code == "SC429"


# ----------------------------------------------------------------------------------------- conduct


def one(frame, name, cluster=None, variables=("N", "D")):
    checks = {c.name: c for c in conduct.conduct_checks(frame, variables, cluster)}
    return checks.get(name)


@pytest.mark.parametrize(
    ("column", "values", "verdict"),
    [
        ("schedule_tokens", [1e9, 2e9, 4e9], "pass"),
        ("schedule_tokens", [4e9, 4e9, 4e9], "warn"),
        ("planned_steps", [100, 200, 400], "pass"),
        ("planned_steps", [100, 200, 300], "warn"),
        ("schedule", ["cosine"] * 3, None),
        ("decay_steps", [10, 20, 40], None),
    ],
)
def test_schedules_end_with_their_runs(column, values, verdict):
    frame = pd.DataFrame({"N": 1e6, "D": [1e9, 2e9, 4e9], "steps": [100, 200, 400]})
    check = one(frame.assign(**{column: values}), "schedule matched")
    assert (check and check.verdict) == verdict


@pytest.mark.parametrize(
    ("column", "values", "verdict"),
    [
        ("warmup_steps", [10, 10, 10], "pass"),
        ("warmup_steps", [50, 50, 50], "warn"),
        ("warmup_tokens", [1e8, 1e8, 1e8], "pass"),
        ("warmup_fraction", [0.3, 0.1, 0.1], "warn"),
        ("warmup_percent", [5.0, 5.0, 5.0], "pass"),
        ("warmup", [2000, 2000, 2000], None),
        ("warmup", ["long"] * 3, None),
    ],
)
def test_warm_up_is_short(column, values, verdict):
    frame = pd.DataFrame({"N": 1e6, "D": [1e9, 2e9, 4e9], "steps": [100, 200, 400]})
    check = one(frame.assign(**{column: values}), "warm-up")
    assert (check and check.verdict) == verdict


def test_losses_of_two_tokenizers_are_told():
    frame = pd.DataFrame({"N": 1e6, "tokenizer": ["a", "b", "a"]})
    assert one(frame, "losses on one scale").code == "SC124"
    assert one(frame.assign(tokenizer="a"), "losses on one scale").verdict == "pass"
    assert one(frame[["N"]], "losses on one scale") is None
    assert one(frame, "losses on one scale", variables=("N", "tokenizer")) is None


def test_rows_that_share_noise_are_resampled_together():
    frame = pd.DataFrame({"trunk": ["a", "a", "b", None]})
    assert one(frame, "dependent rows", "row").code == "SC448"
    assert one(frame, "dependent rows", "trunk").verdict == "pass"
    assert one(frame, "dependent rows", None) is None
    assert one(frame.assign(trunk=list("abcd")), "dependent rows", "row") is None


def test_repeated_data_are_no_new_data():
    frame = pd.DataFrame({"N": 1e6, "D": [1e8, 4e8, 5e8], "D_unique": 1e8})
    check = one(frame, "repeated data", variables=("N", "D"))
    assert (check.verdict, check.code) == ("warn", "SC452")
    assert check.found == "up to 5 passes; more than 4 in 1 of 3 runs"
    assert one(frame[:2], "repeated data", variables=("N", "D")).verdict == "pass"
    for asked in (("N", "D", "D_unique"), ("N",)):
        assert one(frame, "repeated data", variables=asked) is None
    for same in (frame["D"], frame["D"] / 30, frame["D"] / [30, 30, 31], 2 * frame["D"]):
        assert one(frame.assign(D_unique=same), "repeated data", variables=("N", "D")) is None
    unknown = frame.assign(D_unique=[1e8, np.nan, 1e8])
    assert one(unknown, "repeated data", variables=("N", "D")) is None


def test_leaving_repeats_out_mends_it(shared_file):
    """Of Muennighoff's runs all but 57 saw their data more than four times."""
    runs = sc.read(shared_file("muennighoff2023/runs.csv"), quiet=True)
    fit = sc.fit(runs, "chinchilla", bootstrap=0)
    told = " ".join(m.text for m in fit.messages if m.code == "SC452")
    assert "more than 4 in 125 of 182 runs" in told
    kept = sc.fit(runs, "chinchilla", bootstrap=0, where="D <= 4*D_unique")
    assert kept.n == 57
    assert "SC452" not in {m.code for m in kept.messages}
    assert fit.params["a"] - kept.params["a"] > 0.1


# ------------------------------------------------------------------------------------------ across


def test_minima_are_checked_where_there_are_budgets(sound):
    good = Minimum(1e18, 1e8, 1e9, 3.0, True)
    edge = Minimum(2e18, None, None, None, False, "the lowest loss is at the edge of the sizes")
    bent = replace(edge, why="the fitted curve bends downwards, so it has no minimum")
    for minima, verdicts in (
        ([good] * 4, ("pass", "pass")),
        ([good] * 3 + [edge], ("warn", "pass")),
        ([good, edge, bent], ("fail", "warn")),
    ):
        allocation = Allocation(None, "isoflop", None, None, minima=tuple(minima))
        checks = found(across.with_minima(sound, [allocation]))
        names = ("optimum bracketed", "curves bend upwards")
        assert tuple(checks[name].verdict for name in names) == verdicts
    assert across.with_minima(sound, []) is sound


@pytest.mark.parametrize("bootstrap", [0, 40])
def test_recipes_whose_curves_cross_are_told(runs, hoffmann, bootstrap):
    steep = hoffmann | {"E": hoffmann["E"] - 0.25, "B": hoffmann["B"] * 2.5}
    lower = hoffmann | {"E": hoffmann["E"] - 0.2}
    for truth, code in ((steep, "SC436"), (lower, None)):
        parts = [
            runs("chinchilla", one, noise=0.002).assign(group=name)
            for name, one in (("a", hoffmann), ("b", truth))
        ]
        fits = sc.fit(pd.concat(parts, ignore_index=True), "chinchilla", bootstrap=bootstrap)
        for name in "ab":
            check = found(fits[name, "chinchilla"])["crossing curves"]
            assert check.code == code


def test_the_page_of_checks_names_every_code_that_checks_have():
    root = Path(__file__).parents[2]
    page = (root / "docs" / "reference" / "checks.md").read_text(encoding="utf-8")
    told = set(re.findall(r"SC\d{3}", page))
    sources = [inspect.getsource(module) for module in (across, conduct, evidence)]
    used = {code for text in sources for code in re.findall(r"\"(SC\d{3})\"", text)}
    assert used
    assert used <= told
    names = {
        name for text in sources for name in re.findall(r"(?:Check|_judged)\(\s*\"([^\"]+)\"", text)
    }
    assert len(names) >= 12
    assert "repeated data" in names
    assert not [name for name in names if f"| {name} |" not in page]
