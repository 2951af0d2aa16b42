"""A study of a finished table, through the program."""

import json

import pytest

STUDY = """schema = 1
[study]
title = "Finished runs"
[data]
table = "results.csv"
%s
[[fit]]
approach = ["surface"]
bootstrap = 5
"""


@pytest.fixture
def study(scaling, write, small_table, tmp_path):
    """Run a study; return its fits, or None if it was refused."""

    def run(text):
        write("s.toml", text)
        out = scaling("study", "s.toml", "-o", "out", "--no-pdf")
        assert "Traceback" not in out.stderr
        if out.returncode == 2:
            assert "error[SC0" in out.stderr
            assert not (tmp_path / "out").exists()
            return None
        assert out.returncode in (0, 4), out.stderr  # 4: a law that five replicates leave open
        return json.loads((tmp_path / "out" / "fit.json").read_text())["fits"]

    return run


def test_it_fits_and_reports(study, tmp_path):
    (fit,) = study(STUDY % 'where = "D > 1.5e9"')
    assert (fit["law"], fit["n"], fit["status"]) == ("chinchilla", 30, "converged")
    assert fit["interval"]["draws"] == 5
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Finished runs" in page


@pytest.mark.parametrize(
    ("options", "holds"),
    [
        ('where = "D > 1.5e9"', lambda fits: fits[0]["n"] == 30),
        ('[[fit]]\nlaw = "power-D"\nobjective = "mse"\nbootstrap = 5',
         lambda fits: fits[-1]["objective"]["name"] == "mse"),
        ('[[fit]]\nlaw = "power-D"\nwhere = "D > 1.5e9"\nbootstrap = 5',
         lambda fits: fits[-1]["n"] == 30),
    ],
    ids=["where of the fit", "objective of the second fit", "rows of the second fit"],
)  # fmt: skip
def test_what_a_fit_section_asks_for_is_done_or_refused(study, options, holds):
    fits = study(STUDY % "" + options + "\n")
    assert fits is None or holds(fits)


def test_the_last_rows_of_curves(scaling, write, small_table, tmp_path):
    header, *rows = small_table.read_text().splitlines()
    lines = [f"run,{header}"]
    for i, row in enumerate(rows):
        n, d, c, loss = row.split(",")
        lines += [f"r{i},{n},{float(d) / 2},{float(c) / 2},{float(loss) + 0.2}", f"r{i},{row}"]
    small_table.write_text("\n".join(lines) + "\n")
    write("s.toml", STUDY % "final_only = true")
    out = scaling("study", "s.toml", "-o", "out", "--no-pdf")
    assert out.returncode in (0, 4), out.stderr
    assert json.loads((tmp_path / "out" / "fit.json").read_text())["fits"][0]["n"] == 36
    write("s.toml", STUDY % "final_only = false")
    assert "SC116" in scaling("study", "s.toml", "-o", "out2", "--no-pdf").stderr
