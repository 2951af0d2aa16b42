"""Tables of runs: which columns are recognised, and what is refused in which words."""

import io
import re

import numpy as np
import pandas as pd
import pytest

from scaling.codes import CODES
from scaling.errors import ConfigError, ScalingError, TableError
from scaling.runs.read import describe, from_frame, read_table

HEADER = "run,N,D,C,loss,status"
ROWS = [
    ["a", "1e6", "2e7", "1.2e14", "3.1", "done"],
    ["b", "2e6", "2e7", "2.4e14", "3.0", "done"],
    ["c", "4e6", "2e7", "4.8e14", "2.9", "done"],
]


def text(rows=ROWS, header=HEADER):
    return "\n".join([header, *(",".join(row) for row in rows)]) + "\n"


def with_cell(column, cell, row=2):
    """Return the table's text with one cell replaced; `row` counts from 0."""
    rows = [list(r) for r in ROWS]
    rows[row][HEADER.split(",").index(column)] = cell
    return text(rows)


def faults_of(path, kind=TableError, **options):
    with pytest.raises(kind) as caught:
        read_table(path, **options)
    assert caught.value.exit_code == 2
    return caught.value.faults


# --------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize(
    ("header", "sources"),
    [
        ("N,D,C,loss", {"N": "N", "D": "D", "C": "C", "loss": "loss"}),
        ("params,tokens,flops,loss", {"N": "params", "D": "tokens", "C": "flops", "loss": "loss"}),
        ("Model Size,Tokens,Training FLOP,Val Loss",
         {"N": "Model Size", "D": "Tokens", "C": "Training FLOP", "loss": "Val Loss"}),
        ("n_params,num_tokens,total_flops,final_loss",
         {"N": "n_params", "D": "num_tokens", "C": "total_flops", "loss": "final_loss"}),
        ("n,d,c,LOSS", {"N": "n", "D": "d", "C": "c", "loss": "LOSS"}),
    ],
)  # fmt: skip
def test_headers_of_strangers(write, header, sources):
    table = read_table(write("t.csv", f"{header}\n1e6,2e7,1.2e14,3.1\n2e6,2e7,2.4e14,3.0\n"))
    assert {role: table.columns[role].source for role in sources} == sources
    assert table.frame[["N", "D", "C", "loss"]].to_numpy().tolist() == [
        [1e6, 2e7, 1.2e14, 3.1],
        [2e6, 2e7, 2.4e14, 3.0],
    ]
    assert table.used.all()


def test_the_canonical_name_wins_over_an_alias(write):
    table = read_table(write("t.csv", "params,N,D,loss\n9,1e6,2e7,3.1\n9,2e6,2e7,3.0\n"))
    assert table.frame["N"].tolist() == [1e6, 2e6]
    assert table.frame["params"].tolist() == [9, 9]


def test_compute_is_derived_where_it_is_missing(write):
    table = read_table(write("t.csv", "N,D,loss\n1e6,2e7,3.1\n2e6,2e7,3.0\n"))
    assert table.frame["C"].tolist() == [1.2e14, 2.4e14]
    assert table.columns["C"].source == "= 6 N D"
    assert "SC112" in [m.code for m in table.messages]


def test_data_are_imputed_from_compute_with_a_warning(write):
    table = read_table(write("t.csv", "N,C,loss\n1e6,1.2e14,3.1\n2e6,2.4e14,3.0\n"))
    assert table.frame["D"].tolist() == [2e7, 2e7]
    assert [m.severity for m in table.messages if m.code == "SC111"] == ["warning"]


def test_an_empty_budget_leaves_no_hole_in_the_compute_of_a_used_run(write):
    table = read_table(write("t.csv", "N,D,budget,loss\n1e6,2e7,,3.1\n2e6,2e7,2.4e14,3.0\n"))
    assert table.fit_frame["C"].tolist() == [1.2e14, 2.4e14]


def test_compute_far_from_6nd_is_a_warning(write):
    table = read_table(write("t.csv", "N,D,C,loss\n1e6,2e7,1.2e5,3.1\n2e6,2e7,2.4e5,3.0\n"))
    assert [m.severity for m in table.messages if m.code == "SC113"] == ["warning"]


def test_two_columns_for_one_role_are_not_guessed(write):
    (fault,) = faults_of(write("t.csv", "params,parameters,tokens,loss\n1,2,3,4\n"))
    assert fault.code == "SC110"
    assert "params" in fault.expected
    assert "--map N=" in fault.mend
    table = read_table(
        write("t.csv", "params,parameters,tokens,loss\n1,2,3,4\n"),
        maps={"N": 'source["parameters"]'},
    )
    assert table.frame["N"].tolist() == [2]


@pytest.mark.parametrize("separator", ["\t", ";"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_separators_newlines_and_byte_order_mark(write, separator, newline, mark):
    content = mark + text().replace(",", separator).replace("\n", newline)
    table = read_table(write("t.csv", content))
    assert table.frame["loss"].tolist() == [3.1, 3.0, 2.9]
    assert list(table.frame) == HEADER.split(",")


def test_standard_input(monkeypatch):
    class Stdin:
        buffer = io.BytesIO(text().encode())

    monkeypatch.setattr("sys.stdin", Stdin)
    table = read_table("-")
    assert (len(table), table.file) == (3, "stdin")


def test_blank_lines_are_skipped_and_rows_keep_their_line(write):
    rows = [*ROWS[:2], [""], ["d", "4e6", "2e7", "4.8e14", "-1", "done"]]
    (fault,) = faults_of(write("t.csv", text(rows)))
    assert fault.where.startswith("t.csv:5:5 ")


def test_what_was_read_is_described(write):
    lines = describe(read_table(write("t.csv", with_cell("status", "diverged")), where="N > 1e6"))
    joined = "\n".join(lines)
    assert lines[0] == "t.csv: 3 rows, 1 used"
    assert "left out: 1 row (2), do not match --where N > 1e6" in joined
    assert "left out: 1 row (4), status diverged" in joined


# ---------------------------------------------------------------------------------- faulty cells

FAULTY = [
    ("N", "12 million", "SC102", "12 million"),
    ("N", "True", "SC102", "True"),
    ("D", "0x10", "SC102", "0x10"),
    ("loss", "n/a", "SC104", "n/a"),
    ("C", "1.2e14 FLOP", "SC102", "1.2e14 FLOP"),
    ("N", "nan", "SC103", "nan"),
    ("loss", "NaN", "SC103", "NaN"),
    ("C", "inf", "SC103", "inf"),
    ("D", "1e999", "SC103", "1e999"),
    ("N", "-1e6", "SC103", "-1e6"),
    ("D", "-0.5", "SC103", "-0.5"),
    ("loss", "-3.1", "SC103", "-3.1"),
    ("N", "0", "SC103", "0"),
    ("D", "0", "SC103", "0"),
    ("C", "0.0", "SC103", "0.0"),
    ("loss", "0", "SC103", "0"),
    ("N", "", "SC103", "empty"),
    ("D", "", "SC103", "empty"),
    ("loss", "", "SC104", "empty"),
    ("status", "exploded", "SC103", "exploded"),
    ("run", "a", "SC106", '"a" stands in row 2 too'),
]


@pytest.mark.parametrize(("column", "cell", "code", "found"), FAULTY)
def test_a_faulty_cell_is_named_with_everything(write, column, cell, code, found):
    (fault,) = faults_of(write("t.csv", with_cell(column, cell)))
    assert fault.code == code
    assert fault.where.startswith(f"t.csv:4:{HEADER.split(',').index(column) + 1} ")
    assert f'"{column}"' in fault.where
    assert found in fault.found
    assert fault.expected
    assert fault.mend


@pytest.mark.parametrize(
    ("header", "cells", "named"),
    [
        ("Model Size,tokens,Val Loss", "x,2e7,3.1", "Model Size"),
        ("Model Size,tokens,Val Loss", "-1,2e7,3.1", "Model Size"),
        ("Model Size,tokens,Val Loss", "1e6,2e7,", "Val Loss"),
        ("Run ID,params,tokens,loss", "1,1e6,2e7,3.1", "Run ID"),
    ],
)
def test_faults_name_the_column_as_the_file_does(write, header, cells, named):
    first = "1," * header.startswith("Run") + "2e6,2e7,3.0"
    (fault,) = faults_of(write("t.csv", f"{header}\n{first}\n{cells}\n"))
    assert named in fault.where


def test_all_faults_come_at_once(write):
    rows = [*ROWS, ["d", "x", "2e7", "1e14", "3", "done"], ["e", "1e6", "-1", "1e14", "", "done"],
            ["a", "1e6", "2e7", "1e14", "3", "done"]]  # fmt: skip
    faults = faults_of(write("t.csv", text(rows)))
    assert sorted(f.code for f in faults) == ["SC102", "SC103", "SC104", "SC106"]


def test_a_text_cell_of_hostile_length_and_bytes_is_shown_short(write):
    (fault,) = faults_of(write("t.csv", with_cell("N", "\x1b[31m" + "9" * 500 + "x")))
    assert len(fault.found) < 100
    assert "\x1b" not in fault.render()


def test_runs_without_a_loss_need_a_status(write):
    statuses = ["diverged", "failed", "too-big"]
    rows = [[r[0], r[1], r[2], r[3], "", s] for r, s in zip(ROWS, statuses, strict=True)]
    table = read_table(write("t.csv", text([["z", *ROWS[0][1:]], *rows])))
    assert table.used.tolist() == [True, False, False, False]
    assert [d.row for d in table.dropped] == [3, 4, 5]
    assert [d.why for d in table.dropped] == [f"status {s}" for s in statuses]
    assert [d.code for d in table.dropped] == ["SC303", "SC120", "SC120"]


@pytest.mark.parametrize("status", ["", "done"])
def test_a_missing_loss_is_a_fault_where_the_run_counts_as_done(write, status):
    rows = [list(r) for r in ROWS]
    rows[1][4:] = ["", status]
    (fault,) = faults_of(write("t.csv", text(rows)))
    assert (fault.code, fault.where.split()[0]) == ("SC104", "t.csv:3:5")


def test_a_missing_loss_without_a_status_column_is_a_fault(write):
    (fault,) = faults_of(write("t.csv", "N,D,loss\n1e6,2e7,\n2e6,2e7,3\n"))
    assert fault.code == "SC104"


def test_copies_of_a_row_are_a_warning(write):
    rows = [*ROWS, ["d", *ROWS[0][1:]]]
    table = read_table(write("t.csv", text(rows)))
    assert [(m.code, m.severity) for m in table.messages if m.code == "SC107"] == [
        ("SC107", "warning")
    ]
    assert table.used.all()
    assert "SC107" not in [m.code for m in read_table(write("t.csv", text())).messages]


# ---------------------------------------------------------------------------------- faulty files


@pytest.mark.parametrize(
    ("content", "code", "where"),
    [
        ("", "SC101", "t.csv"),
        (" \n\n", "SC101", "t.csv"),
        ("N,D,loss\n", "SC101", "t.csv:1"),
        ("N,D,loss\n\n\n", "SC101", "t.csv:1"),
        (b"\x89PNG\r\n\0\0\0", "SC101", "t.csv"),
        ("N,D,loss\n1,2,3\n".encode("utf-16"), "SC101", "t.csv"),
        (b"N,D,loss\n1e6,2e7,3.1\n1e6,2e7,\xe9\n", "SC101", "t.csv:3"),
        ("N,D,loss\n1e6,2e7,3.1\n1e6,2e7\n", "SC101", "t.csv:3"),
        ("N,D,loss\n1e6,2e7,3.1\n1e6,2e7,3.1,4\n", "SC101", "t.csv:3"),
        ("N,N,loss\n1e6,2e7,3.1\n", "SC108", "t.csv:1:2"),
        ("N,D\n1e6,2e7\n", "SC105", "t.csv:1"),
    ],
)
def test_a_faulty_file_is_named_with_everything(write, content, code, where):
    (fault,) = faults_of(write("t.csv", content))
    assert (fault.code, fault.where) == (code, where)
    assert fault.code in CODES
    assert fault.found
    assert fault.expected
    assert fault.mend


@pytest.mark.parametrize("name", ["nowhere.csv", "."])
def test_a_file_that_cannot_be_opened(tmp_path, name):
    (fault,) = faults_of(tmp_path / name)
    assert fault.code == "SC005"
    assert str(tmp_path) in fault.where


def test_faults_fill_no_more_than_a_screen(write):
    long = ["x" * 200] * 3
    with pytest.raises(TableError) as caught:
        read_table(write("t.csv", text([*ROWS, *[long] * 40])))
    lines = caught.value.render().splitlines()
    assert sum(max(1, -(-len(line) // 80)) for line in lines) <= 24
    assert re.search(r"\b3\d more", lines[-1])


# ------------------------------------------------------------------------------- maps, conditions


def test_map_by_expression_and_condition(write):
    path = write("t.csv", "Size (M),tokens,loss\n1,2e7,3.1\n2,2e7,3.0\n4,2e7,2.9\n")
    table = read_table(path, maps={"N": 'source["Size (M)"] * 1e6'}, where="N > 1.5e6")
    assert table.frame["N"].tolist() == [1e6, 2e6, 4e6]
    assert table.used.tolist() == [False, True, True]
    assert [d.row for d in table.dropped] == [2]


def test_condition_on_a_column_of_the_source(write):
    path = write("t.csv", "Size (M),N,D,loss\n1,1e6,2e7,3.1\n2,2e6,2e7,3.0\n")
    assert read_table(path, where='source["Size (M)"] > 1').used.tolist() == [False, True]


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_column_of_text_is_mapped_whole(write, quote):
    path = write("t.csv", "kind,N,D,loss\nx,1e6,2e7,3.1\ny,2e6,2e7,3.0\n")
    table = read_table(path, maps={"group": f"source[{quote}kind{quote}]"})
    assert table.frame["group"].tolist() == ["x", "y"]


def test_condition_on_text(write):
    path = write("t.csv", "kind,N,D,loss\nx,1e6,2e7,3.1\ny,2e6,2e7,3.0\n")
    assert read_table(path, where='kind == "y"').used.tolist() == [False, True]


@pytest.mark.parametrize(
    "options",
    [
        {"where": "N"},
        {"where": "N + D"},
        {"where": "nothing > 1"},
        {"where": 'source["nothing"] > 1'},
        {"where": 'loss < "x"'},
        {"where": '"a" * 2 > 1'},
        {"where": "status < 3"},
        {"where": 'loss < 3 and "x"'},
        {"where": "loss <"},
        {"where": "__import__('os').system('true')"},
        {"maps": {"Q": "N"}},
        {"maps": {"N": 'source["nothing"]'}},
        {"maps": {"N": "nothing * 2"}},
        {"maps": {"N": '"text"'}},
        {"maps": {"N": 'exp("text")'}},
    ],
    ids=str,
)
def test_unusable_options_are_refused_by_name(write, options):
    (fault,) = faults_of(write("t.csv", text()), ScalingError, **options)
    assert fault.code in ("SC004", "SC020")
    assert fault.found


def test_a_wide_table_does_not_flood_the_message(write):
    names = [f"column_number_{i}" for i in range(200)]
    path = write("t.csv", ",".join(["N", "D", "loss", *names]) + "\n" + ",".join(["1"] * 203))
    for options in ({"where": "nothing > 1"}, {"maps": {"N": 'source["nothing"]'}}):
        with pytest.raises(ConfigError) as caught:
            read_table(path, **options)
        shown = caught.value.render().splitlines()
        assert sum(max(1, -(-len(line) // 80)) for line in shown) <= 24


# ---------------------------------------------------------------------------------------- frames


def test_a_frame_follows_the_same_rules_and_is_not_changed():
    frame = pd.DataFrame({"params": [1e6, 2e6], "tokens": [2e7, 2e7], "loss": [3.1, 3.0]})
    before = frame.copy()
    table = from_frame(frame)
    assert table.frame["C"].tolist() == [1.2e14, 2.4e14]
    pd.testing.assert_frame_equal(frame, before)
    frame.loc[1, "loss"] = np.nan
    with pytest.raises(TableError) as caught:
        from_frame(frame)
    assert caught.value.faults[0].code == "SC104"
    assert caught.value.faults[0].where.startswith("frame:1 ")


def test_an_empty_frame_is_refused():
    with pytest.raises(TableError) as caught:
        from_frame(pd.DataFrame({"N": [], "D": [], "loss": []}))
    assert caught.value.code == "SC101"


def test_the_row_order_does_not_matter(write):
    one = read_table(write("a.csv", text())).frame.sort_values("run", ignore_index=True)
    two = read_table(write("b.csv", text(ROWS[::-1]))).frame.sort_values("run", ignore_index=True)
    pd.testing.assert_frame_equal(one, two)
