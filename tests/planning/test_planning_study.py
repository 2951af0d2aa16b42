"""Study files: every fault at once, with its line, before anything is spent."""

import pytest

from scaling.errors import ConfigError
from scaling.planning.study import check_study, read_study, shrink

BASE = """schema = 1
[data]
source = "stdlib"
[design]
kind = "isoflop"
budgets = [1e9, 2e9, 4e9]
sizes = 5
span = 2.0
center = {N = 7e3, C = 1e9, exponent = 0.5}
"""


def faults_of(path):
    with pytest.raises(ConfigError) as caught:
        read_study(path)
    assert caught.value.exit_code == 2
    return caught.value.faults


def changed(old, new):
    assert old in BASE
    return BASE.replace(old, new)


def test_a_good_file_and_its_defaults(write):
    study = read_study(write("s.toml", BASE))
    assert study.design.budgets == [1e9, 2e9, 4e9]
    assert study.recipe.name == "bytes-small"
    fit = study.fit[0]
    assert (fit.objective, fit.delta, fit.reduction) == ("log-huber", 1e-3, "sum")
    assert (fit.bootstrap, fit.interval, fit.seed) == (1000, 0.95, 0)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (BASE + "[fit\n", 10),
        (changed('kind = "isoflop"', "kind = isoflop"), 5),
        (changed("[1e9, 2e9, 4e9]", "[1e9 2e9]"), 6),
        (BASE + '[study]\ntitle = "no end\n', 11),
        (BASE + "sizes = 6\n", 10),
        (changed("schema = 1", "= 1"), 1),
    ],
)
def test_malformed_toml_is_named_by_line(write, text, line):
    (fault,) = faults_of(write("s.toml", text))
    assert (fault.code, fault.where) == ("SC010", f"s.toml:{line}")
    assert fault.excerpt == text.splitlines()[line - 1]
    assert fault.mend


@pytest.mark.parametrize(
    ("content", "code"), [(b"schema = 1 # \xe9\n", "SC010"), (b"\x89PNG\0", "SC010")]
)
def test_a_file_that_is_no_text(write, content, code):
    (fault,) = faults_of(write("s.toml", content))
    assert fault.code == code


@pytest.mark.parametrize("name", ["nowhere.toml", "."])
def test_a_file_that_cannot_be_opened(tmp_path, name):
    (fault,) = faults_of(tmp_path / name)
    assert fault.code == "SC005"
    assert fault.mend


@pytest.mark.parametrize(
    ("text", "line", "key", "near"),
    [
        (changed("budgets", "budgtes"), 6, "budgtes", "budgets"),
        (changed("[design]", "[desing]"), 4, "desing", "design"),
        (changed("source =", "sorce ="), 3, "sorce", "source"),
        (BASE + "[[fit]]\nbootstrp = 3\n", 11, "bootstrp", "bootstrap"),
        (BASE + "[[fit]]\nlaw = 'power-N'\n[[fit]]\nholdot = 'C > 1'\n", 13, "holdot", "holdout"),
        (changed("exponent", "exponet"), 9, "exponet", "exponent"),
    ],
)
def test_an_unknown_key_gets_its_line_and_the_nearest_name(write, text, line, key, near):
    fault = next(f for f in faults_of(write("s.toml", text)) if f.code == "SC011")
    assert fault.where.startswith(f"s.toml:{line} ")
    assert f'"{key}"' in fault.found
    assert near in fault.expected
    assert f'"{near}"' in fault.mend


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (changed("sizes = 5", 'sizes = "many"'), 7),
        (changed("sizes = 5", "sizes = 1"), 7),
        (changed("sizes = 5", "sizes = 5.5"), 7),
        (changed("[1e9, 2e9, 4e9]", "1e9"), 6),
        (changed("[1e9, 2e9, 4e9]", '[1e9, "x"]'), 6),
        (changed("[1e9, 2e9, 4e9]", "[1e9, -1e9]"), 6),
        (changed("[1e9, 2e9, 4e9]", "[0]"), 6),
        (changed("[1e9, 2e9, 4e9]", "[nan]"), 6),
        (changed("[1e9, 2e9, 4e9]", "[inf]"), 6),
        (changed("2.0", "1.0"), 8),
        (changed("2.0", "nan"), 8),
        (changed("2.0", '"4"'), 8),
        (changed('"isoflop"', '"isoflops"'), 5),
        (changed("schema = 1", "schema = 2"), 1),
        (BASE + "seeds = 0\n", 10),
        (BASE + "seeds = 1.5\n", 10),
        (BASE + "seeds = true\n", 10),
        (BASE + "[model]\ncontext = 0\n", 11),
        (BASE + "[study]\ntarget_flops = -1\n", 11),
        (BASE + "[engine]\nworkers = 0\n", 11),
        (BASE + "[[fit]]\nobjective = 'huberr'\n", 11),
        (BASE + "[[fit]]\nobjective = 'mse'\n[[fit]]\nobjective = 'huberr'\n", 13),
        (BASE + "[[fit]]\ninterval = 1.0\n", 11),
        ("fit = []\n" + BASE, 1),
        (BASE + "[[fit]]\nbootstrap = -1\n", 11),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_by_line(write, text, line):
    faults = faults_of(write("s.toml", text))
    for fault in faults:
        assert fault.code == "SC012"
        assert fault.where.startswith(f"s.toml:{line} ")
        assert fault.found
        assert fault.expected
        assert "constrained" not in fault.render()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (changed("schema = 1\n", ""), "schema"),
        (changed('[data]\nsource = "stdlib"\n', ""), "data"),
        (changed('source = "stdlib"\n', ""), "[data]"),
        (changed('"stdlib"', '"stdlib"\ntable = "t.csv"'), "[data]"),
        ('schema = 1\n[data]\nsource = "stdlib"\n', "[design]"),
        (changed("budgets = [1e9, 2e9, 4e9]\n", ""), "budgets"),
        (changed("center = {N = 7e3, C = 1e9, exponent = 0.5}\n", ""), "center"),
        (changed('"isoflop"', '"grid"'), "[design]"),
        ("", "schema"),
    ],
)
def test_what_is_missing_or_contradicts_itself(write, text, place):
    faults = faults_of(write("s.toml", text))
    assert {f.code for f in faults} == {"SC012"}
    assert place in faults[0].where


def test_every_fault_comes_at_once_on_one_screen(write):
    keys = "".join(f"bootstrap{i} = 1\n" for i in range(12))
    with pytest.raises(ConfigError) as caught:
        read_study(write("s.toml", BASE + "[[fit]]\n" + keys))
    assert len(caught.value.faults) == 12
    lines = caught.value.render().splitlines()
    assert sum(max(1, -(-len(line) // 80)) for line in lines) <= 24


@pytest.mark.parametrize(
    "fit",
    [
        {"law": "chinchila"},
        {"approach": ["guess"]},
        {"where": "loss <"},
        {"where": "__import__('os')"},
        {"holdout": "C >"},
    ],
    ids=str,
)
def test_a_fit_that_cannot_be_made_is_refused_before_training(fit):
    study = {
        "schema": 1,
        "data": {"source": "stdlib"},
        "design": {"kind": "grid", "params": [1e4], "data": [1e5]},
        "fit": [fit],
    }
    check_study({**study, "fit": [{}]})
    with pytest.raises(ConfigError) as caught:
        check_study(study)
    assert caught.value.code in ("SC004", "SC012", "SC020")


@pytest.mark.parametrize("text", [BASE, BASE + "seeds_at_smallest = 3\n[[fit]]\nbootstrap = 50\n"])
def test_smoke_shrinks(write, text):
    study = read_study(write("s.toml", text))
    small = shrink(study)
    assert max(small.design.budgets) < max(study.design.budgets)
    assert small.design.seeds == 1
    assert small.design.seeds_at_smallest is None
    assert small.fit[0].bootstrap == min(100, study.fit[0].bootstrap)
    assert small.data == study.data
    assert small.recipe == study.recipe


def test_smoke_leaves_a_study_of_a_finished_table_alone():
    study = check_study({"schema": 1, "data": {"table": "t.csv"}})
    assert shrink(study) == study
