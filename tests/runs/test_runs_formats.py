"""Formats, dialects and wide tables: the same cells from each, or an error at its place."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from scaling.errors import ConfigError, MissingExtraError, TableError
from scaling.runs.formats.common import MAX_LINE
from scaling.runs.numbers import Dialect
from scaling.runs.read import read_table

RUNS = [
    {"run": "a", "params": 1e6, "tokens": 2e7, "val_loss": 3.125, "seed": 1},
    {"run": "b", "params": 2e6, "tokens": 2e7, "val_loss": 3.0625, "seed": 2},
    {"run": "c", "params": 4e6, "tokens": 2e7, "val_loss": 3.0, "seed": 3},
]


def csv_text(separator=","):
    lines = [separator.join(RUNS[0])]
    lines += [separator.join(map(str, run.values())) for run in RUNS]
    return "\n".join(lines) + "\n"


def nested(run):
    config = {"params": run["params"], "seed": run["seed"]}
    return {"run": run["run"], "config": config, "summary": {k: run[k] for k in
            ("tokens", "val_loss")}}  # fmt: skip


WAYS = {
    "t.csv": csv_text(),
    "t.tsv": csv_text("\t"),
    "pipes.txt": csv_text("|"),
    "t.json": json.dumps(RUNS),
    "pretty.json": json.dumps(RUNS, indent=2),
    "named.json": json.dumps({"runs": RUNS, "made": "today"}),
    "columns.json": json.dumps({key: [run[key] for run in RUNS] for key in RUNS[0]}),
    "nested.json": json.dumps([nested(run) for run in RUNS]),
    "t.jsonl": "\n".join(map(json.dumps, RUNS)) + "\n",
    "gaps.jsonl": "\n\n".join(map(json.dumps, RUNS)),
    "lines.txt": "\n".join(map(json.dumps, RUNS)),
    "quoted.csv": csv_text().replace("a,", '"a",').replace("run,", '"run",'),
    "old-mac.csv": csv_text().replace("\n", "\r"),
    "windows.csv": "\ufeff" + csv_text().replace("\n", "\r\n"),
    "spaces.csv": csv_text(" , "),
}


@pytest.mark.parametrize("name", WAYS)
def test_every_format_gives_the_same_table(write, name):
    table = read_table(write(name, WAYS[name]))
    assert table.frame["N"].tolist() == [1e6, 2e6, 4e6]
    assert table.frame["D"].tolist() == [2e7] * 3
    assert table.frame["loss"].tolist() == [3.125, 3.0625, 3.0]
    assert table.frame["run"].tolist() == ["a", "b", "c"]
    assert table.frame["seed"].tolist() == [1, 2, 3]
    assert table.file == name


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "t.parquet"
    pd.DataFrame(RUNS).to_parquet(path)
    table = read_table(path)
    assert table.frame["N"].tolist() == [1e6, 2e6, 4e6]
    assert table.sha256 is not None
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TableError) as caught:
        read_table(path)
    assert caught.value.code == "SC101"


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 and more")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError) as caught:
        read_table(path)
    assert "pip install 'scaling-study[parquet]'" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "where", "found"),
    [
        ("t.json", "[{]", "t.json:1:3", "not JSON"),
        ("t.json", '[{"N": 1,\n "loss": }]', "t.json:2:10", "not JSON"),
        ("t.json", "[]", "t.json", "without runs"),
        ("t.json", "[1, 2]", "t.json", "list of objects"),
        ("t.json", '{"a": [1, 2], "b": [1]}', "t.json", "different length"),
        ("t.json", '{"x": [{"N": 1}], "y": [{"N": 1}]}', "t.json: x, y", "2 lists"),
        ("t.json", '[{"N": 1, "N": 2}]', "t.json:1", "twice"),
        ("t.json", "[" * 100_000, "t.json:1", "nested too deeply"),
        ("t.jsonl", '{"N": 1}\n[2]\n', "t.jsonl:2", "not an object"),
        ("t.jsonl", '{"N": 1}\n{"N": \n', "t.jsonl:2:", "not JSON"),
        ("t.csv", 'N,D,loss\n1,2,3\n4,"5,6\n', "t.csv:3", "never closed"),
        ("t.csv", "N D loss\n1 2 3\n", "t.csv:1", "spaces separate"),
        ("t.csv", "PK\x03\x04junk", "t.csv", "spreadsheet"),
        ("t.csv", b"\x80\x04\x95\x00", "t.csv", "pickle"),
        ("t.csv", b"\x1f\x8b\x08\x00", "t.csv", "gzip"),
        ("t.csv", "N,D,loss\n1,2,3\n".encode("utf-16"), "t.csv", "UTF-16"),
        ("t.csv", "N,D,loss\n" + "1" * (MAX_LINE + 70_000), "t.csv:2", "a line of more than"),
    ],
)
def test_a_damaged_file_is_named_with_its_place(write, name, text, where, found):
    with pytest.raises(TableError) as caught:
        read_table(write(name, text))
    fault = caught.value.faults[0]
    assert fault.code in ("SC101", "SC108")
    assert fault.where.startswith(where)
    assert found in fault.found


def test_the_format_can_be_said(write):
    path = write("t.txt", json.dumps(RUNS[0]))
    assert len(read_table(path, kind="jsonl")) == 1
    with pytest.raises(ConfigError) as caught:
        read_table(path, kind="excel")
    assert "csv, json, jsonl, parquet" in str(caught.value)


# ---------------------------------------------------------------------------------------- numbers


def test_decimal_commas(write):
    path = write("t.csv", "N;D;loss\n1,5e6;2e7;3,25\n2500000;2e7;3\n")
    with pytest.raises(TableError) as caught:
        read_table(path)
    first = caught.value.faults[0]
    assert first.where.startswith("t.csv:2:1 ")
    assert "decimal comma" in first.found
    assert "--decimal ," in first.mend
    table = read_table(path, dialect=Dialect(","))
    assert table.frame["N"].tolist() == [1.5e6, 2.5e6]
    assert table.frame["loss"].tolist() == [3.25, 3.0]


@pytest.mark.parametrize(
    ("dialect", "cell", "value"),
    [
        (Dialect(".", ","), "1,234,567", 1234567.0),
        (Dialect(".", ","), "1,234.5", 1234.5),
        (Dialect(",", "."), "1.234.567,25", 1234567.25),
        (Dialect(",", " "), "1 234 567", 1234567.0),
        (Dialect(".", "'"), "1'234", 1234.0),
        (Dialect(","), "1,5e-3", 0.0015),
        (Dialect(","), "12", 12.0),
    ],
)
def test_dialects(write, dialect, cell, value):
    path = write("t.csv", f"N;D;loss\n{cell};2e7;3\n12;2e7;2\n")
    assert read_table(path, dialect=dialect).frame["N"].tolist() == [value, 12.0]


@pytest.mark.parametrize(
    ("cell", "dialect"),
    [
        ("1,23", Dialect(".", ",")),  # no group of three
        ("1.5", Dialect(",")),  # a point among decimal commas
        ("12,34,567", Dialect(".", ",")),
        ("1_000", Dialect()),
        ("１２", Dialect()),
        ("0x1F", Dialect()),
        ("=A1*2", Dialect()),
        ("#REF!", Dialect()),
        ("2024-03-01", Dialect()),
        ("3-Mar", Dialect()),
        ("1.2e14 FLOP", Dialect()),
        ("12%", Dialect()),
        ("1,234,567", Dialect()),
        ("1e5e5", Dialect()),
        ("--5", Dialect()),
    ],
)
def test_what_is_no_number_is_never_one(write, cell, dialect):
    path = write("t.csv", f"N;D;loss\n{cell};2e7;3\n12;2e7;2\n13;2e7;2\n")
    with pytest.raises(TableError) as caught:
        read_table(path, dialect=dialect)
    fault = caught.value.faults[0]
    assert fault.code == "SC102"
    assert fault.where.startswith("t.csv:2:1 ")
    assert fault.mend


def test_huge_and_precise_numbers_are_the_nearest_floats(write):
    cells = ["0.1", "9007199254740993", "1" * 300, "123456789.987654321", "4.9e-324"]
    text = "N,D,loss\n" + "".join(f"{cell},2e7,3\n" for cell in cells)
    assert read_table(write("t.csv", text)).frame["N"].tolist() == [float(c) for c in cells]
    with pytest.raises(TableError) as caught:
        read_table(write("t.csv", "N,D,loss\n" + "1" * 400 + ",2e7,3\n"))
    assert caught.value.code == "SC103"


def test_like_cells_are_one_fault(write):
    rows = "".join(f"1e6,2e7,n={i}\n" if i % 2 else f"1e6,2e7,{i}\n" for i in range(1, 41))
    with pytest.raises(TableError) as caught:
        read_table(write("t.csv", "N,D,loss\n" + rows))
    (fault,) = caught.value.faults
    assert "19 other cells look the same (rows 4, 6, 8, 10, 12, 14, …)" in fault.found
    assert "^^^" in fault.render()


# ------------------------------------------------------------------------------------ wide tables


def test_a_wide_table_is_made_long(write):
    path = write("t.csv", "model,size,100,200\nx,1e6,3.5,3.25\ny,2e6,3.0,\n")
    table = read_table(
        path, melt=("D", "loss"), maps={"N": "size", "group": "model"}, where="loss > 0"
    )
    assert table.frame["D"].tolist() == [100.0, 200.0, 100.0, 200.0]
    assert table.used.tolist() == [True, True, True, False]
    np.testing.assert_array_equal(table.frame["loss"], [3.5, 3.25, 3.0, np.nan])
    assert table.rows.tolist() == [2, 2, 3, 3]


@pytest.mark.parametrize("melt", [("D", "loss"), ("model", "loss")])
def test_what_cannot_be_made_long(write, melt):
    path = write("t.csv", "model,N,D\nx,1e6,2\n" if melt[0] == "D" else "model,1,2\nx,1e6,2\n")
    with pytest.raises(ConfigError) as caught:
        read_table(path, melt=melt)
    assert caught.value.code == "SC004"
