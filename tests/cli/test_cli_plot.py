"""``scaling plot`` on the demo's fit, which is checked in."""

import pytest

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
