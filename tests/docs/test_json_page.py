"""Machine-readable output: every schema and every field that is printed stands on the page."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="records are trained")

from scaling import errors
from tests.docs.blocks import DOCS, ROOT
from tests.docs.prepared import Prepared
from tests.docs.program import scaling

PACKAGE = Path(errors.__file__).parent  # installed or not
PAGE = DOCS / "reference" / "json.md"
SCHEMA = re.compile(r'"(scaling/[a-z]+@\d+)"')
OLD = {"scaling/calibration@2"}  # read, and no longer written
TEXT = re.sub(r"```.*?```", "", PAGE.read_text(encoding="utf-8"), flags=re.S)
SHARED, *PARTS = re.split(r"^## (?=scaling/)", TEXT, flags=re.M)
SECTIONS = {part.split("\n", 1)[0]: part for part in PARTS}
KEYED = {
    "params",
    "loadings",
    "se",
    "columns",
    "shapes",
    "expected",
    "intervals",
    "limits",
    "procedures",
}
"""Fields whose own keys are names of parameters, columns or layers, and not of the form."""
OPAQUE = {
    "auto", "mixture", "next", "draws", "shape", "flops_per_unit", "options", "metrics", "point",
    "profiles", "sensitivity", "versions", "range",
}  # fmt: skip
"""Fields that are told as a whole: data, or what a field of another form is."""
DATA = {"scaling/plot@1", "scaling/report@1"}  # the field `data` holds columns


def in_source():
    """Return the schemas that the source writes."""
    texts = (path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    return {name for text in texts for name in SCHEMA.findall(text)} - OLD


def fields(value, keyed=False):
    """Yield the names of all fields of a JSON value."""
    if isinstance(value, list):
        for item in value:
            yield from fields(item, keyed)
    elif isinstance(value, dict):
        for name, item in value.items():
            if not keyed:
                yield name
            if name not in OPAQUE or keyed:
                yield from fields(item, keyed=not keyed and name in KEYED)


def missing(schema, printed):
    """Return fields of an output that its section, and what is shared, do not name."""
    also = SECTIONS["scaling/compare@1"] if schema == "scaling/fit@1" else ""  # as it says
    told = set(re.findall(r"`([^`]+)`", SHARED + SECTIONS[schema] + also))
    found = set(fields(printed)) - {"schema"}
    if schema in DATA:
        found = set(fields(_without_data(printed))) - {"schema"}
    if schema == "scaling/procedure@1":
        found -= set(printed["laws"])
    return sorted(found - told)


def _without_data(value):
    if isinstance(value, list):
        return [_without_data(item) for item in value]
    if isinstance(value, dict):
        return {k: [] if k == "data" else _without_data(v) for k, v in value.items()}
    return value


def test_every_schema_has_a_section():
    assert sorted(SECTIONS) == sorted(in_source())
    assert [name for name in SECTIONS if f"[`{name}`](#" not in SHARED] == []


def test_a_field_that_is_not_told_is_found():
    message = {"code": "SC102", "title": "", "cause": "", "mend": "", "surprise": [{"more": 1}]}
    assert missing("scaling/code@1", message) == ["more", "surprise"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Lay out runs, fits and a sweep, with a record that tells classes apart."""
    place = tmp_path_factory.mktemp("json")
    prepared = Prepared(tmp_path_factory.mktemp("made"))
    for name in ("results.csv", "recipes.csv", "fit.json"):
        prepared.lay(name, place)
    small = (ROOT / "sweeps" / "quickstart.toml").read_text(encoding="utf-8")
    (place / "study.toml").write_text(small, encoding="utf-8")
    design = '[design]\nkind = "grid"\nparams = [3584, 6528]\ndata = [1e4]\n'
    small = re.sub(r"^\[design\].*?(?=^\[)", design + "\n", small, flags=re.M | re.S)
    (place / "small.toml").write_text(small, encoding="utf-8")
    done = scaling(["sweep", "run", "small.toml", "-o", "out"], place)
    assert done.code == 0, done.text
    shutil.copytree(place / "out", place / "told")
    record = next((place / "told").glob("points/*/*/record.json"))
    told = json.loads(record.read_text())
    score = {"name": "cat", "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 9}
    told["metrics"] = {"accuracy": 0.9, "error": 0.1, "error_se": 0.01, "classes": [score]}
    record.write_text(json.dumps(told))
    return place


PRINTED = [
    ("fit@1", "fit results.csv --approach surface --approach isoflop --approach envelope "
              '--bootstrap 20 --profile E --holdout "C > 3e19" --json --full'),
    ("fit@1", "fit recipes.csv --group recipe --effective multiplier --reference old "
              "--law chinchilla --law coupled --bootstrap 20 --sensitivity --json --full"),
    ("fit@1", "fit recipes.csv --group recipe --effective transfer --reference old "
              "--bootstrap 20 --json"),
    ("fit@1", "fit results.csv --law auto --bootstrap 20 --json --full"),
    ("predict@1", "predict fit.json --flops 1e21 --unique-data 1e10 --json"),
    ("predict@1", "predict fit.json --target-loss 2.4 --inference-tokens 1e12 --json"),
    ("predict@1", "predict fit.json --flops 1e21 --off 0.5 --json"),
    ("compare@1", "compare recipes.csv --group recipe --json"),
    ("plot@1", "plot fit.json frontier --json"),
    ("plan@1", "sweep plan study.toml --json"),
    ("suggest@1", "sweep suggest results.csv --json"),
    ("status@1", "sweep status out --json"),
    ("logs@1", "sweep logs out ID --json"),
    ("classes@1", "sweep classes told --json"),
    ("calibration@3", "bench small.toml -o calibration.json --json"),
    ("check@1", "check results.csv --json"),
    ("import@1", "import results.csv -o runs.csv --json"),
    ("data@1", "data list --json"),
    ("sources@1", "data sources --json"),
    ("laws@1", "laws list --json"),
    ("law@1", "laws show chinchilla --json"),
    ("procedure@1", "laws show auto --json"),
    ("code@1", "explain SC102 --json"),
    ("codes@1", "explain SC102 SC103 --json"),
    ("config@1", "config show fit --all --json"),
    ("init@1", "init new --json"),
    ("templates@1", "init --list --json"),
]  # fmt: skip
WRITTEN = {
    "coordinates@1",
    "doctor@1",
    "record@1",
    "report@1",
    "tuning@1",
}  # by the tests below them


def test_every_schema_is_printed_here():
    assert {name.removeprefix("scaling/") for name in SECTIONS} == {n for n, _ in PRINTED} | WRITTEN


@pytest.mark.parametrize(("schema", "command"), PRINTED)
def test_every_field_that_is_printed_is_told(schema, command, folder):
    point = next((folder / "out").glob("points/*/*")).name
    done = scaling([point if w == "ID" else w for w in shlex.split(command)], folder)
    assert done.code in (0, 4), done.text
    start = re.search(r"^\{", done.text, flags=re.M).start()
    printed = json.JSONDecoder().raw_decode(done.text[start:])[0]
    assert printed["schema"] == f"scaling/{schema}"
    assert missing(printed["schema"], printed) == []


def test_every_field_that_is_written_is_told(folder):
    assert scaling(["report", "fit.json", "-o", "report.json"], folder).code == 0
    written = [folder / "report.json", *(folder / "out").glob("points/*/*/record.json")]
    for path in written:
        found = json.loads(path.read_text(encoding="utf-8"))
        assert missing(found["schema"], found) == []


def test_every_field_of_tuning_is_told():
    from scaling.planning.recipes.optima import Optimum
    from scaling.planning.recipes.tuned import Check, Tuned

    best = Optimum(**dict.fromkeys(Optimum.__dataclass_fields__, 1))
    check = Check(**dict.fromkeys(Check.__dataclass_fields__, 1))
    tuned = Tuned("r@1", 1.0, -0.5, 0.95, (-0.6, -0.4), 1.0, 0.1, 0.1, 2.0, (best,), check)
    assert missing("scaling/tuning@1", tuned.as_dict()) == []


def test_every_field_of_the_doctor_is_told():
    """Its command looks at the whole installation, which tests/cli/test_cli_doctor.py lets it."""
    from scaling.cli.doctor import _row
    from scaling.training.installation import Check

    printed = {"schema": "scaling/doctor@1", "checks": [_row(Check("Python", "3.11"))]}
    assert missing("scaling/doctor@1", printed) == []


def test_every_field_of_a_setting_that_cannot_be_used_is_told(tmp_path):
    (tmp_path / "scaling.toml").write_text("[fit]\nxyzzy = 1\n")
    done = scaling(["config", "--json"], tmp_path)
    start = re.search(r"^\{", done.text, flags=re.M).start()
    printed = json.JSONDecoder().raw_decode(done.text[start:])[0]
    assert missing("scaling/config@1", printed) == []
    (fault,) = printed["faults"]
    assert (fault["code"], fault["mend"]) == ("SC013", "")
    assert fault["expected"].startswith("one of ")


def test_every_field_of_coordinates_is_told():
    import scaling as sc
    from scaling.training.coordinates import check_coordinates

    study = {
        "schema": 1, "data": {"source": "stdlib"}, "model": {"family": "decoder", "context": 16},
        "design": {"kind": "grid", "params": [4e3, 2e4, 6e4], "data": [2e4]},
    }  # fmt: skip
    points = [point.as_dict() for point in sc.plan(study)]
    found = check_coordinates(points, "cpu", steps=1)
    assert missing("scaling/coordinates@1", found) == []
