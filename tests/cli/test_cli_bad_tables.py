"""Tables and options that cannot be used, through the program."""

import json
import re

import pytest

HEADER = "run,N,D,loss,status"


def rows(changes=(), count=12):
    """Return a sound table, with (row, column, cell) changed."""
    cells = [
        [f"r{i}", f"{1e7 * 2 ** (i % 4):.6g}", f"{1e9 * 3 ** (i // 4):.6g}", f"{3 - 0.05 * i}",
         "done"]
        for i in range(count)
    ]  # fmt: skip
    for row, column, cell in changes:
        cells[row][HEADER.split(",").index(column)] = cell
    return "\n".join([HEADER, *(",".join(c) for c in cells)]) + "\n"


RAY = "N,D,loss\n" + "".join(
    f"{1e7 * 2**i},{2e8 * 2**i},{1.7 + 400 / (1e7 * 2**i) ** 0.34 + 0.001 * (i * 7 % 5)}\n"
    for i in range(12)
)
TABLES = [
    ("empty", "", "SC101", 2),
    ("header only", HEADER + "\n", "SC101", 2),
    ("binary", b"\x89PNG\r\n\0\0", "SC101", 2),
    ("not UTF-8", b"N,D,loss\n1,2,\xe9\n", "SC101", 2),
    ("ragged", rows() + "x,1\n" * 40, "SC101", 2),
    ("text in a number cell", rows([(3, "N", "12 million")]), "SC102", 2),
    ("NaN", rows([(3, "loss", "NaN")]), "SC103", 2),
    ("negative", rows([(3, "D", "-1e9")]), "SC103", 2),
    ("zero", rows([(3, "N", "0")]), "SC103", 2),
    ("every cell wrong", rows([(i, "N", "x" * 300) for i in range(12)]), "SC102", 2),
    ("missing loss", rows([(3, "loss", "")]), "SC104", 2),
    ("duplicate run", rows([(3, "run", "r1")]), "SC106", 2),
    ("no loss column", rows().replace("loss", "quality"), "SC105", 2),
    ("no N, D or C", "loss\n3.1\n3.0\n", "SC105", 2),
    ("too few points", rows(count=5), "SC401", 4),
]


@pytest.mark.parametrize(
    ("content", "code", "exit_code"), [t[1:] for t in TABLES], ids=[t[0] for t in TABLES]
)
def test_fit_refuses_and_keeps_the_old_fit(write, refused, content, code, exit_code):
    write("runs.csv", content)
    write("fit.json", "precious")
    out = refused("fit", "runs.csv", "-o", "fit.json", "--force", "--json", code=code,
                  exit_code=exit_code)  # fmt: skip
    assert "runs.csv" in out.stderr or code == "SC105"


@pytest.mark.parametrize("name", ["nowhere.csv", "."])
def test_fit_of_what_is_no_file(refused, name):
    assert name in refused("fit", name, "-o", "fit.json", code="SC005").stderr


def test_fit_of_an_empty_standard_input(refused):
    assert "stdin" in refused("fit", "-", code="SC101", stdin="").stderr


def test_a_column_that_a_law_needs_is_a_fault_of_the_table(write, refused):
    write("runs.csv", "params,loss\n" + "".join(f"{10**i},{3 - 0.1 * i}\n" for i in range(4, 12)))
    out = refused("fit", "runs.csv", "--law", "chinchilla", code="SC105", exit_code=2)
    assert "--map D=" in out.stderr


def test_an_existing_target_is_kept_without_force(write, refused, small_table):
    write("fit.json", "precious")
    assert "--force" in refused("fit", small_table, "-o", "fit.json", code="SC002").stderr


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--law", "chinchila"], "SC004"),
        (["--objective", "l1"], "SC004"),
        (["--interval", "1.5"], "SC004"),
        (["--delta", "nan"], "SC004"),
        (["--fix", "E=-5"], "SC004"),
        (["--fix", "alpha=nan"], "SC004"),
        (["--bound", "alpha=2:1"], "SC004"),
        (["--weights", "0*N"], "SC004"),
        (["--weights", '"x"'], "SC020"),
        (["--where", 'loss < "x"'], "SC020"),
        (["--where", "__import__('os').remove('fit.json')"], "SC020"),
        (["--group", "nothing"], "SC105"),
        (["--approach", "isoflop", "--minimum", "quintic"], "SC004"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else x,
)
def test_options_that_cannot_be_meant(write, refused, small_table, options, code):
    write("fit.json", "precious")
    refused("fit", small_table, "-o", "fit.json", "--force", "--bootstrap", "3", *options,
            code=code)  # fmt: skip


def test_a_single_ratio_is_not_identified(write, scaling):
    write("runs.csv", RAY)
    write("fit.json", "precious")
    out = scaling("fit", "runs.csv", "--bootstrap", "20", "--json")
    assert out.returncode == 4
    assert "SC402" in out.stderr or "SC405" in out.stderr
    assert "Traceback" not in out.stderr
    assert len(out.stderr.splitlines()) <= 24
    data = json.loads(out.stdout)
    (fit,) = data["fits"]
    assert fit["status"] == "not-identified"
    assert {"SC402", "SC405"} <= {m["code"] for m in fit["messages"]}
    assert [a["a"] for a in data["allocations"]] == [None]
    assert scaling("fit", "runs.csv", "-o", "fit.json", "--bootstrap", "20").returncode == 2


def test_a_single_ratio_gives_no_headline_to_a_reader(write, scaling):
    write("runs.csv", RAY)
    out = scaling("fit", "runs.csv", "--bootstrap", "20")
    assert out.returncode == 4
    assert not re.search(r"^  (E|A|B|alpha|beta|a|b) +[-\d]", out.stdout, re.M)
    assert "no headline" in out.stdout


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("runs.csv", "", "SC101"),
        ("runs.csv", rows([(3, "N", "x")]), "SC102"),
        ("fit.json", "{", "SC101"),
        ("fit.json", "[]", "SC101"),
        ("fit.json", '{"schema": "scaling/plan@1"}', "SC101"),
        ("fit.json", '{"schema": "scaling/fit@1"}', "SC101"),
    ],
)
def test_report_refuses_and_keeps_the_old_report(write, refused, name, content, code):
    write(name, content)
    write("report.html", "precious")
    refused("report", name, "-o", "report.html", "--force", code=code)


def test_report_needs_force_and_a_source(write, refused):
    write("report.html", "precious")
    refused("report", "fit.json", "-o", "report.html", code="SC002")
    refused("report", "fit.json", "-o", "other.html", code="SC005")


def test_report_of_a_fit_without_its_rows(write, scaling, small_table):
    """What ``fit --json`` prints is no full fit; a report of it is made or refused, not broken."""
    printed = scaling("fit", small_table, "--json", "--bootstrap", "10")
    write("short.json", printed.stdout)
    out = scaling("report", "short.json", "-o", "report.html")
    assert out.returncode in (0, 2)
    assert "Traceback" not in out.stderr
    assert "SC900" not in out.stderr
