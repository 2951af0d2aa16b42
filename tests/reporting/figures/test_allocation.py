"""N*, D* and D*/N* against compute: by the fit, by isoFLOP minima, and as printed."""

import numpy as np
import pytest

from scaling.laws import get
from scaling.reporting.context import Context
from scaling.reporting.figures.allocation import ALLOCATION, allocation_data
from scaling.reporting.figures.published import published_lines, short


def panels_of(data):
    return {panel.name: panel for panel in data.panels}


def test_the_surface_is_the_optimum_of_the_fit(epoch):
    """Under 6ND the optimum of the additive law has a closed form, which is not what is drawn."""
    (fit,) = epoch.fits
    data = allocation_data(Context(epoch, 1e24), None)
    p = fit.params
    g = (p["alpha"] * p["A"] / (p["beta"] * p["B"])) ** (1.0 / (p["alpha"] + p["beta"]))
    panels = panels_of(data)
    c = panels["N"].surface.C
    a = p["beta"] / (p["alpha"] + p["beta"])
    assert panels["N"].surface.y == pytest.approx(g * (c / 6) ** a, rel=1e-6)
    assert panels["D"].surface.y == pytest.approx((c / 6) ** (1 - a) / g, rel=1e-6)
    ratio = panels["ratio"].surface
    assert ratio.y == pytest.approx(panels["D"].surface.y / panels["N"].surface.y, rel=1e-9)
    assert (ratio.lo < ratio.y).all()
    assert (ratio.y < ratio.hi).all()
    assert data.limit == pytest.approx(fit.fitted["C"].max(), rel=0.05)


def test_minima_and_lines_are_those_of_the_approach(quickstart):
    found = {a.approach: a for a in quickstart.allocations}["isoflop"]
    data = allocation_data(Context(quickstart), quickstart.fits[0].group)
    kept = [m for m in found.minima if m.bracketed]
    panels = panels_of(data)
    assert panels["ratio"].minima_y == pytest.approx([m.D / m.N for m in kept])
    assert panels["D"].minima_C == pytest.approx([m.budget for m in kept])
    ((name, xs, ys),) = panels["ratio"].lines
    assert name == "isoflop"
    (n0, n1), (d0, d1) = found.line["N"], found.line["D"]
    assert ys == pytest.approx(np.exp(d0 - n0 + (d1 - n1) * np.log(xs)))


def test_published_lines_are_those_of_the_papers():
    """Hoffmann et al. print a = 0.46, b = 0.54 for approach 3; 5.76e23 FLOP buy some 1.5 T."""
    lines = {(line.source, line.quantity): line for line in published_lines("tokens")}
    n, d = lines["Hoffmann 2022", "N"], lines["Hoffmann 2022", "D"]
    assert (round(n.exponent, 2), round(d.exponent, 2)) == (0.46, 0.54)
    compute = 1e21
    sizes = np.geomspace(1e8, 1e11, 20001)
    values = {"N": sizes, "D": compute / 6 / sizes}
    best = sizes[np.argmin(get("chinchilla").loss(get("chinchilla").published[0].params, values))]
    assert n.coefficient * compute**n.exponent == pytest.approx(best, rel=1e-3)
    product = n.coefficient * d.coefficient * compute ** (n.exponent + d.exponent)
    assert product == pytest.approx(compute / 6)
    assert published_lines("examples") == ()
    assert published_lines("tokens or examples") == ()


def test_lines_with_a_printed_coefficient_are_drawn_as_printed(epoch):
    """Kaplan et al. print N = 1.3e9 C^0.73 with C in PF-days; Llama 3 prints D = 0.29 C^0.53."""
    panels = panels_of(allocation_data(Context(epoch), None))
    drawn = {name: {s: (x, y) for s, x, y in panels[name].published} for name in panels}
    x, y = drawn["N"]["Kaplan 2020"]
    assert y == pytest.approx(1.3e9 * (x / 8.64e19) ** 0.73)
    x, y = drawn["D"]["Dubey 2024"]
    assert y == pytest.approx(0.29 * x**0.53)
    assert "Dubey 2024" not in drawn["N"]
    assert set(drawn["ratio"]) == set(drawn["N"])  # each has D too
    x, y = drawn["ratio"]["Kaplan 2020"]
    assert y == pytest.approx(drawn["D"]["Kaplan 2020"][1] / drawn["N"]["Kaplan 2020"][1])


def test_every_source_is_named_with_what_it_counts(epoch):
    data = allocation_data(Context(epoch), None)
    assert "Hoffmann 2022, Besiroglu 2024: N total parameters, C = 6ND." in data.caption
    assert "Kaplan 2020: N without embeddings" in data.caption
    for panel in data.panels:
        for source, _, _ in panel.published:
            assert source in data.caption


@pytest.mark.parametrize(
    ("source", "want"),
    [("Hoffmann et al. 2022, approach 3", "Hoffmann 2022"), ("", ""), ("X", "X")],
)
def test_labels_of_sources_are_short(source, want):
    assert short(source) == want


def test_the_guide_and_the_papers_are_there_for_tokens_alone(epoch, stored, drawing):
    for fits, tokens in ((epoch, True), (stored("recommendation"), False)):
        data = allocation_data(Context(fits), fits.fits[0].group)
        found = drawing(ALLOCATION, data)
        assert data.guide is tokens
        assert ("20 tokens a parameter" in data.caption) is tokens
        assert ("C = 6ND" in data.caption) is tokens
        assert ("Hoffmann 2022" in found.words) is tokens


def test_exponents_stand_with_their_convention(quickstart, drawing):
    data = allocation_data(Context(quickstart), quickstart.fits[0].group)
    words = " ".join(drawing(ALLOCATION, data).words).replace("\u00a0", " ")
    assert "surface: a = 0.478 (0.365–0.623), b = 0.522 (0.377–0.635), C = 6ND" in words
    assert "C of the table" in words
    assert "D*/N* is 34.6" in data.alt


def test_columns_hold_all_three_quantities(quickstart):
    columns = allocation_data(Context(quickstart), quickstart.fits[0].group).columns()
    assert set(columns["quantity"]) == {"N", "D", "D/N"}
    assert set(columns["what"]) == {"surface", "isoflop", "isoflop minimum"}  # far below papers
