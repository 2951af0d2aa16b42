"""``scaling plot`` on the demo's fit, which is checked in."""

import re

import pandas as pd
import pytest

import scaling as sc
from scaling.errors import ConfigError
from scaling.fitting.result import Fits
from tests.cli.conftest import ROOT

FIT = ROOT / "reports" / "quickstart.fit.json"


def test_the_data_of_every_figure_are_json(document):
    """Bands have gaps, which JSON says as null."""
    found = document("plot", FIT, "all", "--json")
    assert found["schema"] == "scaling/plot@1"
    assert {"frontier", "isoflop", "allocation"} <= {f["kind"] for f in found["figures"]}
    for figure in found["figures"]:
        assert len({len(column) for column in figure["data"].values()}) == 1


@pytest.mark.parametrize("theme", ["paper", "talk", "serif"])
def test_the_fonts_of_every_theme_have_what_figures_say(scaling, tmp_path, theme):
    """Matplotlib warns of a glyph that it has to leave out."""
    done = scaling("plot", FIT, "frontier", "-o", "f.png", "--theme", theme)
    assert done.returncode == 0
    assert "Warning" not in done.stderr, done.stderr
    assert (tmp_path / "f.png").stat().st_size > 10_000


def test_what_can_be_drawn_is_listed(scaling):
    done = scaling("plot", FIT)
    assert done.returncode == 0
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert {"frontier", "surface", "isoflop", "residuals", "bootstrap", "curves"} <= set(names)
    assert "effective" not in names  # the fit has no data for it


@pytest.mark.parametrize(("width", "inches"), [("page", 6.9), ("column", 3.4)])
def test_a_figure_is_as_wide_as_a_page_or_a_column(scaling, tmp_path, width, inches):
    for name in ("a.svg", "b.svg"):
        assert scaling("plot", FIT, "frontier", "-o", name, "--width", width).returncode == 0
    drawn = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert float(re.search(r'<svg [^>]*width="([\d.]+)pt"', drawn)[1]) == pytest.approx(72 * inches)
    assert drawn == (tmp_path / "b.svg").read_text(encoding="utf-8")


def test_the_csv_of_a_figure_holds_the_runs(scaling, tmp_path):
    assert scaling("plot", FIT, "frontier", "-o", "f.csv", "--target-flops", "2e12").returncode == 0
    frame = pd.read_csv(tmp_path / "f.csv")
    fit = sc.load(FIT)
    runs = frame[frame["what"] == "run"]
    assert sorted(runs["loss"]) == pytest.approx(sorted(fit.fitted["loss"]), rel=1e-6)


def test_all_figures_go_to_a_folder_and_are_not_replaced(scaling, tmp_path):
    assert scaling("plot", FIT, "all", "-o", "figs").returncode == 0
    listed = {line.split()[0] for line in scaling("plot", FIT).stdout.splitlines()}
    assert {path.stem for path in (tmp_path / "figs").iterdir()} == listed
    again = scaling("plot", FIT, "all", "-o", "figs")
    assert again.returncode == 2
    assert "SC002" in again.stderr
    assert scaling("plot", FIT, "isoflop", "-o", "new.pdf", "--dry-run").returncode == 0
    assert not (tmp_path / "new.pdf").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["frontiers!"], "SC004", "frontier, forecast"),
        (["profiles"], "SC004", "no data for profiles"),
        (["frontier", "--width", "wide"], "SC004", "page or column"),
        (["frontier", "-o", "f.docx"], "SC003", "one of .csv, .svg"),
        (["frontier", "--theme", "nope", "-o", "f.svg"], "SC004", "paper, talk, serif"),
        (["frontier", "--group", "nobody"], "SC004", "stdlib/bytes-small@1"),
        (["frontier", "--law", "nolaw"], "SC004", "chinchilla"),
    ],
)
def test_what_cannot_be_drawn_is_said(scaling, words, code, said):
    done = scaling("plot", FIT, *words)
    assert done.returncode == 2
    assert f"error[{code}]" in done.stderr
    assert said in " ".join(done.stderr.split())


def test_runs_are_no_fit(scaling, tmp_path):
    (tmp_path / "runs.csv").write_text("N,D,loss\n1,2,3\n")
    done = scaling("plot", "runs.csv", "frontier")
    assert done.returncode == 2
    assert "scaling fit runs.csv -o fit.json" in " ".join(done.stderr.split())


def test_a_fit_draws_on_axes_of_ones_own():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    fit = sc.load(FIT)
    assert {"frontier", "isoflop", "residuals"} <= set(dir(fit.plot))
    _, ax = pyplot.subplots()
    assert fit.plot.frontier(ax) is ax
    assert ax.get_xscale() == "log"
    assert fit.plot.isoflop().get_ylabel() == "loss [nats per token]"
    assert Fits((fit,), table=fit.table).plot.frontier(target_flops=2e12).get_xlabel() == "C [FLOP]"
    with pytest.raises(ConfigError, match="one a panel"):
        fit.plot.residuals(ax)
    with pytest.raises(ConfigError, match="no data for it"):
        fit.plot.profiles()
    with pytest.raises(AttributeError):
        _ = fit.plot.nothing
    pyplot.close("all")
