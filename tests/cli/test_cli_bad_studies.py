"""Study files and sweep folders that cannot be used, through the program."""

import pytest

BASE = """schema = 1
[data]
source = "markov"
options = {symbols = 8, tokens = 400000, validation_tokens = 20000}
[design]
kind = "grid"
params = [4e3, 8e3]
data = [2e4, 4e4]
"""
ISOFLOP = (
    BASE.split("[design]")[0]
    + """[design]
kind = "isoflop"
budgets = [%s]
sizes = 5
center = {N = 7e3, C = 1e9}
"""
)


def changed(old, new):
    assert old in BASE
    return BASE.replace(old, new)


STUDIES = [
    ("malformed", BASE + "[fit\n", "SC010", "s.toml:9"),
    ("unknown key", changed("params", "parms"), "SC011", 's.toml:7'),
    ("many unknown keys", BASE + "[[fit]]\n" + "".join(f"bootstrap{i} = 1\n" for i in range(40)),
     "SC011", "more"),
    ("unknown section", changed("[design]", "[desing]"), "SC011", '"design"'),
    ("wrong type", changed("[4e3, 8e3]", '"many"'), "SC012", "s.toml:7"),
    ("negative", changed("[4e3, 8e3]", "[-4e3]"), "SC012", "s.toml:7"),
    ("nothing missing but all", "", "SC012", "schema"),
    ("budget too small", ISOFLOP % "1e3", "SC201", "FLOP"),
    ("budget too large", ISOFLOP % "1e300", "SC201", "FLOP"),
    ("budget NaN", ISOFLOP % "nan", "SC012", "s.toml:7"),
    ("size too small", changed("[4e3, 8e3]", "[3.0]"), "SC201", "N ="),
    ("data NaN", changed("tokens = 400000", "tokens = nan"), "SC012", "tokens"),
    ("data too short", changed("tokens = 400000", "tokens = 20"), "SC012", "tokens"),
    ("rate NaN", BASE + "[recipe]\noverrides = {lr = nan}\n", "SC012", "lr"),
    ("batch infinite", BASE + "[recipe]\noverrides = {sequences = inf}\n", "SC012", "sequences"),
    ("unknown family", BASE + '[model]\nfamily = "mamba"\n', "SC012", "decoder"),
    ("calibration absent", BASE + '[engine]\ncalibration = "c.json"\n', "SC005", "c.json"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "code", "words"), [s[1:] for s in STUDIES], ids=[s[0] for s in STUDIES]
)
def test_plan_refuses_and_writes_nothing(write, refused, content, code, words):
    write("s.toml", content)
    out = refused("sweep", "plan", "s.toml", "-o", "out", "--json", code=code)
    assert words in out.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["sweep", "run", "s.toml", "-o", "out"], "SC010"),
        (["study", "s.toml", "-o", "out"], "SC010"),
        (["bench", "s.toml", "-o", "calibration.json"], "SC010"),
        (["sweep", "run", "good.toml"], "SC004"),
        (["sweep", "run", "nowhere", "-o", "out"], "SC005"),
        (["sweep", "run", "."], "SC005"),
        (["sweep", "status", "."], "SC005"),
        (["sweep", "plan"], "SC005"),
        (["sweep", "plan", "good.toml", "--flops", "1e10"], "SC004"),
        (["sweep", "plan", "--data", "1e5"], "SC004"),
        (["sweep", "plan", "--flops", "1e10:1e11:inf"], "SC004"),
        (["sweep", "plan", "--flops", "many"], "SC004"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else x,
)
def test_commands_refuse_and_write_nothing(write, refused, arguments, code):
    write("s.toml", "schema = \n")
    write("good.toml", BASE)
    refused(*arguments, code=code)


@pytest.mark.parametrize(
    ("content", "code"), [("", "SC101"), ("N,D,loss\n1e6,2e7,x\n", "SC102"), (None, "SC005")]
)
def test_a_study_of_a_table_that_cannot_be_used(write, refused, content, code):
    write("s.toml", 'schema = 1\n[data]\ntable = "runs.csv"\n')
    write("out/fit.json".replace("/", "-"), "precious")
    if content is not None:
        write("runs.csv", content)
    refused("study", "s.toml", "-o", "out", code=code)


def test_a_file_in_the_place_of_the_plan_is_kept(write, refused, tmp_path):
    (tmp_path / "out").mkdir()
    write("out/plan.jsonl", "precious\n")
    write("s.toml", BASE)
    refused("sweep", "plan", "s.toml", "-o", "out", code="SC002")
