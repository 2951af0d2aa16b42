"""``scaling data``: what is listed, fetched, copied, said and refused."""

import json
import shlex
import sys

import pytest

from scaling.cli.app import main
from scaling.runs.public_sets import SETS
from tests.web import closed_port, serving

NAMES = [found.name for found in SETS]
ORIGINALS = {  # tables that are their originals: a server can offer them as the origin does
    name: (table, found)
    for name in ("chinchilla_epoch2024", "alabdulmohsin2022_language")
    for found in SETS
    if found.name == name
    for table in found.files
}
EPOCH, LANGUAGE = ORIGINALS


@pytest.fixture
def program(tmp_path, monkeypatch, capsys):
    """Run the program here, where the environment can be chosen; return its code and streams."""
    for name in ("SCALING_DATA_DIR", "SCALING_CACHE_DIR", "SCALING_DATA_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("scaling.runs.public.PAUSE", 0)
    monkeypatch.chdir(tmp_path)

    def run(*arguments, terminal=False, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setattr(sys, "argv", ["scaling", *map(str, arguments)])
        monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def origin(shared_file):
    """Serve two originals at the paths of their repositories."""
    with serving() as web:
        for name, (table, found) in ORIGINALS.items():
            path = f"{found.repo}/{found.commit}/{table.originals[0].path}"
            web.files[path] = shared_file(f"{name}/{table.name}").read_bytes()
        yield web


def test_sets_are_listed_with_rows_licence_and_state(program, tmp_path):
    code, out, _ = program("data", "list", "--cache", tmp_path / "cache")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert list(lines) == NAMES
    assert "245" in lines[EPOCH]
    assert "none stated" in lines[EPOCH]
    assert "1,164 + 118 + 10" in lines["porian2024_refinedweb"]
    assert "original is a pickle: not offered" in lines["porian2024_refinedweb"]
    assert sum("not fetched" in line for line in lines.values()) == len(NAMES) - 1
    assert not (tmp_path / "cache").exists()


def test_the_list_as_json(document):
    found = document("data", "list", "--json")
    assert found["schema"] == "scaling/data@1"
    assert [row["name"] for row in found["sets"]] == NAMES
    for row, known in zip(found["sets"], SETS, strict=True):
        assert [f["sha256"] for f in row["files"]] == [t.sha256 for t in known.files]
        assert row["licence"] == known.licence


def test_a_set_is_fetched_and_its_terms_are_told(program, origin, tmp_path):
    code, out, err = program(
        "data", "fetch", EPOCH, "--cache", "cache", terminal=True, SCALING_DATA_URL=origin.url
    )
    assert code == 0
    path = tmp_path / "cache" / EPOCH / "svg_extracted_data.csv"
    assert out == f"{path}\n"
    assert path.is_file()
    assert "none stated: not to be redistributed" in err
    assert "arXiv:2404.10102" in err
    assert "D = C/(6N)" in err
    assert f"Next: scaling fit cache/{EPOCH}/svg_extracted_data.csv --where 'loss < 3.446'" in err
    assert "cached" in program("data", "list", "--cache", "cache")[1].splitlines()[0]
    assert program("data", "fetch", EPOCH, "--cache", "cache")[0] == 0
    assert origin.hits.total() == 1


def test_tables_are_copied_and_told_as_json(program, origin, tmp_path):
    code, out, err = program(
        "data", "fetch", EPOCH, LANGUAGE, "-o", "runs", "--json",
        SCALING_DATA_URL=origin.url, SCALING_CACHE_DIR=tmp_path / "cache",
    )  # fmt: skip
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["schema"] == "scaling/data@1"
    assert [row["name"] for row in found["sets"]] == [EPOCH, LANGUAGE]
    assert [row["state"] for row in found["sets"]] == ["cached", "cached"]
    paths = [file["path"] for row in found["sets"] for file in row["files"]]
    assert paths == ["runs/svg_extracted_data.csv", "runs/benchmark.lang.csv"]
    assert found["sets"][0]["fit"].startswith(f"scaling fit {paths[0]} ")
    for path in paths:
        assert (tmp_path / path).stat().st_size > 1000


def test_an_existing_copy_needs_force(program, origin, tmp_path):
    target = tmp_path / "runs" / "svg_extracted_data.csv"
    target.parent.mkdir()
    target.write_text("mine")
    command = ("data", "fetch", EPOCH, "-o", "runs", "--cache", "cache")
    code, out, err = program(*command, SCALING_DATA_URL=origin.url)
    assert (code, out) == (2, "")
    assert "error[SC002]" in err
    assert target.read_text() == "mine"
    assert origin.hits.total() == 0
    assert program(*command, "--force")[0] == 0
    assert target.read_text() != "mine"


def test_all_leaves_out_what_is_not_offered(program, data_dir, monkeypatch, tmp_path):
    """With the folder of own copies nothing is missing, and nothing is asked of the network."""
    code, out, err = program(
        "data", "fetch", "all", "--cache", "cache",
        SCALING_DATA_DIR=data_dir, SCALING_DATA_URL=closed_port(),
    )  # fmt: skip
    assert code == 0
    assert len(out.splitlines()) == sum(len(found.files) for found in SETS)
    assert "left out" not in err
    monkeypatch.delenv("SCALING_DATA_DIR")
    code, out, err = program("data", "fetch", "all", "--cache", "cache")
    assert (code, out) == (2, "")
    assert "porian2024_refinedweb is left out" in err
    assert "error[SC131]" in err
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_no_network_and_altered_files(program, origin, tmp_path):
    command = ("data", "fetch", EPOCH, "--cache", "cache")
    code, out, err = program(*command, SCALING_DATA_URL=closed_port())
    assert (code, out) == (2, "")
    assert "error[SC131]" in err
    assert "Traceback" not in err
    origin.files = dict.fromkeys(origin.files, b"altered")
    code, out, err = program(*command, SCALING_DATA_URL=origin.url)
    assert (code, out) == (2, "")
    assert "error[SC130]" in err
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_pickles_are_explained(program):
    code, out, err = program("data", "fetch", "porian2024_refinedweb", "--cache", "cache")
    assert (code, out) == (2, "")
    assert "error[SC132]" in err
    assert "pickles" in err
    assert "SCALING_DATA_DIR" in err


def test_unknown_names_are_refused(refused):
    out = refused("data", "fetch", "chinchila", "--cache", "cache", code="SC004")
    assert "did you mean chinchilla_epoch2024?" in out.stderr


@pytest.mark.parametrize("found", SETS, ids=NAMES)
def test_the_command_that_is_offered_works(scaling, shared_file, found):
    path = shared_file(f"{found.name}/{found.files[0].name}")
    out = scaling("fit", path, *shlex.split(found.fit), "--bootstrap", 0, "--json")
    assert out.returncode == 0, out.stderr
    result = json.loads(out.stdout)
    assert result["fits"] or result["allocations"]
