"""What the runs say against an answer, its facts, its limits and the runs to add."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.fitting.analyse import analyse
from scaling.fitting.effective import Ask
from scaling.fitting.options import Options
from scaling.fitting.result import Fits
from scaling.fitting.sensitivity import _unable, panel
from scaling.reporting import build, numbers
from scaling.reporting.context import Context
from scaling.reporting.document import Listing, Paragraph
from scaling.reporting.runs import runs_of
from scaling.reporting.sections import doubts
from scaling.reporting.sections.effective import effective_verdicts
from scaling.reporting.sections.limits import cautions, limits_sections
from scaling.reporting.sections.tuning import tuning_sections
from scaling.runs.read import from_frame
from tests.effective_runs import times, transferred, treated_runs


def grid(noise=0.002, scale=1.0):
    """Return runs on a grid of N and D; ``C`` is `scale` times 6ND."""
    n, d = (a.ravel() for a in np.meshgrid(np.geomspace(1e5, 1e7, 6), np.geomspace(1e6, 1e9, 6)))
    loss = 1.7 + 40 / n**0.34 + 410 / d**0.38
    loss = loss * np.exp(noise * np.random.default_rng(2).standard_normal(len(n)))
    return pd.DataFrame({"N": n, "D": d, "C": scale * 6 * n * d, "loss": loss})


@pytest.fixture(scope="module")
def plain():
    """Return a sound fit of runs whose C is 6ND."""
    return sc.fit(grid(), "chinchilla", bootstrap=40, seed=1, backtest=True)


def laid(fit, **options):
    return build(Fits((fit,), table=fit.table), **options)


def facts(document):
    return {fact.name: fact for fact in document.verdict.facts}


def with_rows(fit, **columns):
    return replace(fit, rows={**fit.rows, **columns})


def told(fit, **context):
    return cautions(Context(Fits((fit,), table=fit.table), **context), fit)


# ---------------------------------------------------------------------------- compute of the table


@pytest.mark.parametrize(
    ("scale", "share"), [(1.0, None), (1.4, None), (17.0, "1/17 of"), (0.25, "4 times")]
)
def test_the_tables_own_compute_is_said_where_it_is_another(plain, scale, share):
    fit = with_rows(plain, C=[scale * c for c in plain.rows["C"]])
    document = laid(fit)
    fact = facts(document)["compute (the largest measured)"]
    largest = float((6 * plain.fitted["N"] * plain.fitted["D"]).max())
    if share is None:
        assert fact.sure == "C = 6ND"
        assert not any("Compute here is" in text for text in told(fit))
        return
    own = numbers.quantity(scale * largest)
    assert fact.sure == f"C = 6ND; the table's own C of that run is {own}"
    text = f"Compute here is 6ND, which is {share} the table's own C"
    assert any(c.startswith(text) and c.endswith("targets are read in 6ND.") for c in told(fit))
    assert any(c.startswith(text) for c in document.verdict.cautions)
    asked = facts(laid(fit, target_flops=2 * largest))["compute"]
    assert asked.sure.endswith(f"C of the largest run is {own}")


# ------------------------------------------------------------------------------------------ beaten


def better(fit, ratio):
    """Return the fit, one run of the largest compute having `ratio` times the law's best loss."""
    compute = 6 * fit.fitted["N"] * fit.fitted["D"]
    at = int(np.flatnonzero(fit.rows["used"])[int(np.argmax(compute))])
    best = float(fit.optimal(C=float(compute.max())).loss.iloc[0])
    loss = list(fit.rows["loss"])
    loss[at] = ratio * best
    return with_rows(fit, loss=loss), best


def test_a_run_that_beats_the_law_makes_the_answer_weak(plain):
    assert not any("did better" in text for text in told(plain))
    assert laid(plain).verdict.level == "supported"
    fit, best = better(plain, 0.97)
    note = next(n for n in laid(fit).verdict.reasons if n.code == "SC439")
    assert laid(fit).verdict.level == "weak"
    assert note.text.startswith("A run at this compute did better than the law's best: N ")
    shown = f"loss {numbers.quantity(0.97 * best, 4)} against {numbers.quantity(best, 4)}."
    assert note.text.endswith(shown)
    assert told(fit)[0] == note.text
    assert note.text not in laid(fit).verdict.cautions  # not told twice


def test_a_run_within_noise_is_a_caution_alone(plain):
    spread = float(np.std(plain.rows["residual"]))
    bare = replace(plain, interval=None, draws={})
    fit, _ = better(bare, float(np.exp(-1.5 * spread)))
    assert told(fit)[0].startswith("A run at this compute did better")
    assert "SC439" not in {n.code for n in laid(fit).verdict.reasons}
    fit, _ = better(bare, float(np.exp(-2.5 * spread)))
    assert "SC439" in {n.code for n in laid(fit).verdict.reasons}


def test_a_run_of_more_compute_than_asked_beats_nothing(plain):
    fit, best = better(plain, 0.9)
    shown = f"loss {numbers.quantity(0.9 * best, 4)} against"
    compute = float((6 * plain.fitted["N"] * plain.fitted["D"]).max())
    assert shown in told(fit, target=compute)[0]
    assert not any(shown in text for text in told(fit, target=compute / 10))


# ---------------------------------------------------------------------------------- rolling origin


def origin(factor, rmse, bias):
    return {"factor": factor, "rmse_log": rmse, "bias_log": bias}


def scored(fit, *rows):
    return replace(fit, backtest={"backtest": {"origins": list(rows)}})


def test_an_error_beyond_the_interval_makes_an_extrapolation_weak(plain):
    fit = scored(plain, origin(9.9, 0.0534, 0.04), origin(2.0, 0.9, 0.9))
    compute = float((6 * plain.fitted["N"] * plain.fitted["D"]).max())
    document = laid(fit, target_flops=10 * compute)
    note = next(n for n in document.verdict.reasons if n.code == "SC429")
    assert document.verdict.level == "weak"
    row = fit.optimal(C=10 * compute, interval=0.95).iloc[0]
    half = numbers.share((row.hi - row.lo) / (2 * row.loss))
    assert note.text == (
        "Fitted to the smaller runs alone, the law misses runs at up to 9.9× their compute by "
        f"5.34% (RMSE), too high by 4.0% on average; the interval given here is ±{half}."
    )
    assert not any("Fitted to the smaller" in text for text in document.verdict.cautions)
    sure = scored(plain, origin(9.9, 1e-6, 1e-6), origin(1.2, 0.5, 0.5))
    assert "SC429" not in {n.code for n in laid(sure, target_flops=10 * compute).verdict.reasons}


def test_inside_the_runs_it_stays_a_caution(plain):
    fit = scored(plain, origin(9.9, 0.0534, -0.04))
    verdict = laid(fit).verdict
    assert verdict.level == "supported"
    assert (
        "Fitted to the smaller runs alone, the law misses larger ones, up to 9.9× their compute, "
        "by 5.34% (RMSE), too low by 4.0% on average." in verdict.cautions
    )


def test_small_errors_keep_their_digits():
    assert doubts.direction(0.000012) == ", too high by 0.0012% on average"
    assert doubts.direction(None) == ""
    assert numbers.share(0.00001552) == "0.0016%"
    assert numbers.share(0.0534) == "5.34%"


# ----------------------------------------------------------------------------------------- outside


@pytest.mark.parametrize(
    ("n", "d", "text"),
    [
        (1.0, 2.7, "D* is 2.7× the largest D"),
        (1.1, 0.5, "N* is 1.1× the largest N"),
        (0.9, 0.9, "outside the runs in N and D"),
        (1.5, 1e-4, "N* is 1.5× the largest N, D* is 0.1× the smallest D"),
    ],
)
def test_what_lies_outside_is_named(plain, n, d, text):
    runs = runs_of(plain)
    row = {"N": n * runs.N.max(), "D": d * runs.D.max(), "inside_hull": False}
    assert doubts.outside(plain, row) == text
    assert doubts.outside(plain, {**row, "inside_hull": True}) == ""
    assert doubts.outside(plain, {**row, "inside_hull": None}) == ""


def test_an_answer_at_the_largest_compute_may_lie_outside(plain):
    small = plain.fitted["N"].min()
    keep = [
        bool(u) and n <= 3 * small for u, n in zip(plain.rows["used"], plain.rows["N"], strict=True)
    ]
    fit = with_rows(plain, used=keep)
    document = laid(fit)
    row = fit.optimal(C=float((6 * fit.fitted["N"] * fit.fitted["D"]).max())).iloc[0]
    assert not row.inside_hull
    assert "no target was given; outside the runs)" in document.verdict.headline
    extrapolation = facts(document)["extrapolation"]
    assert extrapolation.value == "1× the largest run"
    assert extrapolation.sure == doubts.outside(fit, row)
    assert "N* is " in extrapolation.sure
    asked = laid(fit, target_flops=row.C / 1.01).verdict.headline
    assert "(outside the runs)" in asked


# ------------------------------------------------------------------------------------------- facts


def test_the_floor_is_a_fact(plain):
    fact = facts(laid(plain))["E, irreducible loss"]
    assert fact.value == numbers.within(plain.params["E"], *plain.intervals["E"])
    assert fact.sure == f"95% {numbers.interval(*plain.intervals['E'])}"
    held = replace(
        plain,
        params={**plain.params, "E": 0.0},
        interval=replace(plain.interval, params={**plain.intervals, "E": (0.0, 0.0)}),
    )
    assert facts(laid(held))["E, irreducible loss"].sure == "at its bound in every replicate"
    assert len(laid(plain).verdict.facts) <= 8


@pytest.fixture(scope="module")
def repeated():
    """Return a law of D alone, of runs that repeat their data."""
    data = np.geomspace(1e4, 1e6, 12)
    noise = np.exp(0.01 * np.random.default_rng(0).standard_normal(12))
    frame = pd.DataFrame({"N": 1e5, "D": data, "loss": (0.4 + 30 / data**0.4) * noise})
    frame["epochs"], frame["D_unique"] = 4.0, data / 4
    return sc.fit(frame, "power-D", bootstrap=40, seed=1, backtest=False)


def test_a_curve_has_its_exponent_and_short_intervals(repeated):
    found = facts(laid(repeated))
    exponent = found["beta, exponent of D"]
    assert exponent.value == numbers.within(repeated.params["beta"], *repeated.intervals["beta"])
    assert exponent.sure == f"95% {numbers.interval(*repeated.intervals['beta'])}"
    assert "E, irreducible loss" in found
    row = repeated.predict(D=1e6, interval=0.95).iloc[0]
    loss = next(fact for name, fact in found.items() if name.startswith("loss"))
    assert loss.sure.split("; ")[0] == f"95% {numbers.interval(row.lo, row.hi)}"
    assert "bootstrap" not in loss.sure


def test_repeated_data_are_told_from_different_ones(repeated):
    document = laid(repeated)
    fact = next(f for name, f in facts(document).items() if name.startswith("D ["))
    assert fact.sure == "2.50×10⁵ different, 4.0 epochs"
    (table,) = [t for t in document.blocks if getattr(t, "caption", "") == "Predicted loss along D"]
    assert "repeats included" in table.note
    rows = repeated.rows
    once = with_rows(repeated, epochs=[1.0] * len(rows["D"]), D_unique=rows["D"])
    assert next(f for n, f in facts(laid(once)).items() if n.startswith("D [")).sure == ""


def test_what_n_counts_is_said_of_n(plain):
    table = {**plain.table, "convention": "N = body + head; C = 3 x forward"}
    document = build(Fits((plain,), table=table))
    fact = next(f for name, f in facts(document).items() if name.startswith("N* ["))
    assert fact.sure.endswith("; N = body + head")
    other = build(Fits((plain,), table={**plain.table, "convention": "as the paper counts"}))
    assert "paper" not in next(f for n, f in facts(other).items() if n.startswith("N* [")).sure


# ------------------------------------------------------------------------------ limits and method


def varied(fit, values):
    return replace(fit, sensitivity={"a": values})


def test_limits_name_their_subject_and_the_share_of_variants(plain):
    low, high = plain.intervals["a"]
    middle = (low + high) / 2
    fit = varied(plain, [middle, middle, middle, 2 * high, None])
    assert any("(4 variants, 75% of them inside its interval)" in text for text in told(fit))
    bare = replace(fit, interval=None, draws={})
    assert any(text.endswith("(4 variants).") for text in told(bare))
    assert told(plain)[-1].startswith("The answer holds for the data")
    assert any("was not tried (--sensitivity)" in text for text in told(plain))


def test_variants_that_a_law_cannot_have_are_not_asked_for(repeated):
    told_of_curve = " ".join(told(repeated))
    assert "--sensitivity" not in told_of_curve
    assert "the variants are made for laws of N and D that divide compute" in told_of_curve
    assert "Compute here is" not in told_of_curve


def test_why_there_is_no_panel_is_said(repeated, plain):
    assert _unable(repeated) == "it is for laws of N and D, and power-D reads D"
    lost = replace(plain, status="not-identified")
    assert _unable(lost) == "the fit of chinchilla is not-identified"
    rows, message = panel(None, repeated, None, None)
    assert rows == {}
    assert message.text == f"No sensitivity panel: {_unable(repeated)}."


# --------------------------------------------------------------------------------------- next runs

CHOSEN = {
    "belief": "posterior of chinchilla, 32 draws",
    "runs": [{"N": 1e6, "D": 1e7, "C": 6e13, "repeats": 1}],
    "se": {"before": {"a": 0.04}, "after": {"a": 0.02}},
    "gain": {"a": 0.5},
    "command": "scaling sweep suggest out/x",
}


def section_of(fits, heading):
    found = [s for s in limits_sections(Context(fits)) if s.heading == heading]
    return found[0].blocks if found else None


def suggested(fit, **more):
    fits = Fits((fit,), table=fit.table, provenance={"next": {**CHOSEN, **more}})
    return section_of(fits, "The next most useful runs")


def test_next_runs_say_what_they_were_chosen_for(plain):
    largest = float((6 * plain.fitted["N"] * plain.fitted["D"]).max())
    blocks = suggested(plain, target=10 * largest)
    ten, own = numbers.quantity(10 * largest), numbers.quantity(largest)
    assert blocks[0].text == (
        f"Chosen for C = {ten} FLOP, 10× the largest run, not for the C of the answer, {own}; "
        "belief: posterior of chinchilla, 32 draws."
    )
    same = suggested(plain, target=largest)[0].text
    assert same.startswith(f"Chosen to sharpen the answer at C = {own} FLOP; belief")
    gain = next(b for b in blocks if getattr(b, "caption", "").startswith("Expected"))
    assert gain.columns[1] == "SE now (posterior)"
    table = with_rows(plain, C=[17 * c for c in plain.rows["C"]])
    text = suggested(table, target=170 * largest)[0].text
    assert "10× the largest run by the table's own C, not for" in text


def test_a_refusal_names_the_command_only_where_it_could_help(plain, repeated):
    refused = {"runs": [], "reason": "the reason"}
    assert any(isinstance(b, Listing) for b in suggested(plain, **refused))
    blocks = suggested(repeated, **refused)
    assert [getattr(b, "text", "") for b in blocks] == ["No runs are suggested: the reason."]
    assert section_of(Fits((repeated,)), "The next most useful runs") is None


# ---------------------------------------------------------------------------------- effective data


def effective_of(worth, form="multiplier"):
    table = treated_runs(worth, sizes=(4e6,), seeds=2)
    return analyse(
        from_frame(table), options=Options(bootstrap=60, seed=1), effective=Ask(form, "none")
    )


def test_what_a_treatment_is_worth_carries_its_limits():
    fits = replace(effective_of(times(1.8)), fits=())
    (item,) = fits.effective[0].treatments
    ratios = [c["ratio"] for c in item.cells]
    low, high = (numbers.quantity(f(ratios), 2) for f in (min, max))
    verdict = build(fits).verdicts[-1]
    assert verdict.cautions[0] == (
        f"What treated is worth rests on {len(item.cells)} cells of N and D, whose own D_E/D_F go "
        f"from {low} to {high}."
    )
    far = sum(c["reach"] != "inside" for c in item.cells)
    assert far == 1
    assert verdict.cautions[1].startswith(f"1 of {len(item.cells)} cells lie beyond")
    sections = limits_sections(Context(fits))
    assert [s.heading for s in sections] == [
        "Limits and next runs",
        "Limits: effective data, treated",
    ]


@pytest.mark.parametrize(
    ("interval", "way"), [((0.1, 0.3), "rises"), ((-0.3, -0.1), "falls"), ((-0.1, 0.1), None)]
)
def test_a_worth_that_goes_with_the_data_is_weak(interval, way):
    fits = effective_of(times(1.8))
    (item,) = fits.effective[0].treatments
    assert item.verdict == "helps"
    slopes = {"D": {"slope": sum(interval) / 2, "interval": interval}}
    other = replace(item, multiplier={**item.multiplier, "slopes": slopes}, messages=())
    found = [replace(fits.effective[0], treatments=(other,), messages=())]
    (verdict,) = effective_verdicts(found)
    assert verdict.level == ("weak" if way else "supported")
    assert any(f"D_E/D_F {way} with D" in text for text in verdict.cautions) == bool(way)


def test_transferred_data_are_a_mean_over_the_data():
    fits = effective_of(transferred(2e5, 0.2), "transfer")
    (item,) = fits.effective[0].treatments
    assert item.transfer["intervals"]["alpha"][1] < 1
    verdict = build(fits).verdicts[-1]
    assert verdict.level == "weak"
    assert any("D_E/D_F falls with D (alpha" in text for text in verdict.cautions)


# --------------------------------------------------------------------------------- the tuned rate


def tuned(ratios, **check):
    optima = [{"N": 1e4 * 2**k, "D": r * 1e4 * 2**k, "lr": 0.01, "se": 0.1}
              for k, r in enumerate(ratios)]  # fmt: skip
    seen = {"N": 1e5, "predicted": 0.005, "lo": 0.002, "hi": 0.01, "found": 0.004, "agrees": True}
    law = {"recipe": "r", "k": 9.0, "p": -0.7, "level": 0.95, "p_interval": [-1.0, -0.3]}
    found = {**law, "optima": optima, "check": {**seen, **check}}
    (section,) = tuning_sections(Context(Fits((), provenance={"tuned": found})))
    return " ".join(block.text for block in section.blocks if isinstance(block, Paragraph))


def test_the_tuned_law_says_what_it_rests_on():
    text = tuned([20, 20, 20], se=0.41)
    assert "of the 3 optima below" in text
    assert "D = 20 N in every optimum, so p mixes size and length." in text
    assert "0.00400 (SE of ln rate 0.41) was best" in text
    assert "D = 20 to 24 N in every optimum" in tuned([20, 24])
    assert "mixes" not in tuned([20, 40, 80])
    assert "mixes" not in tuned([20])
    assert "SE of ln rate" not in tuned([20, 40])
