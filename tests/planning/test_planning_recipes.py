"""Recipes: rules as data, evaluated for many cells at once, each value as its source has it."""

import ast
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

import scaling.planning.recipes.recipe as module
from scaling.errors import ConfigError
from scaling.planning import recipes
from scaling.planning.recipes.settings import significant, whole, whole_below

TINY = 2.4e4


def env(N=1e8, D=2e9, T=2048.0, d=768.0, **more):
    """Columns of one cell, or of several where arrays are given."""
    N, D, T, d = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (N, D, T, d)))
    N, D, T, d = (np.atleast_1d(x) for x in (N, D, T, d))
    columns = {"N": N, "N_body": 0.8 * N, "N_head": 0.2 * N, "N_total": 1.2 * N, "D": D, "T": T}
    return {**columns, "C": 6 * N * D, "d": d, "n": np.full_like(N, 12.0), "V": d * 0 + 5e4, **more}


def optimizer(name, **columns):
    return recipes.get(name).settings(env(**columns)).optimizer(0)


# ------------------------------------------------------------------------------ bytes-small@1


@pytest.mark.parametrize("steps", [3, 25, 499, 12_345])
@pytest.mark.parametrize("size", [3_000, 23_999, 24_001, 70_000, 411_616])
def test_the_first_recipe_is_what_it_was(size, steps):
    """Ids of planned points hash this block: keys, kinds and values must stay."""
    rate = 0.008 * min(1.0, (size / 2.4e4) ** -0.65)
    expected = {
        "name": "adamw",
        "lr": float(f"{rate:.4g}"),
        "beta1": 0.9,
        "beta2": 0.99,
        "weight_decay": 0.1,
        "clip": 1.0,
        "warmup_steps": min(50, max(1, steps // 10)),
        "decay_steps": max(1, round(0.4 * steps)),
    }
    settings = recipes.get("bytes-small").settings(env(N=size, D=steps * 8 * 32, T=32.0))
    found = settings.optimizer(0)
    assert found == expected
    assert list(map(type, found.values())) == [str, *[float] * 5, int, int]
    assert set(found) == set(expected)
    assert settings.init(0) == {"embedding_sd": 0.5}
    assert settings.sequences.tolist() == [8]
    assert settings.steps.tolist() == [steps]
    assert recipes.get("bytes-small").resolve(size, steps) == expected
    assert recipes.get("bytes-small@1").evaluation_sequences == 2048


@pytest.mark.parametrize("name", recipes.known())
def test_many_cells_are_each_what_they_are_alone(name):
    rng = np.random.default_rng(1)
    N, D = np.exp(rng.uniform(9, 22, 40)), np.exp(rng.uniform(16, 25, 40))
    d = np.round(np.sqrt(N / 24)) * 4
    recipe = recipes.get(name)
    together = recipe.settings(env(N=N, D=D, d=d))
    for i in range(40):
        alone = recipe.settings(env(N=N[i], D=D[i], d=d[i]))
        assert together.optimizer(i) == alone.optimizer(0)
        assert together.sequences[i] == alone.sequences[0]
        assert together.steps[i] == alone.steps[0] == round(D[i] / (together.sequences[i] * 2048))


def test_a_hundred_thousand_cells_take_no_time():
    rng = np.random.default_rng(2)
    columns = env(N=np.exp(rng.uniform(9, 14, 100_000)), D=1e7, T=32.0)
    began = time.process_time()
    settings = recipes.get("bytes-small").settings(columns)
    assert time.process_time() - began < 0.25
    assert settings.lr.shape == (100_000,)


# ------------------------------------------------------------------------------ values by hand


def test_olmo_by_hand():
    """8 x 108M: the batch grows by 4, the rate falls by 2."""
    small, large = (optimizer("olmo-wsds-2025", N=n, D=20 * n) for n in (1.08e8, 8.64e8))
    assert (small["lr"], large["lr"]) == (0.00235, 0.001175)
    assert (small["beta2"], large["beta2"]) == (0.99, 0.95)
    settings = recipes.get("olmo-wsds-2025").settings(env(N=[1.08e8, 8.64e8], D=1e10))
    assert settings.sequences.tolist() == [160, 640]
    assert settings.warmup_steps.tolist() == [round(1.08e8 / 327_680), round(8.64e8 / 1_310_720)]
    assert settings.decay.tolist() == [0.1, 0.1]


def test_nanochat_by_hand():
    """At its reference d12 and at ten times the data: 2^(19 + 0.383 log2 10) is nearest 2^20."""
    settings = recipes.get("nanochat-2026").settings(env(N=1.1e8, D=[1.3212e9, 1.3212e10]))
    assert (settings.sequences * 2048).tolist() == [2**19, 2**20]
    assert settings.lr.tolist() == [0.001, 0.001414]
    assert settings.weight_decay.tolist() == [0.28, float(f"{0.28 * 2**0.5 / 10:.4g}")]
    assert settings.optimizer(0)["floor"] == 0.05
    assert settings.decay_steps.tolist() == [round(0.65 * s) for s in settings.steps.tolist()]


def test_marin_by_hand():
    """2^16 steps of 2048 units; up to the next power of two; halved while the rate is too high."""
    step = 65_536 * 2048
    D = [64 * step, 65 * step, 1024 * step]
    settings = recipes.get("marin-2025").settings(env(N=1e9, D=D, d=[1024, 1024, 512]))
    # rate 0.33 sqrt(B)/512 at B = 1024 is 0.0206; at 512, 0.0146; at 256, 0.0103; at 128, 0.0073
    assert settings.sequences.tolist() == [64, 128, 128]
    rates = [0.33 * 64**0.5 / 1024, 0.33 * 128**0.5 / 1024, 0.33 * 128**0.5 / 512]
    assert settings.lr.tolist() == [float(f"{rate:.4g}") for rate in rates]
    assert settings.beta2.tolist() == pytest.approx([0.98**0.5, 0.98, 0.98], abs=1e-6)
    assert settings.capped["sequences"].tolist() == [False, False, True]
    assert settings.warmup_steps[0] == 6554


def test_porian_by_hand():
    settings = recipes.get("porian-2024").settings(env(N=[1e8, 4e8], D=1e10))
    assert settings.lr.tolist() == [float(f"{3.7 * n**-0.36:.4g}") for n in (1e8, 4e8)]
    assert settings.sequences.tolist() == [round(0.00037 * n**0.703) for n in (1e8, 4e8)]
    assert settings.beta2.tolist() == [0.99, 0.95]
    assert settings.decay.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("size", "batch", "warmup"),
    [
        (5.7e6, 64, 100),
        (5.3e7, 512, 400),
        (1.25e8, 512, 400),
        (3.6e8, 512, 2000),
        (1.34e9, 256, 5000),
    ],
)
def test_gadre_as_released(size, batch, warmup):
    settings = recipes.get("gadre-2024").settings(env(N=size, D=20 * size))
    block = settings.optimizer(0)
    assert (settings.sequences[0], block["warmup_steps"]) == (batch, warmup)
    assert (block["lr"], block["weight_decay"], block["beta2"]) == (0.003, 0.033, 0.95)
    assert (block["shape"], block["floor"]) == ("cosine", 0.01)
    assert block["decay_steps"] == settings.steps[0]


def test_mup_by_hand():
    settings = recipes.get("mup-2022").settings(env(N=[1e4, 1e5], T=32.0, d=[16, 128]))
    assert settings.optimizer(0)["multipliers"] == {"embedding": 1.0, "hidden": 2.0, "head": 2.0}
    assert settings.optimizer(1)["multipliers"] == {"embedding": 1.0, "hidden": 0.25, "head": 0.25}
    assert settings.lr.tolist() == [0.008, 0.008]
    assert settings.init(0) == {"embedding_sd": 0.5, "attention_base": 16.0}


# ---------------------------------------------------------------------------------- every recipe


@pytest.mark.parametrize("name", recipes.known())
def test_what_depends_on_length_is_said(name):
    """A trunk may have branches only if nothing but the decay changes with D."""
    recipe = recipes.get(name)
    settings = recipe.settings(env(N=2e8, D=[4e10, 3.3e12], d=8192))
    kinds = {
        "batch": ["sequences"],
        "rate": ["lr"],
        "betas": ["beta1", "beta2"],
        "weight decay": ["weight_decay"],
        "warm-up": ["warmup_steps"],
    }
    moved = [k for k, names in kinds.items() if any(np.ptp(getattr(settings, n)) for n in names)]
    assert sorted(moved) == sorted(recipe.depends_on_length)


@pytest.mark.parametrize("name", recipes.known())
def test_every_recipe_works_where_it_was_made_for_and_says_whence_it_is(name):
    recipe = recipes.get(name)
    N = np.geomspace(*recipe.tuned, 20)
    settings = recipe.settings(env(N=N, D=60 * N, d=np.round((N / 24) ** 0.5) * 2))
    assert "SC219" not in [m.code for m in recipe.concerns(settings, {"N": N})]
    text = "\n".join(recipe.rules())
    assert recipe.source in text
    assert recipe.name in text
    assert all(note in text for note in recipe.notes)
    for formula in recipe.rule_set.formulas.values():
        assert formula.text in text


@pytest.mark.parametrize("name", recipes.known())
def test_the_worker_follows_every_schedule(name):
    schedule = pytest.importorskip("scaling.training.schedule")
    settings = recipes.get(name).settings(env(N=2e8, D=8e9))
    block, steps = settings.optimizer(0), int(settings.steps[0])
    rates = np.array([schedule.learning_rate(k, steps, block) for k in range(steps)])
    assert rates.min() > 0
    assert rates.max() == pytest.approx(block["lr"], rel=0.01)
    assert rates[-1] <= block["lr"] * max(0.06, block["decay_steps"] == 1)
    assert np.all(np.diff(rates[block["warmup_steps"] :]) <= 0)


def test_names_and_versions_are_unique_and_every_key_is_read():
    path = Path(module.__file__).with_suffix(".toml")
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["recipe"]
    names = [f"{entry['name']}@{entry['version']}" for entry in entries]
    assert len(set(names)) == len(names)
    assert tuple(names) == recipes.known()
    keys = {"name", "version", "title", "source", "notes", "tuned", "constants", "rules", "caps",
            "rounding", "schedule", "noise", "reach"}  # fmt: skip
    for entry in entries:
        assert set(entry) <= keys
        used = {n for text in [*entry.get("rules", {}).values(), *entry.get("caps", {}).values()]
                for n in names_in(text)}  # fmt: skip
        unread = set(entry["constants"]) - used - set(module.RULES)
        assert unread <= {"embedding_sd", "evaluation_sequences", "attention_base"}


def names_in(text):
    return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}


def test_the_newest_version_stands_for_the_name(monkeypatch):
    first = recipes.get("bytes-small")
    later = {f"bytes-small@{k}": module.replace(first, name=f"bytes-small@{k}") for k in (1, 10, 9)}
    monkeypatch.setattr(module, "_declared", lambda: later)
    assert recipes.get("bytes-small").name == "bytes-small@10"
    assert recipes.get("bytes-small@9").name == "bytes-small@9"


# ------------------------------------------------------------------------------------ overrides


def test_numbers_and_formulas_override():
    recipe = recipes.get("bytes-small", {"lr": "0.004*(N/1e6)**-0.3", "beta2": 0.95})
    assert recipe.name == "bytes-small@1+beta2=0.95,lr=0.004*(N/1e6)**-0.3"
    settings = recipe.settings(env(N=[1e6, 1e7], T=32.0))
    assert settings.lr.tolist() == [0.004, 0.002005]
    assert settings.beta2.tolist() == [0.95, 0.95]
    assert "peak learning rate = 0.004*(N/1e6)**-0.3" in recipe.rules()


def test_a_number_replaces_the_formula_of_a_setting_without_constant():
    recipe = recipes.get("porian-2024", {"lr": 0.002, "sequences": 32})
    settings = recipe.settings(env(N=[1e7, 1e8]))
    assert settings.lr.tolist() == [0.002, 0.002]
    assert settings.sequences.tolist() == [32, 32]


def test_a_constant_of_a_formula_may_be_any_number_that_the_rule_can_use():
    flat = recipes.get("bytes-small", {"lr_power": 0.0})
    assert flat.settings(env(N=[1e4, 1e6], T=32.0)).lr.tolist() == [0.008, 0.008]
    with pytest.raises(ConfigError) as caught:
        recipes.get("bytes-small", {"lr_knee": -1.0}).settings(env(N=3e4))
    assert caught.value.code == "SC012"
    assert "gives nan at N = 3e+04, D = 2e+09" in caught.value.faults[0].found


def test_a_formula_may_use_what_comes_before_it():
    recipe = recipes.get("bytes-small", {"weight_decay": "1/(lr*steps)", "warmup_steps": "N/B"})
    settings = recipe.settings(env(N=2e4, D=2.56e5, T=32.0))
    assert settings.weight_decay.tolist() == [0.125]
    assert settings.warmup_steps.tolist() == [78]
    assert recipe.depends_on_length == ("weight decay",)


def test_long_formulas_have_short_names():
    one, other = (
        recipes.get("bytes-small", {"lr": f"0.004*(N/1e6)**-0.3*(1 + (D/1e9)**2)**-0.1*{k}"}).name
        for k in (1, 2)
    )
    assert one != other
    assert len(one) < 40


@pytest.mark.parametrize(
    ("overrides", "code", "said"),
    [
        ({"lr": "0.004*M"}, "SC020", "M"),
        ({"lr": "__import__('os')"}, "SC020", "not allowed"),
        ({"lr": "0.004*("}, "SC020", "parsed"),
        ({"lr": "0.1*floor"}, "SC020", "floor"),
        ({"sequences": "steps"}, "SC020", "steps"),
        ({"learning_rate": 0.1}, "SC011", "lr"),
        ({"embedding_sd": "N"}, "SC012", "a number"),
        ({"floor": 1.5}, "SC012", "at most 1"),
    ],
)
def test_overrides_that_cannot_be_used(overrides, code, said):
    with pytest.raises(ConfigError) as caught:
        recipes.get("bytes-small", overrides)
    assert caught.value.code == code
    assert next(iter(overrides)) in caught.value.faults[0].where
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("formula", "said"),
    [("-0.1", "at N"), ("log(0*N)", "-inf"), ("0*N", "0"), ("'x'", "a number"), ("d", "d")],
)
def test_formulas_that_give_no_usable_rate(formula, said):
    recipe = recipes.get("bytes-small", {"lr": formula})
    columns = env(N=1e4, T=32.0)
    del columns["d"]
    with pytest.raises(ConfigError, match=said):
        recipe.settings(columns)


def test_an_unknown_recipe_names_the_known_ones():
    for name in ("bytes-smal", "bytes-small@7"):
        with pytest.raises(ConfigError) as caught:
            recipes.get(name)
        assert caught.value.code == "SC012"
        assert all(known in caught.value.faults[0].expected for known in recipes.known())


# ------------------------------------------------------------------------------------- rounding


def test_significant_digits_are_those_of_printing():
    rng = np.random.default_rng(3)
    x = np.concatenate([np.exp(rng.uniform(-38, 38, 20_000)), -np.exp(rng.uniform(-9, 9, 99))])
    x = np.concatenate([x, [0.0, 1.0, 9.9999, 99995.1, 1e-7, 0.99996, 1e22, np.inf]])
    for digits in (4, 6):
        assert significant(x, digits).tolist() == [float(f"{v:.{digits}g}") for v in x]
    assert np.isnan(significant(np.array([np.nan]), 4)).all()


def test_powers_of_two():
    x = np.array([0.3, 1.0, 1.4, 1.5, 3.0, 64.0, 65.0, 90.5, 90.6])
    assert whole(x, "power-of-two").tolist() == [1, 1, 1, 2, 4, 64, 64, 64, 128]
    assert whole(x, "power-of-two-up").tolist() == [1, 1, 2, 2, 4, 64, 128, 128, 128]
    assert whole_below(x, "power-of-two").tolist() == [1, 1, 1, 1, 2, 64, 64, 64, 64]
    assert whole(x, "nearest").tolist() == [0, 1, 1, 2, 3, 64, 65, 90, 91]
    assert whole_below(np.array([3.0 * (1 - 1e-13), 2.9]), "nearest").tolist() == [3, 2]


@pytest.mark.parametrize("name", recipes.known())
def test_the_last_bit_decides_nothing(name):
    """Machines differ in the last bits of powers; plans must not."""
    rng = np.random.default_rng(6)
    N, D = np.exp(rng.uniform(14, 22, 300)), np.exp(rng.uniform(18, 25, 300))
    recipe, found = recipes.get(name), []
    for bits in (-2, 0, 2):
        near = 1.0 + bits * np.finfo(float).eps
        settings = recipe.settings(env(N=N * near, D=D, d=512.0))
        found.append([(settings.sequences[i], settings.optimizer(i)) for i in range(300)])
    assert found[0] == found[1] == found[2]


# ------------------------------------------------------------------------------------- concerns


def concerns(name, **columns):
    recipe, table = recipes.get(name), env(**columns)
    return {m.code: m.text for m in recipe.concerns(recipe.settings(table), table)}


def test_a_long_warm_up_is_told_with_counts():
    found = concerns("olmo-wsds-2025", N=2e8, D=[1e9, 1.5e9, 4e9])
    assert found["SC218"].startswith("2 of 3 points")
    assert "20%" in found["SC218"]
    assert "SC218" not in concerns("olmo-wsds-2025", N=2e8, D=[2.1e9, 4e9])


def test_a_warm_up_of_a_tenth_is_not_long_by_its_rounding():
    assert "SC218" not in concerns("marin-2025", N=1e9, D=np.linspace(1e10, 2e10, 50), d=1024)


def test_sizes_outside_the_recipe_are_told_once():
    found = concerns("bytes-small", N=[3e3, 2e4, 1e6], D=1e7, T=32.0)
    assert found["SC219"].startswith("2 of 3 points")
    assert "1e+04 to 3e+05" in found["SC219"]
    assert concerns("bytes-small", N=[3.4e3, 8.9e5], D=1e7, T=32.0) == {}


def test_recipes_say_how_noisy_their_runs_are():
    assert {recipes.get(name).noise for name in recipes.known()} == {0.004, 0.01, 0.04}
    assert recipes.get("bytes-small").noise == 0.01


def test_caps_and_thresholds_are_told():
    found = concerns("marin-2025", N=1e9, D=1024 * 65_536 * 2048, d=[512, 8192])
    assert "the batch is capped at 1 of 2 points" in found["SC220"]
    found = concerns("olmo-wsds-2025", N=[2e8, 4e8], D=1e11)
    assert "beta2 jumps between 0.95 and 0.99" in found["SC220"]
    assert "SC220" not in concerns("olmo-wsds-2025", N=[2.5e8, 4e8], D=1e11)
