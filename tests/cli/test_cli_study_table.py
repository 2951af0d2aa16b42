"""A study of a finished table, through the program."""

import json

import numpy as np
import pandas as pd
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


# --------------------------------------------------- what a fit section says of the fit itself

BARE = """schema = 1
[data]
table = "results.csv"
[[fit]]
approach = ["surface"]
bootstrap = 0
sensitivity = false
objective = "mse"
%s
"""


@pytest.fixture
def only(study):
    """Return the one fit of a study whose section has more keys."""

    def run(more):
        (fit,) = study(BARE % more)
        return fit

    return run


def test_parameters_held_and_bounded(only):
    fit = only("fix = { E = 1.6 }\nbound = { alpha = [0.2, 0.31] }")
    assert fit["params"]["E"] == 1.6
    assert fit["params"]["alpha"] == pytest.approx(0.31, rel=1e-6)
    assert fit["status"] == "at-bound"


def test_a_formula_of_ones_own(only):
    fit = only('formula = "floor + k/N**x"')
    assert fit["law"] == "floor + k/N**x"
    assert set(fit["params"]) == {"floor", "k", "x"}


def test_weights_of_nothing_leave_rows_out(only):
    weighted, chosen = (only(f"{key} = 'D > 3e9'") for key in ("weights", "where"))
    assert (weighted["n"], chosen["n"]) == (36, 24)
    assert weighted["params"] == pytest.approx(chosen["params"], rel=1e-4)


def test_noise_is_the_inverse_of_the_root_of_weights(only):
    noise, weights = only("noise = 'D**0.5'"), only("weights = '1/D'")
    assert noise["params"] == pytest.approx(weights["params"], rel=1e-6)
    assert noise["params"] != pytest.approx(only("")["params"], rel=1e-6)


def test_a_map_of_the_fit_alone(study):
    text = BARE % "" + (BARE % "map = { loss = '1 + loss' }").partition("[[fit]]")[2].join(
        ["[[fit]]", ""]
    )
    plain, moved = study(text)
    assert moved["params"]["E"] == pytest.approx(plain["params"]["E"] + 1, abs=1e-5)


def test_intervals_by_the_delta_method_and_a_profile(study):
    text = BARE.replace("bootstrap = 0", "bootstrap = 200") % (
        'interval_method = "delta"\nprofile = ["alpha"]'
    )
    (fit,) = study(text)
    assert fit["interval"]["kind"].startswith("sandwich")
    assert [p["parameter"] for p in fit["profiles"]] == ["alpha"]


def test_bins_of_an_envelope(scaling, study, write, tmp_path):
    assert study((BARE % "bins = [1e16, 1e21, 4]").replace("surface", "envelope")) == []
    stored = json.loads((tmp_path / "out" / "fit.json").read_text())
    (line,) = stored["allocations"]
    edges = np.geomspace(1e16, 1e21, 5)
    centres = (edges[1:] * edges[:-1]) ** 0.5
    assert all(np.isclose(m["budget"], centres, rtol=1e-6).any() for m in line["minima"])
    write("s.toml", (BARE % "bins = [1e16, 1e21, 4.5]").replace("surface", "envelope"))
    assert "error[SC004] bins" in scaling("study", "s.toml", "-o", "b", "--no-pdf").stderr


def test_a_wide_table(study, write):
    sizes = [1e9, 2e9, 4e9, 8e9, 1.6e10]
    frame = pd.DataFrame({f"{d:g}": [1.7 + 410 / d**0.28] for d in sizes})
    write("results.csv", frame.assign(name="r").to_csv(index=False))
    text = BARE.replace('table = "results.csv"', 'table = "results.csv"\nmelt = ["D", "loss"]')
    (fit,) = study(text % 'law = "power-D"')
    assert fit["n"] == 5
    assert fit["params"]["beta"] == pytest.approx(0.28, abs=1e-4)


# ------------------------------------------------------------------ figures that were printed

PRINTED = """
[[printed]]
quantity = "n"
value = 36
tolerance = 0.5
source = "A paper (2020), table 1"
[[printed]]
quantity = "%s"
value = %s
tolerance = 0.01
source = "A paper (2020), eq. 2"
note = "as rounded"
"""


def test_figures_that_agree_and_one_that_does_not(scaling, write, small_table, tmp_path):
    write("s.toml", BARE % "name = 'levels'" + PRINTED % ("alpha", 0.34))
    out = scaling("study", "s.toml", "-o", "out", "--no-pdf")
    assert out.returncode == 0, out.stderr
    assert "figures that were printed: 2 of 2 agree" in out.stdout
    write("s.toml", BARE % "name = 'levels'" + PRINTED % ("alpha", 0.44))
    out = scaling("study", "s.toml", "-o", "out", "--no-pdf")
    assert out.returncode == 1
    (line,) = [text for text in out.stdout.splitlines() if text.startswith("  ! ")]
    assert line.split()[1] == "0.44"
    assert line.split()[-1] == "alpha"
    stored = json.loads((tmp_path / "out" / "fit.json").read_text())["provenance"]["printed"]
    assert [row["agrees"] for row in stored] == [True, False]
    assert stored[1] | {"found": 0} == {
        "quantity": "alpha", "of": "", "printed": 0.44, "found": 0, "tolerance": 0.01,
        "agrees": False, "why": "", "source": "A paper (2020), eq. 2", "note": "as rounded",
        "fit": None, "law": None, "group": None, "approach": "surface",
    }  # fmt: skip
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_fit_for_printed_figures_alone_is_not_reported(study, tmp_path):
    hidden = (BARE % 'name = "hidden"\nreport = false\nlaw = "power-D"').partition("[[fit]]")[2]
    figure = PRINTED % ("n", 36) + 'fit = "hidden"\nlaw = "power-D"\n'
    figure = figure.replace('table 1"', 'table 1"\nfit = "shown"')
    (fit,) = study(BARE % 'name = "shown"' + "[[fit]]" + hidden + figure)
    assert fit["law"] == "chinchilla"
    provenance = json.loads((tmp_path / "out" / "fit.json").read_text())["provenance"]
    assert provenance["names"] == ["shown"]
    assert [(row["fit"], row["agrees"]) for row in provenance["printed"]] == [
        ("shown", True),
        ("hidden", True),
    ]


@pytest.mark.usefixtures("small_table")
@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("", "alpha2"),
        ('fit = "levels"', 'no fit is called "levels"'),
        ("relative = 0.1", "either tolerance or relative"),
    ],
)
def test_figures_that_cannot_be_meant(scaling, write, tmp_path, more, told):
    write("s.toml", BARE % "" + PRINTED % ("alpha2", 0.34) + more)
    out = scaling("study", "s.toml", "-o", "out", "--no-pdf")
    assert out.returncode == 2
    assert "error[SC012]" in out.stderr
    assert "[[printed]] 2" in out.stderr
    assert told in out.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("data", "code", "told"),
    [
        ('public = "chinchilla_epoch2024"\nsource = "stdlib"', "SC012", "has no table chosen"),
        ('public = "chinchilla"\ntable = "x.csv"', "SC004", "chinchilla_epoch2024"),
        ('public = "chinchilla_epoch2024"\ntable = "x.csv"', "SC004", "svg_extracted_data.csv"),
    ],
)
def test_a_public_table_that_is_not_there(scaling, write, data, code, told):
    write("s.toml", f"schema = 1\n[data]\n{data}\n")
    out = scaling("study", "s.toml", "-o", "out", "--no-pdf")
    assert out.returncode == 2
    assert f"error[{code}]" in out.stderr
    assert told in out.stderr
