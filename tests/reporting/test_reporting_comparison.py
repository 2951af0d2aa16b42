"""Comparison reports: the answer of each pair, what is told of it, and that no warning is lost."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.errors import ConfigError, Message
from scaling.fitting.parties import compare_parts, parted
from scaling.fitting.parts import Check
from scaling.fitting.recipes import Recipes
from scaling.fitting.result import Fits
from scaling.fitting.stored import from_dict
from scaling.reporting import Report, build
from scaling.reporting.comparison import build_comparison
from scaling.reporting.context import Context
from scaling.reporting.document import Checklist, Figure, Note, Table
from scaling.reporting.figures.frontiers import FRONTIERS, frontiers_data
from scaling.reporting.figures.kinds import KINDS
from scaling.reporting.figures.multiplier import MULTIPLIER, multiplier_data
from scaling.reporting.figures.render import to_svg
from scaling.reporting.parties import Party, context_of, settings_of
from scaling.reporting.renderers.pdf import source

LAW = sc.law("chinchilla")
TRUTH = dict(LAW.published[0].params)
CENTRE = 1e20
HOSTILE = "<script>alert(1)</script> $x$_a#"


def grid(sizes=6, data=6, n=(1e7, 1e10), d=(1e9, 5e11)):
    n, d = np.geomspace(*n, sizes), np.geomspace(*d, data)
    return pd.DataFrame({"N": np.repeat(n, data), "D": np.tile(d, sizes)})


def runs(m=1.0, slope=0.0, *, seed=0, noise=0.001, x=None):
    """Runs that do at C what the law does at m (C/1e20)^slope C."""
    x = grid() if x is None else x
    gamma = TRUTH["alpha"] * TRUTH["beta"] / (TRUTH["alpha"] + TRUTH["beta"])
    worth = m * (6 * x.N * x.D / CENTRE) ** slope
    loss = TRUTH["E"] + (LAW.loss(TRUTH, x) - TRUTH["E"]) * worth**-gamma
    return x.assign(loss=loss * np.exp(noise * np.random.default_rng(seed).standard_normal(len(x))))


def fitted(frame, law="chinchilla", *, sha=None, unit=None, bootstrap=25, messages=(), checks=()):
    """Return the fits of a table as a file would hold them."""
    made = sc.fit(frame, law, bootstrap=bootstrap, objective="log-mse")
    fits = made.fits if isinstance(made, Fits) else (made,)
    columns = {k: dict(v) for k, v in fits[0].table["columns"].items()}
    if unit is not None:
        columns["loss"]["unit"] = unit
    table = {**fits[0].table, "columns": columns, "sha256": sha or f"{frame.loss.sum():.12g}"}
    changed = tuple(
        replace(f, table=table, messages=(*f.messages, *messages), checks=(*f.checks, *checks))
        for f in fits
    )
    return Fits(changed, table=table)


def documented(*sources, at=(), **options):
    """Compare named sources and lay the comparison out."""
    parts = parted(sources)
    found = compare_parts(parts, at=at)
    return build_comparison(found, parts, **options)


def tables(document):
    return {b.caption: b for b in document.blocks if isinstance(b, Table)}


@pytest.fixture(scope="module")
def better():
    """A recipe B that is worth twice the compute of A, compared at the middle of the grid."""
    one, two = fitted(runs(seed=1)), fitted(runs(2.0, seed=2))
    return documented(("A", one), ("B", two), at=[CENTRE], target_flops=CENTRE)


# ----------------------------------------------------------------------------------- the answer


def test_a_recipe_worth_twice_the_compute_is_said_to_be(better):
    (verdict,) = better.verdicts
    facts = {fact.name: fact for fact in verdict.facts}
    value = float(facts["compute multiplier"].value.rstrip("×"))
    ends = facts["compute multiplier"].sure.removesuffix(", 95%")
    low, high = map(float, ends.split("–"))
    assert low < value < high
    # three standard errors: the interval itself misses one truth in twenty
    assert abs(np.log(value / 2.0)) < 3 * (np.log(high) - np.log(low)) / 4
    assert verdict.subject == "B against A"
    assert verdict.headline.startswith("B is better: with 1.00×10²⁰ FLOP B does as well as A with")
    assert f"({ends})" in verdict.headline
    assert "at all compute measured" in verdict.headline
    assert facts["compute"].sure == "inside the runs of both"
    assert facts["pairs of runs"].value == "36 by N and D"


def test_the_worse_of_a_pair_is_named_as_such():
    document = documented(("B", fitted(runs(2.0, seed=2))), ("A", fitted(runs(seed=1))))
    headline = document.verdict.headline
    assert headline.startswith("B is better: with ")
    times = float(re.search(r"A does only as well as B with ([\d.]+) times", headline)[1])
    assert times == pytest.approx(0.5, rel=0.05)


def test_equal_recipes_are_not_told_apart():
    document = documented(("A", fitted(runs(seed=3))), ("B", fitted(runs(seed=4))))
    (verdict,) = document.verdicts
    assert verdict.headline.startswith("Not told apart: ")
    assert verdict.level == "weak"
    assert "is better" not in verdict.headline


def test_recipes_that_cross_have_the_compute_from_which_one_is_better():
    document = documented(
        ("A", fitted(runs(seed=1))), ("B", fitted(runs(1.0, 0.06, seed=2))), at=[3e22],
        target_flops=3e22,
    )  # fmt: skip
    (verdict,) = document.verdicts
    assert re.search(
        r"B is the better one from .+ FLOP \(.+\) on, the other below", verdict.headline
    )
    fact = next(fact for fact in verdict.facts if fact.name == "crossing")
    where = float(fact.value.removesuffix(" FLOP").replace("×10¹⁹", "e19").replace("×10²⁰", "e20"))
    assert where == pytest.approx(CENTRE, rel=0.4)
    assert "SC436" in [note.code for note in verdict.reasons]
    assert verdict.level == "weak"
    row = tables(document)["Where recipes cross"].rows[0]
    assert row[-1] == "yes"
    figure = next(f for f in document.figures if f.key == "multiplier")
    assert "crossing near" in figure.alt
    assert "where recipes cross" in figure.caption


def test_beyond_the_runs_the_answer_is_an_extrapolation():
    document = documented(
        ("A", fitted(runs(seed=1))), ("B", fitted(runs(2.0, seed=2))), at=[1e24], target_flops=1e24
    )
    (verdict,) = document.verdicts
    assert "1.00×10²⁴ FLOP (extrapolated)" in verdict.headline
    assert {"SC410"} == {note.code for note in verdict.reasons if "extrapolation" in note.text}
    assert verdict.level == "weak"
    rows = tables(document)["B against A, by scale"].rows
    assert rows[-1][0] == "1.00×10²⁴ (target)"
    assert rows[-1][-1] == "extrapolated, 33×"
    assert {row[-1] for row in rows[:-1]} == {"inside"}


def test_unpaired_grids_are_compared_and_said_to_be():
    other = grid(5, 7, (2e7, 8e9), (2e9, 4e11))
    document = documented(("A", fitted(runs(seed=1))), ("B", fitted(runs(2.0, seed=2, x=other))))
    (verdict,) = document.verdicts
    assert verdict.level == "weak"
    assert any("too few to pair" in note.text for note in verdict.reasons)
    assert verdict.sure.startswith("Unpaired")
    assert tables(document)["Pairs of runs"].rows[0][1] == "unpaired"
    # compute that only one of them has is no common ground
    last = tables(document)["B against A, by scale"].rows[-1]
    assert last[-1].startswith("extrapolated")


def test_losses_in_other_units_are_not_compared():
    document = documented(
        ("A", fitted(runs(seed=1))), ("B", fitted(runs(2.0, seed=2), unit="bits per byte"))
    )
    (verdict,) = document.verdicts
    assert verdict.level == "not identified"
    assert "cannot be compared" in verdict.headline
    assert "bits per byte" in verdict.sure
    assert document.figures == ()
    assert not any("by scale" in caption for caption in tables(document))
    assert any(isinstance(b, Note) and b.severity == "error" for b in document.blocks)


def test_other_data_and_failed_checks_are_reasons():
    failed = Check("residuals", "fail", "a trend over D", "SC421")
    one, two = fitted(runs(seed=1), checks=[failed]), fitted(runs(2.0, seed=2))
    study = {"study": {"title": "t"}, "data": {"source": "text"}, "recipe": {"name": "r", "lr": 1}}
    other = {**study, "data": {"source": "code"}}
    sources = (("A", one), ("B", two))
    known = {"both": {"A": study, "B": other}, "same": {"A": study, "B": study}, "none": {}}
    said = {
        name: [note.text for note in documented(*sources, studies=studies).verdict.reasons]
        for name, studies in known.items()
    }
    assert any("differ in data or tokenizer (data.source)" in text for text in said["both"])
    assert any("taken on trust" in text for text in said["none"])
    assert not any("tokenizer" in text for text in said["same"])
    assert all(any("a trend over D" in text for text in texts) for texts in said.values())


def test_three_sources_have_a_box_a_pair():
    document = documented(*((name, fitted(runs(m, seed=k))) for k, (name, m) in
                            enumerate((("A", 1.0), ("B", 1.4), ("C", 0.6)))))  # fmt: skip
    assert [v.subject for v in document.verdicts] == ["B against A", "C against A"]
    assert document.verdicts[0].headline.startswith("B is better")
    assert document.verdicts[1].headline.startswith("A is better")
    assert document.title == "Comparison of A, B and C"
    heads = tables(document)["Runs and fits"].columns
    assert heads == ("", "A", "B", "C")
    (frontiers,) = [f for f in document.figures if f.key == "frontiers"]
    assert set(frontiers.data["recipe"]) == {"A", "B", "C"}
    (gaps,) = [f for f in document.figures if f.key == "multiplier"]
    assert set(gaps.data["recipe"]) == {"B", "C"}


def test_laws_of_the_same_runs_are_compared_by_what_they_were_not_shown():
    frame = runs(seed=5)
    both = fitted(frame, ["chinchilla", "kaplan"])
    document = documented(("A", both))
    (verdict,) = document.verdicts
    assert verdict.subject == "laws"
    assert verdict.headline.startswith("chinchilla predicts larger runs best")
    assert document.figures == ()
    rows = tables(document)["Laws of the same runs"].rows
    assert [(row[1], row[2]) for row in rows] == [("1", "chinchilla"), ("2", "kaplan")]
    # two files of the same runs are the same comparison, and no two recipes
    apart = [("one", Fits(both.fits[:1], table=both.table)),
             ("two", Fits(both.fits[1:], table=both.table))]  # fmt: skip
    again = documented(*apart)
    assert [v.headline for v in again.verdicts] == [verdict.headline]


def test_one_fit_alone_is_refused():
    alone = fitted(runs(), bootstrap=0)
    for sources in ([("A", alone)], [("A", alone), ("A again", alone)]):
        with pytest.raises(ConfigError) as caught:
            documented(*sources)
        assert caught.value.code == "SC004"
        assert "two laws, two groups or two files" in str(caught.value)
    with pytest.raises(ConfigError, match="no fit of a law"):
        documented(("A", alone), ("B", Fits(())))


# ------------------------------------------------------------------------------- what is told


def test_every_warning_of_every_fit_reaches_every_rendering(squeezed):
    told = {name: Message("SC403", f"Oddity {name} of the runs.") for name in ("one", "two")}
    kept = [fitted(runs(m, seed=k), messages=[told[name]])
            for k, (name, m) in enumerate((("one", 1.0), ("two", 2.0)))]  # fmt: skip
    document = documented(("A", kept[0]), ("B", kept[1]))
    report = Report(replace(document, sections=tuple(
        replace(s, blocks=tuple(b for b in s.blocks if not isinstance(b, Figure)))
        for s in document.sections
    )))  # fmt: skip
    wanted = [m.text for fits in kept for m in fits.messages]
    wanted += [c.found for fits in kept for f in fits.fits for c in f.checks if c.verdict != "pass"]
    assert {m.text for m in told.values()} <= set(wanted)
    typst = source(report.document)[0]
    for rendering in (report.html(), report.markdown(), report.text(), typst):
        plain = squeezed(re.sub(r"\\(?=[^nu])", "", rendering)).replace("&#39;", "'")
        for text in wanted:
            assert squeezed(text) in plain, text


def test_settings_are_compared_key_by_key():
    one = {"study": {"title": "x"}, "recipe": {"lr": 1e-3, "warmup": 10}, "model": {"family": "f"},
           "variant": [{"name": "g", "recipe": {"lr": 3e-3}}, {"name": "h"}]}  # fmt: skip
    fit = fitted(runs(), bootstrap=0).fits[0]
    parties = [Party(name, replace(fit, group=name), Fits((fit,)), one) for name in ("g", "h")]
    found = settings_of(parties)
    assert dict(found.differing) == {"recipe.lr": (3e-3, 1e-3)}
    assert found.same == 2
    assert found.of_losses == ()
    assert settings_of([replace(parties[0], study={}), parties[1]]).names == ("h",)


def test_a_hostile_name_does_no_harm():
    document = documented((HOSTILE, fitted(runs(seed=1))), ("B", fitted(runs(2.0, seed=2))))
    report = Report(document)
    html = report.html()
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "<script>alert" not in report.markdown()
    assert report.pdf().startswith(b"%PDF")
    assert HOSTILE in document.verdict.subject


def test_nothing_is_a_path_or_a_host(better):
    command = "scaling report /home/someone/secret/a.csv /home/someone/b.csv"
    one, two = fitted(runs(seed=1), bootstrap=0), fitted(runs(2.0, seed=2), bootstrap=0)
    document = documented(("A", one), ("B", two), command=command)
    assert "someone" not in Report(document).html()
    assert [s.heading for s in better.sections][-1] == "Reproducibility"


def test_the_order_of_a_comparison(better):
    headings = [s.heading for s in better.sections if s.level == 1]
    assert headings == [
        "What is compared", "Pairing", "What differs between the recipes", "Figures",
        "Offset and exponent", "By scale", "Exponents beside the literature",
        "All warnings and notes", "Method", "Reproducibility",
    ]  # fmt: skip


# ------------------------------------------------------------------------------------ figures


def test_the_figure_shows_what_the_table_says():
    parts = parted([("A", fitted(runs(seed=1))), ("B", fitted(runs(2.0, seed=2)))])
    found = compare_parts(parts)
    data = multiplier_data(context_of(found, parts))
    (curve,) = data.curves
    for row in found.rows:
        at = np.interp(np.log(row["C"]), np.log(curve.C), np.log(curve.multiplier))
        assert at == pytest.approx(np.log(row["multiplier"]), abs=1e-3)
    assert curve.C[0] == pytest.approx(found.rows[0]["C"])
    assert curve.C[-1] == pytest.approx(10 * found.rows[-1]["C"])
    assert not curve.inside.all()
    assert (curve.band[:, 0] < curve.multiplier).all()
    assert (curve.band[:, 1] > curve.multiplier).all()
    wide = multiplier_data(context_of(compare_parts(parts, at=[1e26]), parts)).curves[0]
    assert wide.C[-1] == pytest.approx(1e26)


def test_frontiers_are_those_of_each_fit():
    parts = parted([("A", fitted(runs(seed=1))), ("B", fitted(runs(2.0, seed=2)))])
    context = context_of(compare_parts(parts), parts)
    data = frontiers_data(context)
    for one, part in zip(data.ones, parts.values(), strict=True):
        fit = part.fits[0]
        assert one.E == fit.params["E"]
        assert one.line.y == pytest.approx(fit.optimal(C=one.line.C).loss.to_numpy())
        assert len(one.marked) == 36
    svg = to_svg("k", "t", "a", kind=FRONTIERS, data=data, theme="paper")
    assert svg.count('data-i="') == 72
    assert svg == to_svg("k", "t", "a", kind=FRONTIERS, data=data, theme="paper")


def test_the_kinds_are_found_by_name_and_need_two_recipes():
    names = [kind.name for kind in KINDS]
    assert {"frontiers", "multiplier"} <= set(names)
    assert (FRONTIERS.per, MULTIPLIER.per) == ("all", "all")
    alone = Context(fitted(runs(), bootstrap=0))
    assert frontiers_data(alone) is None
    assert multiplier_data(alone) is None


# ----------------------------------------------------------------- groups in an ordinary report


@pytest.fixture(scope="module")
def grouped():
    frame = pd.concat([runs(seed=1).assign(group="A"), runs(2.0, seed=2).assign(group="B")])
    return sc.fit(frame, "chinchilla", group="group", objective="log-mse", bootstrap=25)


def test_groups_of_one_table_are_compared_in_their_report(grouped):
    document = build(grouped)
    headings = [s.heading for s in document.sections]
    assert "Recipes compared" in headings
    assert {"frontiers", "multiplier"} <= {f.key for f in document.figures}
    assert "B against A, by scale" in tables(document)
    text = Report(replace(document, sections=tuple(
        s for s in document.sections if s.heading == "Recipes compared"))).text()  # fmt: skip
    assert "B is better" in " ".join(text.split())
    anchors = {a for b in document.blocks if isinstance(b, Table) for a in b.anchors}
    (frontiers,) = [f for f in document.figures if f.key == "frontiers"]
    assert {tip.anchor for tip in frontiers.tips} <= anchors


def test_what_was_compared_is_stored(grouped):
    stored = from_dict(json.loads(grouped.to_json()))
    (kept,), (made,) = stored.compared, grouped.compared
    assert isinstance(kept, Recipes)
    assert kept.pair == made.pair == ("A", "B")
    assert kept.curve["C"] == made.curve["C"]
    assert kept.messages == made.messages
    one, two = (
        [b for b in build(fits).blocks if isinstance(b, Table) and "by scale" in b.caption]
        for fits in (grouped, stored)
    )
    assert one == two != []


def test_groups_that_share_nothing_are_left_out():
    ray = pd.DataFrame({"N": 1.3e7 * 2.0 ** np.arange(10)}).assign(D=lambda t: 20 * t.N)
    frame = pd.concat([runs(seed=1).assign(group="A"), runs(seed=2, x=ray).assign(group="B")])
    found = sc.fit(frame, "chinchilla", group="group", objective="log-mse", bootstrap=0)
    assert found.compared == ()
    assert "Recipes compared" not in [s.heading for s in build(found).sections]


# ---------------------------------------------------------------------------------- from Python


def test_report_of_fits_of_several_tables_is_a_comparison():
    one, two = (fitted(runs(m, seed=k)).fits[0] for k, m in ((1, 1.0), (2, 2.0)))
    one = replace(one, table={**one.table, "file": "one.csv"})
    two = replace(two, table={**two.table, "file": "two.csv"})
    document = sc.report([one, two], target_flops=1e21).document
    assert document.title == "Comparison of one and two"
    assert "1.00×10²¹ FLOP" in document.verdict.headline
    found = sc.report(sc.compare([one, two]), title="Mine").document
    assert found.title == "Mine"
    assert found.verdict.headline.count("is better") == 1
    assert not any(isinstance(b, Checklist) and not b.items for b in found.blocks)


def test_what_keeps_a_pair_apart_is_said_once_in_the_answer():
    document = documented(
        ("A", fitted(runs(seed=1))), ("B", fitted(runs(2.0, seed=2), unit="bits per byte"))
    )
    (verdict,) = document.verdicts
    assert "other units" in verdict.sure
    assert not any("other units" in note.text for note in verdict.reasons)
    notes = [b.text for b in document.blocks if isinstance(b, Note)]
    assert not any("surfaces are compared" in text for text in notes)
