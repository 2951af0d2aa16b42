"""Fits of weighted laws in every rendering: laws, futures, and how far forecasts were checked."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.fitting.comparison import compare_fits
from scaling.fitting.result import Fits
from scaling.fitting.stored import load
from scaling.reporting import Report, build
from scaling.reporting.context import Context
from scaling.reporting.document import Figure, Table
from scaling.reporting.figures.forecast import FORECAST, forecast_data
from scaling.reporting.figures.frontier import frontier_data
from scaling.reporting.figures.kinds import KINDS
from scaling.reporting.members import UNCHECKED, members_of
from scaling.reporting.notebook import html_of
from tests.reporting.drawn_figures import checked


def surface(count=24, noise=0.01, seed=0):
    """Return runs over a short range, whose futures no fit can tell."""
    rng = np.random.default_rng(seed)
    size, data = 10 ** rng.uniform(6.5, 8, count), 10 ** rng.uniform(8, 9.5, count)
    loss = 0.5 + 100 * size**-0.25 + 300 * data**-0.28
    loss *= np.exp(noise * rng.standard_normal(count))
    return pd.DataFrame({"N": size, "D": data, "loss": loss})


def curve(name, low, count=14, seed=3):
    """Return runs along one variable, by a power law with a floor."""
    rng = np.random.default_rng(seed)
    x = np.geomspace(low, 1e3 * low, count)
    loss = 1.7 + 1.7 * (x / low) ** -0.34
    return pd.DataFrame({name: x, "loss": loss * np.exp(0.004 * rng.standard_normal(count))})


def stored(fit, folder):
    """Return the fits of a file that a fit was saved to."""
    fit.save(folder / "fit.json")
    return load(folder / "fit.json")


@pytest.fixture(scope="module")
def open_fits(tmp_path_factory):
    """Return a surface whose futures are made two, whatever the weights of the laws are."""
    fit = sc.fit(surface(seed=2), law="auto", bootstrap=40)
    said = dict(fit.certificate["auto"])
    heavy = {m.future for m in members_of(fit)}
    assert heavy >= {"saturating", "straight"}, "the runs must leave both open"
    assert any(m.code == "SC449" for m in fit.messages)
    assert len(said["futures"]) == 2
    return stored(fit, tmp_path_factory.mktemp("open"))


@pytest.fixture(scope="module", params=["D", "C", "N"])
def curve_fits(request, tmp_path_factory):
    low = {"D": 1e7, "C": 1e17, "N": 1e6}[request.param]
    fit = sc.fit(curve(request.param, low), law="auto", bootstrap=40)
    return stored(fit, tmp_path_factory.mktemp(request.param))


def sections(document):
    """Return the sections of a report by their key."""
    return {s.key: s for s in document.sections}


@pytest.fixture(scope="module")
def open_report(open_fits):
    """Return the document of the surface, laid out once."""
    return build(open_fits)


def table(section, caption):
    """Return the one table of a section with a caption."""
    (found,) = [b for b in section.blocks if isinstance(b, Table) and b.caption == caption]
    return found


# ---------------------------------------------------------------------------------------- terminal


def test_the_summary_names_laws_futures_and_evidence(open_fits):
    (fit,) = open_fits.fits
    text = fit.summary()
    assert max(map(len, text.splitlines())) <= 80
    said = fit.certificate["auto"]
    for member in said["members"]:
        if member["weight"] >= 0.005:
            assert f"{member['weight']:.1%}  {member['law']}: " in text
    for future in said["futures"]:
        (line,) = re.findall(rf"(?m)^ +{future['future']} +\d.*$", text)
        assert line.split()[1:] == [
            f"{future['weight']:.1%}",
            f"{future['doubt']:.1%}",
            f"{future['forecast']:.4g}",
        ]
    words = " ".join(text.split())
    for sentence in said["text"]:
        assert words.count(sentence) == 1  # in the message or as itself
    assert "[SC449]" in text
    assert "log-evidence" not in text
    assert f"{-fit.objective.value:.4g}" in text
    assert "N* ∝ C^a" not in text  # a is a slope at one compute


def test_light_laws_are_counted_and_light_futures_summed(open_fits):
    (fit,) = open_fits.fits
    said = fit.certificate["auto"]
    members = [*said["members"], {"law": "kaplan", "weight": 0.001, "params": {"N_c": 1.0}}]
    futures = [{**f, "weight": 0.9 * f["weight"]} for f in said["futures"]]
    auto = {**said, "members": members, "futures": futures}
    text = replace(fit, certificate={**fit.certificate, "auto": auto}).summary()
    light = sum(m["weight"] < 0.005 for m in members)
    assert f"  {light} more of less than 0.5% each" in text
    left = 1 - sum(f["weight"] for f in futures)
    assert re.search(rf"others +{left:.1%}", text)


def test_a_notebook_shows_laws_and_futures(open_fits):
    (fit,) = open_fits.fits
    page = html_of(fit)
    assert "SC449" in page
    assert fit.members[0]["law"] in page
    assert f"{fit.members[0]['weight']:.1%}" in page
    for future in fit.certificate["auto"]["futures"]:
        assert future["future"] in page
    assert "Forecasts were checked up to" in page


# ----------------------------------------------------------------------------------------- reports


def test_the_answer_says_what_is_open_and_how_far_was_checked(open_fits):
    (fit,) = open_fits.fits
    far = 5.0 * fit.evidence_factor
    largest = float((6 * fit.fitted["N"] * fit.fitted["D"]).max())
    (verdict,) = build(open_fits, target_flops=far * largest).verdicts
    assert verdict.level == "weak"
    notes = {note.code: note for note in verdict.reasons}
    assert "more than one future open" in notes["SC449"].text
    assert notes["SC410"].severity in ("warning", "error")
    assert "Forecasts were checked up to" in notes["SC410"].text
    assert "this is further" in notes["SC410"].text
    facts = {fact.name: fact.value for fact in verdict.facts}
    assert facts["forecasts checked"].startswith("up to ")
    assert "Near the largest run N* grows" in verdict.sure
    assert "knows the noise of the runs alone" not in " ".join(verdict.cautions)


def test_within_what_was_checked_nothing_is_called_unchecked(open_fits):
    (fit,) = open_fits.fits
    largest = float((6 * fit.fitted["N"] * fit.fitted["D"]).max())
    (verdict,) = build(open_fits, target_flops=0.9 * fit.evidence_factor * largest).verdicts
    assert "SC410" not in {note.code for note in verdict.reasons}


def test_rows_further_than_checked_are_labelled(open_fits, open_report):
    (fit,) = open_fits.fits
    tables = [b for b in sections(open_report)["prediction"].blocks if isinstance(b, Table)]
    assert len(tables) == 2
    for found in tables:
        for row in found.rows:
            factor = float(re.match(r"[\d.,]+", row[1])[0].replace(",", ""))
            if "10⁻" not in row[1] and abs(np.log(factor / fit.evidence_factor)) > 0.1:
                assert (UNCHECKED in row[1]) == (factor > fit.evidence_factor)
        assert any(UNCHECKED in row[1] for row in found.rows)
        assert UNCHECKED in found.note


def test_the_section_of_the_fit_has_laws_and_futures(open_fits, open_report):
    (fit,) = open_fits.fits
    section = sections(open_report)["fit"]
    laws = table(section, "Laws and their weights")
    assert [row[0] for row in laws.rows] == [m["law"] for m in fit.members]
    assert [float(row[3].strip("%<")) for row in laws.rows] == pytest.approx(
        [100 * m["weight"] for m in fit.members], abs=0.1
    )
    assert {row[2] for row in laws.rows} <= {"saturating", "straight", "broken"}
    assert sum(float(row[4].strip("%<")) for row in laws.rows) == pytest.approx(100, abs=0.5)
    futures = table(section, "Futures that are open")
    for row, future in zip(futures.rows, fit.certificate["auto"]["futures"], strict=False):
        assert row[0] == future["future"]
        assert float(row[4].replace(",", "")) == pytest.approx(future["forecast"], rel=1e-3)
    text = " ".join(getattr(b, "text", "") for b in section.blocks)
    assert all(sentence in text for sentence in fit.certificate["auto"]["text"])
    parameters = table(section, "Parameters")
    assert all("at the largest compute" in row[-1] for row in parameters.rows)


def test_every_rendering_says_the_same_of_an_open_future(
    open_fits, open_report, words_of_pdf, squeezed
):
    report = Report(open_report)
    (note,) = [m for m in open_fits.fits[0].messages if m.code == "SC449"]
    for made in (report.text(), report.markdown(), report.html()):
        assert "SC449" in made
        assert "Futures that are open" in made
        assert "forecasts checked" in made
    pytest.importorskip("typst", reason="typst is needed to render PDF")
    words = squeezed(words_of_pdf(report.pdf()))
    assert squeezed(note.text.split(":")[0]) in words
    assert squeezed("forecasts checked") in words


def test_method_and_limits_are_those_of_weighted_laws(open_report):
    found = sections(open_report)
    (told, *_) = (b.text for b in found["method"].blocks)
    assert "variable projection" not in told
    assert "rolling origins" in told
    limits = " ".join(b.text for b in found["limits"].blocks)
    assert "nothing was checked" in limits
    assert "No other law was fitted" not in limits
    following = " ".join(getattr(b, "text", "") for b in found["the-next-most-useful-runs"].blocks)
    assert "would tell" in following


# ------------------------------------------------------------------------------------------ curves


def test_a_curve_is_reported_and_drawn(curve_fits):
    (fit,) = curve_fits.fits
    (name,) = fit.law.variables
    document = build(curve_fits)
    assert document.verdicts[0].headline.startswith(f"At {name} = ")
    kinds = {f.key.split("-")[0] for s in document.sections for f in s.blocks
             if isinstance(f, Figure)}  # fmt: skip
    assert {"forecast", "residuals", "holdout"} <= kinds
    assert "frontier" not in kinds  # forecast shows as much and more
    assert "unscored" not in Report(document).markdown()


def test_every_kind_draws_a_fit_of_weighted_laws_or_leaves_it_out(open_fits, curve_fits):
    for fits in (open_fits, curve_fits):
        context = Context(fits)
        for kind in KINDS:
            for subject in kind.subjects(context):
                if (data := kind.data(context, subject)) is not None:
                    checked(kind, data)


# ------------------------------------------------------------------------------------------ figure


def test_the_forecast_is_that_of_the_fit_and_its_laws(open_fits):
    (fit,) = open_fits.fits
    data = forecast_data(Context(open_fits), fit)
    best = fit.optimal(C=data.grid)
    assert np.allclose(data.estimate, best["loss"], rtol=1e-6)
    assert ((data.lo < data.estimate) & (data.estimate < data.hi)).all()
    weight = np.array([line.weight for line in data.fan])
    heavy = [m for m in fit.members if m["weight"] >= 0.005]
    assert [line.law for line in data.fan] == [m["law"] for m in heavy]
    mean = weight @ np.log(np.stack([line.y for line in data.fan])) / weight.sum()
    assert np.allclose(mean, np.log(data.estimate), atol=0.01)
    spread = np.ptp(np.log(np.stack([line.y for line in data.fan])), axis=0)
    assert spread[-1] > 3 * spread[data.grid < data.limit].max()
    assert data.checked == pytest.approx(data.limit * fit.evidence_factor)
    assert set(data.futures) == {"saturating", "straight"}
    for future in data.futures:
        assert f"{future} laws" in data.alt
    assert "as far as forecasts were checked" in data.caption
    checked(FORECAST, data)


def test_a_fit_of_one_law_has_no_forecast_figure(open_fits):
    one = sc.fit(surface(), law="chinchilla", bootstrap=0)
    assert forecast_data(Context(Fits((one,))), one) is None
    assert frontier_data(Context(Fits((one,))), one) is not None


# ----------------------------------------------------------------------------------------- several


def test_laws_beside_auto_are_ranked_and_reported(tmp_path):
    fits = sc.fit(surface(), law=["auto", "chinchilla"], objective="log-mse", bootstrap=50)
    fits.save(tmp_path / "fit.json")
    fits = load(tmp_path / "fit.json")
    found = sections(build(fits))["laws-compared-by-held-out-error"]
    laws = table(found, "Laws of the same runs")
    assert {row[1] for row in laws.rows} == {"auto", "chinchilla"}  # no objective beside them
    assert "auto weighs laws at each origin" in laws.note
    assert not any("Not tried" in getattr(b, "text", "") for b in found.blocks)


def test_groups_by_auto_are_compared():
    better = surface(seed=1).assign(group="b")
    better["loss"] *= 0.97
    both = pd.concat([surface(seed=1).assign(group="a"), better])
    fits = sc.fit(both, law="auto", group="group", bootstrap=50)
    (pair,) = {tuple(row["pair"]) for row in compare_fits(fits.fits).rows}
    assert pair == ("group a", "group b")
    other = sc.fit(surface(seed=7), law="auto", bootstrap=50)  # shares no cell with the first
    (row, *_) = compare_fits([fits.fits[0], replace(other, group="c")]).rows
    assert row["pairing"]["kind"] == "unpaired"
    low, high = row["interval"]["difference"]
    assert low < row["difference"] < high
