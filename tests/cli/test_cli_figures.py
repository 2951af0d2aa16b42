"""Published figures of isoFLOP points through the program (handbook, data, sets 2 and 3).

What a user types must give what `tests/figures` gets from the engine, to the same tolerances.
"""

import numpy as np
import pandas as pd
import pytest

NO_DRAWS = ("--bootstrap", 0, "--json")


def codes(part):
    return {m["code"] for m in part["messages"]}


# ------------------------------------------------------------ isoFLOP points of Llama 3 (section 2)

ISOFLOPS = "isoflop_llama3_scalefit/isoflops.csv"
RAW, EXP = "llama_3__raw_loss", "llama_3__exp_loss"
MASSIVE = "ml_scalefit__massivetext__chinchilla"
KEPT = ("--approach", "isoflop", "--minimum", "parabola", "--edge", "keep")


def test_parabolas_of_the_raw_loss_of_llama_3(document, shared_file):
    """Approach 2 of the Llama 3 points: b .53678 (printed .5368; the Llama 3 paper has .537)."""
    where = f'experiment == "{RAW}"'
    found = document("fit", shared_file(ISOFLOPS), "--where", where, *KEPT, *NO_DRAWS)
    assert (found["table"]["rows"], found["table"]["used"]) == (390, 133)
    assert found["fits"] == []
    (line,) = found["allocations"]
    assert (line["a"], line["b"]) == pytest.approx((0.463221, 0.536779), abs=5e-6)
    assert line["line"]["D"][1] == pytest.approx(line["b"], abs=1e-12)
    assert [m["bracketed"] for m in line["minima"]] == [True] * 10


def test_surface_beside_the_parabolas_on_the_same_points(document, shared_file):
    """Level least squares gives a .5029 where the parabolas give .4632: both are shown."""
    found = document(
        "fit", shared_file(ISOFLOPS), "--where", f'experiment == "{RAW}"', "--objective", "mse",
        "--minimum", "parabola", "--edge", "keep", *NO_DRAWS,
    )  # fmt: skip
    (fit,) = found["fits"]
    assert fit["params"]["a"] == pytest.approx(0.5029, abs=2e-4)
    expected = {"alpha": 0.31001, "beta": 0.31364}
    assert {k: fit["params"][k] for k in expected} == pytest.approx(expected, abs=0.001)
    assert fit["params"]["E"] == pytest.approx(0.60467, abs=0.002)
    assert [a["approach"] for a in found["allocations"]] == ["surface", "isoflop"]
    (pair,) = found["agreement"]
    assert pair["a"] == pytest.approx([0.5029, 0.463221], abs=2e-4)


def test_parabolas_of_the_other_experiments(document, shared_file):
    """Exponentiated Llama 3: b .53688; ml_scalefit: a .5134, its two edge minima kept.

    The b of ml_scalefit is another parabola's, in D; here D is read off the budget.
    """
    found = document("fit", shared_file(ISOFLOPS), "--group", "experiment", *KEPT, *NO_DRAWS)
    by_group = {a["group"]: a for a in found["allocations"]}
    assert by_group.keys() == {RAW, EXP, MASSIVE}
    assert by_group[EXP]["b"] == pytest.approx(0.53688, abs=5e-4)
    assert by_group[MASSIVE]["a"] == pytest.approx(0.5134, abs=0.001)
    assert "SC406" in codes(by_group[MASSIVE])
    assert sum(m["bracketed"] for m in by_group[MASSIVE]["minima"]) == 7


def test_flagged_rows_of_llama_3_dropped(document, shared_file):
    """The flags take away the two largest budgets, and with them the answer: b .5000."""
    where = f'experiment == "{RAW}" and outlier == "False"'
    found = document("fit", shared_file(ISOFLOPS), "--where", where, *KEPT, *NO_DRAWS)
    assert found["table"]["used"] == 116
    (line,) = found["allocations"]
    assert (line["a"], line["b"]) == pytest.approx((0.5, 0.5), abs=0.001)
    assert len(line["minima"]) == 8


# -------------------------------------------------- ten configurations of Porian et al. (section 3)

PORIAN = "porian2024_refinedweb"
POINTS = (
    "--group", "id", "--approach", "isoflop", "--map", 'N=source["n"]', "--map",
    'D=source["tokens"]', "--map", 'C=source["flops"]', "--map", 'budget=source["flops"]',
    *NO_DRAWS,
)  # fmt: skip


@pytest.fixture
def published(shared_file):
    frame = pd.read_csv(shared_file(f"{PORIAN}/published_fits.csv")).set_index("id")
    assert len(frame) == 10
    return frame


def explained(rows):
    """Unweighted R² of a line in logs, from the rows that were used."""
    used = np.array(rows["used"])
    y = np.log(np.array(rows["n_star_bootstrap_median"], float)[used])
    fitted = np.log(np.array(rows["predicted"], float)[used])
    return 1 - ((y - fitted) ** 2).sum() / ((y - y.mean()) ** 2).sum()


def test_weighted_lines_through_porians_optima(document, shared_file, published):
    """All ten published exponents and R²: ln N* on ln C, weights 1/SD², 115 of 118 budgets.

    N is mapped for the reader alone, which takes the column param_count for sizes.
    """
    found = document(
        "fit", shared_file(f"{PORIAN}/optima.csv"), "--group", "id", "--formula", "k*C**a",
        "--response", "n_star_bootstrap_median", "--objective", "log-mse",
        "--noise", "n_star_logstd", "--map", 'C=source["flops"]',
        "--map", 'N=source["n_opt_interp"]', "--where", "n_star_bootstrap_median > 0",
        "--full", *NO_DRAWS,
    )  # fmt: skip
    assert (found["table"]["rows"], found["table"]["used"]) == (118, 115)
    fits = {f["group"]: f for f in found["fits"]}
    exponents = {name: f["params"]["a"] for name, f in fits.items()}
    assert exponents == pytest.approx(published.n_exponent.to_dict(), abs=1e-4)
    shares = {name: explained(f["rows"]) for name, f in fits.items()}
    assert shares == pytest.approx(published.n_r2.to_dict(), abs=1e-4)
    assert sum(f["n"] for f in fits.values()) == 115


@pytest.mark.parametrize(("minimum", "tolerance"), [("spline", 0.01), (None, 0.02)])
def test_porians_exponents_from_the_isoflop_points(
    document, shared_file, published, minimum, tolerance
):
    """Published exponents from the runs themselves, by interpolation and by the default curve."""
    chosen = () if minimum is None else ("--minimum", minimum)
    found = document("fit", shared_file(f"{PORIAN}/isoflop_points.csv"), *POINTS, *chosen)
    assert found["table"]["used"] == 1164
    exponents = {a["group"]: a["a"] for a in found["allocations"]}
    assert exponents == pytest.approx(published.n_exponent.to_dict(), abs=tolerance)


def test_a_parabola_over_wide_windows_is_off_and_says_so(document, shared_file, published):
    """Negative check: .602 published, .66 by parabolas of the loss through all points."""
    name = "rw/base/short/kaplan/standard/val"
    found = document(
        "fit", shared_file(f"{PORIAN}/isoflop_points.csv"), *POINTS, "--minimum", "parabola",
        "--where", f'id == "{name}"',
    )  # fmt: skip
    (line,) = found["allocations"]
    assert abs(line["a"] - published.n_exponent[name]) > 0.05
    assert {m["severity"] for m in line["messages"] if m["code"] == "SC424"} == {"warning"}
