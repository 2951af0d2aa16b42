"""Public runs: fetched, checked, filtered and cached, against a server on this machine."""

import csv
import hashlib
import json
import logging

import pytest

from scaling.errors import ConfigError, OutputError, TableError
from scaling.runs import public
from scaling.runs.public import DataSet, fetch_set, list_sets, state
from scaling.runs.public_filters import (
    SUBSET_OF_TASKS,
    overtraining_models,
    overtraining_tasks,
    repeated_data_runs,
    rows_where,
    without_columns,
)
from scaling.runs.public_sets import PICKLE, SETS, Original, Table
from tests.web import closed_port, serving

PLAIN = b"N,D,loss\n1e6,2e7,3.5\n2e6,4e7,3.25\n"
WIDE = b"kind,N,loss,link\na,1e6,3.5,x\nb,2e6,3.4,y\na,4e6,3.2,z\n"
NARROW = b"kind,N,loss,link\na,1e6,3.5,x\na,4e6,3.2,z\n"
COMMIT = "0" * 40
AT = f"someone/runs/{COMMIT}/"


def sha256(raw):
    return hashlib.sha256(raw).hexdigest()


def made_of(*tables, name="small"):
    return DataSet(
        name, "A small set", "someone/runs", COMMIT, tables, "MIT", "Someone (2024)",
        "https://example.org", "A note.",
    )  # fmt: skip


SAME = Table("plain.csv", 2, sha256(PLAIN), (Original("data/plain.csv", sha256(PLAIN)),))
FILTERED = Table(
    "narrow.csv", 2, sha256(NARROW), (Original("data/wide.csv", sha256(WIDE)),),
    rows_where("kind", ("a",)),
)  # fmt: skip
PICKLED = Table("frame.csv", 2, sha256(PLAIN))


@pytest.fixture
def web():
    with serving() as found:
        found.files = {AT + "data/plain.csv": PLAIN, AT + "data/wide.csv": WIDE}
        yield found


@pytest.fixture(autouse=True)
def sets(monkeypatch):
    """Name three small sets, wait for nothing, and hide what the environment has."""
    named = (
        made_of(SAME, FILTERED), made_of(FILTERED, name="narrow"), made_of(PICKLED, name="pickled"),
    )  # fmt: skip
    monkeypatch.setattr(public, "SETS", named)
    monkeypatch.setattr(public, "PAUSE", 0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("SCALING_DATA_DIR", "SCALING_DATA_URL", "SCALING_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)


def held(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def refusal(error, web_or_url, folder, name="small"):
    """Fetch, and return the fault with which it must be refused."""
    with pytest.raises(error) as caught:
        fetch_set(name, folder, getattr(web_or_url, "url", web_or_url))
    assert len(caught.value.render().splitlines()) <= 24
    return caught.value.faults[0]


# ------------------------------------------------------------------------------------ that succeed


def test_a_set_is_fetched_filtered_and_cached(web, tmp_path):
    assert state(public.get_set("small"), tmp_path) == "not fetched"
    paths = fetch_set("small", tmp_path, web.url)
    assert [p.name for p in paths] == ["plain.csv", "narrow.csv"]
    assert [p.read_bytes() for p in paths] == [PLAIN, NARROW]
    assert held(tmp_path) == [
        "small/narrow.csv", "small/original/data/wide.csv", "small/plain.csv",
    ]  # fmt: skip
    assert state(public.get_set("small"), tmp_path) == "cached"
    assert set(web.hits.values()) == {1}


def test_the_second_time_nothing_is_asked(web, tmp_path):
    first = fetch_set("small", tmp_path, web.url)
    asked = web.hits.total()
    assert fetch_set("small", tmp_path, web.url) == first
    assert fetch_set("small", tmp_path, closed_port()) == first
    assert web.hits.total() == asked


def test_mirror_and_cache_are_read_from_the_environment(web, tmp_path, monkeypatch):
    monkeypatch.setenv("SCALING_DATA_URL", web.url + "/")
    monkeypatch.setenv("SCALING_CACHE_DIR", str(tmp_path / "kept"))
    assert fetch_set("small")[0] == tmp_path / "kept" / "small" / "plain.csv"


@pytest.mark.parametrize("file", ["plain.csv", "narrow.csv"])
def test_a_corrupted_table_is_made_again(web, tmp_path, file):
    fetch_set("small", tmp_path, web.url)
    path = tmp_path / "small" / file
    good = path.read_bytes()
    path.write_bytes(good[:-3])
    assert state(public.get_set("small"), tmp_path) == "not fetched"
    fetch_set("small", tmp_path, web.url)
    assert path.read_bytes() == good


def test_a_corrupted_original_is_fetched_again(web, tmp_path):
    fetch_set("small", tmp_path, web.url)
    (tmp_path / "small" / "narrow.csv").unlink()
    original = tmp_path / "small" / "original" / "data" / "wide.csv"
    original.write_bytes(b"something else")
    fetch_set("small", tmp_path, web.url)
    assert original.read_bytes() == WIDE
    assert web.hits[AT + "data/wide.csv"] == 2


def test_a_file_saved_by_hand_is_taken(tmp_path):
    fault = refusal(TableError, closed_port(), tmp_path, "narrow")
    place = tmp_path / "narrow" / "original" / "data" / "wide.csv"
    assert str(place) in fault.mend
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(WIDE)
    assert fetch_set("narrow", tmp_path, closed_port())[0].read_bytes() == NARROW


def test_own_copies_need_no_network(tmp_path, monkeypatch):
    own = tmp_path / "own" / "pickled" / "frame.csv"
    own.parent.mkdir(parents=True)
    own.write_bytes(PLAIN)
    monkeypatch.setenv("SCALING_DATA_DIR", str(tmp_path / "own"))
    assert fetch_set("pickled", tmp_path / "cache", closed_port()) == [own]
    assert state(public.get_set("pickled"), tmp_path / "cache") == "in SCALING_DATA_DIR"
    assert held(tmp_path) == ["own/pickled/frame.csv"]


def test_own_copies_with_another_checksum_are_passed_over(web, tmp_path, monkeypatch):
    own = tmp_path / "own" / "small" / "plain.csv"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"N,D,loss\n")
    monkeypatch.setenv("SCALING_DATA_DIR", str(tmp_path / "own"))
    assert fetch_set("small", tmp_path / "cache", web.url)[0].read_bytes() == PLAIN
    assert own.read_bytes() == b"N,D,loss\n"


def test_one_failure_is_tried_again(web, tmp_path, monkeypatch):
    web.cut.add(AT + "data/plain.csv")
    monkeypatch.setattr(public.time, "sleep", lambda seconds: web.cut.clear())
    assert fetch_set("small", tmp_path, web.url)[0].read_bytes() == PLAIN
    assert web.hits[AT + "data/plain.csv"] == 2


def test_pooch_says_nothing_and_its_logger_stays_as_it_was(web, tmp_path, capfd):
    import pooch

    pooch.get_logger().setLevel(logging.DEBUG)
    try:
        fetch_set("small", tmp_path, web.url)
        assert pooch.get_logger().level == logging.DEBUG
    finally:
        pooch.get_logger().setLevel(logging.INFO)
    assert capfd.readouterr() == ("", "")


# --------------------------------------------------------------------------------------- that fail


def test_another_checksum_is_refused_and_not_kept(web, tmp_path):
    web.files[AT + "data/plain.csv"] = b"altered"
    fault = refusal(TableError, web, tmp_path)
    assert fault.code == "SC130"
    assert fault.where == f"{web.url}/{AT}data/plain.csv"
    assert sha256(b"altered") in fault.found
    assert fault.expected == sha256(PLAIN)
    assert "nothing was kept" in fault.mend
    assert held(tmp_path) == []
    assert web.hits[AT + "data/plain.csv"] == 2


def test_a_filter_that_gives_another_table_is_refused(web, tmp_path, monkeypatch):
    wrong = Table("narrow.csv", 2, sha256(PLAIN), FILTERED.originals, FILTERED.make)
    monkeypatch.setattr(public, "SETS", (made_of(wrong),))
    fault = refusal(TableError, web, tmp_path)
    assert (fault.code, fault.expected) == ("SC130", sha256(PLAIN))
    assert held(tmp_path) == ["small/original/data/wide.csv"]


@pytest.mark.parametrize(
    ("status", "words", "asked"),
    [(404, "HTTP 404 Not Found", 1), (403, "HTTP 403", 1), (503, "HTTP 503", 2)],
)
def test_refusals_of_the_server(web, tmp_path, status, words, asked):
    """What the server has not got is not asked for twice."""
    web.statuses[AT + "data/plain.csv"] = status
    fault = refusal(TableError, web, tmp_path)
    assert fault.code == "SC131"
    assert words in fault.found
    assert web.hits[AT + "data/plain.csv"] == asked
    assert held(tmp_path) == []


def test_a_cut_connection(web, tmp_path):
    web.cut.add(AT + "data/plain.csv")
    fault = refusal(TableError, web, tmp_path)
    assert fault.code == "SC131"
    assert "was cut" in fault.found
    assert held(tmp_path) == []


def test_a_silent_server(web, tmp_path, monkeypatch):
    monkeypatch.setattr(public, "TIMEOUT", 0.1)
    web.slow.add(AT + "data/plain.csv")
    fault = refusal(TableError, web, tmp_path)
    assert fault.code == "SC131"
    assert "within 0.1 s" in fault.found
    assert held(tmp_path) == []


def test_no_network(tmp_path):
    fault = refusal(TableError, closed_port(), tmp_path)
    assert fault.code == "SC131"
    assert "no connection to 127.0.0.1" in fault.found
    assert "SCALING_DATA_DIR/small/plain.csv" in fault.mend
    assert str(tmp_path / "small" / "plain.csv") in fault.mend
    assert held(tmp_path) == []


def test_a_failure_leaves_good_files_as_they_are(web, tmp_path):
    fetch_set("small", tmp_path, web.url)
    (tmp_path / "small" / "narrow.csv").write_bytes(b"corrupted")
    (tmp_path / "small" / "original" / "data" / "wide.csv").unlink()
    web.files[AT + "data/wide.csv"] = b"altered"
    assert refusal(TableError, web, tmp_path).code == "SC130"
    assert held(tmp_path) == ["small/narrow.csv", "small/plain.csv"]
    assert (tmp_path / "small" / "plain.csv").read_bytes() == PLAIN


def test_a_cache_that_cannot_be_written(web, tmp_path):
    (tmp_path / "small").write_bytes(b"a file where a folder should be")
    fault = refusal(OutputError, web, tmp_path)
    assert fault.code == "SC003"
    assert "SCALING_CACHE_DIR" in fault.mend
    assert web.hits.total() == 0


def test_pickles_are_not_offered(web, tmp_path, monkeypatch):
    assert state(public.get_set("pickled"), tmp_path) == PICKLE
    fault = refusal(TableError, web, tmp_path, "pickled")
    assert fault.code == "SC132"
    assert "SCALING_DATA_DIR" in fault.expected
    assert web.hits.total() == 0
    own = tmp_path / "own" / "pickled" / "frame.csv"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"N,D,loss\n")
    monkeypatch.setenv("SCALING_DATA_DIR", str(tmp_path / "own"))
    fault = refusal(TableError, web, tmp_path, "pickled")
    assert (fault.code, fault.where) == ("SC130", str(own))


@pytest.mark.parametrize(("name", "near"), [("smal", "small"), ("NARROW.csv", ""), ("", "")])
def test_unknown_names(web, tmp_path, name, near):
    fault = refusal(ConfigError, web, tmp_path, name)
    assert fault.code == "SC004"
    assert near in fault.mend
    assert "one of" in fault.expected


@pytest.mark.parametrize("address", ["file:///etc", "ftp://example.org", "nowhere"])
def test_a_mirror_is_a_web_address(tmp_path, address):
    assert refusal(ConfigError, address, tmp_path).code == "SC004"


@pytest.mark.parametrize("address", ["http://", "http://[::1", f"http://{'a' * 70}.invalid"])
def test_addresses_that_cannot_be_asked(tmp_path, address):
    assert refusal(TableError, address, tmp_path).code == "SC131"
    assert held(tmp_path) == []


# ------------------------------------------------------------------------------------------ filters


def test_rows_and_columns_keep_their_text():
    raw = b'k,x,y\na,1.50,"b, c"\nb,2,3\na,1e3,\n'
    assert rows_where("k", ("a",))({"f": raw}) == b'k,x,y\na,1.50,"b, c"\na,1e3,\n'
    assert without_columns("x")({"f": raw}) == b'k,y\na,"b, c"\nb,3\na,\n'


def notebook(*sources):
    cells = [{"cell_type": "code", "source": [s]} for s in sources]
    text = json.dumps({"cells": [{"cell_type": "markdown", "source": []}, *cells]})
    return {"n.ipynb": text.encode()}


def test_runs_are_read_from_the_names_of_a_notebook():
    other = "NAMES_TO_VAL_LOSSES = {\n}\n"
    cell = (
        "NAMES_TO_VAL_LOSSES = {\n  '2b832b4b': 2.5,  # a comment\n  '83m7b5100m': 3.747734E+00,\n"
        "  '1b13b1b5': 3.1,\n  '2b840b9b': 0,\n  '83m14b100mdedup': 3.9,\n}\n"
        "TOKENS_MAP = {'100m': 0.1, '7b5': 7.5}\n"
        "PARAMS_MAP = {'83m': 8.27E+07, '2b8': 2.81E+09, '1b1': 1.1e9}\n"
    )
    assert repeated_data_runs(notebook(other, cell, other)) == (
        b"id,params,tokens,unique_tokens,loss\n"
        b"2b832b4b,2810000000.0,32000000000.0,4000000000.0,2.5\n"
        b"83m7b5100m,82700000.0,7500000000.0,100000000.0,3.747734\n"
        b"1b13b1b5,1100000000.0,3000000000.0,1500000000.0,3.1\n"
    )


def test_a_notebook_is_not_run(tmp_path):
    """An expression that is no literal is refused, whatever it would do."""
    trap = tmp_path / "made"
    cell = f"NAMES_TO_VAL_LOSSES = {{\n  'a': open({str(trap)!r}, 'w'),\n}}\n"
    with pytest.raises(ValueError, match="malformed"):
        repeated_data_runs(notebook(cell, cell))
    assert not trap.exists()


def overtrained(name, n, multiplier):
    """Return the two files of a model, as their repository has them."""
    places = [
        "a/openlm/0.tar", "a/c4_val/0.tar", "a/paloma_c4_en/0.tar",
        "a/paloma_dolma_100_programing_languages/0.tar", "a/paloma_falcon-refinedweb/0.tar",
        "a/paloma_ptb/0.tar", "a/paloma_redpajama/0.tar", "a/de-en/val_de-en_100.tar",
    ]  # fmt: skip
    hyper = {"model": f"configs/{name}.json", "params": n, "tokens": 20 * n,
             "chinchilla_multiplier": multiplier}  # fmt: skip
    results = [
        {"loss": 3 + i / 8, "loss_sequences_upper_95": 4.0, "loss_sequences_lower_95": 2.0,
         "val_data": [place]}
        for i, place in enumerate(places)
    ]  # fmt: skip
    tasks = {**dict.fromkeys(SUBSET_OF_TASKS, 0.5), "bbq": 0.25}
    model = {"name": name, "dataset_name": "rpj", "hyperparameters": hyper, "results": results}
    return {
        f"exp/evals/evaluation_{name}_heavy.json": {"eval_metrics": {"icl": tasks}},
        f"exp/models/{name}.json": model,
    }


def test_models_and_tasks_are_flattened_in_order_of_size():
    files = {**overtrained("big", 4000, 1.0), **overtrained("long", 1000, 16.0),
             **overtrained("small", 1000, 0.25)}  # fmt: skip
    originals = {path: json.dumps(data).encode() for path, data in files.items()}
    head, *rows = csv.reader(overtraining_models(originals).decode().splitlines())
    assert [row[0] for row in rows] == ["small", "long", "big"]
    first = dict(zip(head, rows[0], strict=True))
    assert first["model_name"] == "small"
    assert (first["N"], first["D"], first["flops"], first["tok_mult"]) == (
        "1000", "20000", str(6 * 1000 * 20000), "5.0",
    )  # fmt: skip
    assert (first["loss_c4_val"], first["loss_upper_c4_val"]) == ("3.125", "4.0")
    assert first["loss_val_de-en_100"] == "3.875"
    assert not [name for name in head if "falcon" in name]
    assert float(first["err_avg_subset"]) == 0.5
    assert float(first["err_avg"]) == pytest.approx((17 * 0.5 + 0.75) / 18)
    head, *rows = csv.reader(overtraining_tasks(originals).decode().splitlines())
    assert head == ["name", *(f"err_{task}" for task in SUBSET_OF_TASKS), "err_bbq"]
    assert rows[0][-1] == "0.75"


# ----------------------------------------------------------------------------------- the registry


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setattr(public, "SETS", SETS)
    return list_sets()


def test_every_set_says_what_a_reader_needs(known):
    assert len({found.name for found in known}) == len(known) == 8
    for found in known:
        assert len(found.commit) == 40
        assert found.url.startswith("https://arxiv.org/")
        assert "arXiv" in found.citation
        assert found.note.endswith(".")
        assert found.fit
        assert ("not to be redistributed" in found.terms) == (found.licence == "none stated")
        for table in found.files:
            pins = [table.sha256, *(o.sha256 for o in table.originals)]
            assert all(len(pin) == 64 and int(pin, 16) for pin in pins)
            assert not any(o.path.endswith((".pickle", ".pickle.xz")) for o in table.originals)
            if table.make is None and table.originals:
                assert [o.sha256 for o in table.originals] == [table.sha256]


@pytest.mark.parametrize("name", [found.name for found in SETS])
def test_tables_are_those_of_the_manifest(shared_file, known, name):
    for table in public.get_set(name).files:
        path = shared_file(f"{name}/{table.name}")
        assert table.sha256 == sha256(path.read_bytes())
        with path.open(newline="", encoding="utf-8") as handle:
            assert table.rows == sum(1 for _ in csv.reader(handle)) - 1


@pytest.mark.parametrize("name", [found.name for found in SETS])
def test_own_copies_of_every_set_are_taken(data_dir, known, tmp_path, monkeypatch, name):
    monkeypatch.setenv("SCALING_DATA_DIR", str(data_dir))
    paths = fetch_set(name, tmp_path, closed_port())
    assert {path.parent for path in paths} == {data_dir / name}
    assert held(tmp_path) == []
