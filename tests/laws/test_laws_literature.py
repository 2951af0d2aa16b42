"""Values that papers printed are those of their own examples, and lines mean what they say."""

import numpy as np
import pandas as pd
import pytest

from scaling.laws.literature import LITERATURE, PF_DAY, PORIAN

BY_SOURCE = {item.source: item for item in LITERATURE}


def test_lines_stand_at_the_exponents_beside_them():
    for item in LITERATURE:
        for name, (coefficient, exponent) in item.lines.items():
            assert coefficient > 0
            quantity = "b" if name == "D" else "a"
            assert item.values[quantity] == exponent
    assert {s for s, item in BY_SOURCE.items() if item.lines} == {
        "Kaplan et al. 2020", "DeepSeek-AI 2024", "Dubey et al. 2024 (Llama 3)"}  # fmt: skip


def test_lines_of_kaplan_are_read_at_one_petaflop_day():
    kaplan = BY_SOURCE["Kaplan et al. 2020"]
    assert kaplan.line("N", PF_DAY) == pytest.approx(1.3e9, rel=1e-12)
    assert kaplan.line("D", np.array([PF_DAY, 10 * PF_DAY])) == pytest.approx(
        [2e10, 2e10 * 10**0.27], rel=1e-12
    )


def test_lines_of_deepseek_spend_the_budget():
    deepseek = BY_SOURCE["DeepSeek-AI 2024"]
    c = np.geomspace(*deepseek.span, 5)
    assert deepseek.line("M", c) * deepseek.line("D", c) == pytest.approx(c, rel=1e-3)


def test_the_line_of_llama_is_of_tokens_and_rounded():
    """Two digits put the paper's own 16.55T tokens at 3.8e25 FLOP 37% lower, as its note says."""
    tokens = BY_SOURCE["Dubey et al. 2024 (Llama 3)"].line("D", 3.8e25)
    assert tokens / 16.55e12 - 1 == pytest.approx(-0.37, abs=0.01)


def test_exponents_of_one_budget_add_up_to_one():
    for item in LITERATURE:
        if {"a", "b"} <= set(item.values):
            assert item.values["a"] + item.values["b"] == pytest.approx(1.0, abs=1e-9)
    for item in LITERATURE:
        assert item.span is None or 0 < item.span[0] < item.span[1]


def test_values_of_porian_lie_in_their_intervals_and_fall_along_the_corrections():
    assert len(PORIAN) == 10
    for item in PORIAN:
        low, high = item.intervals["a"]
        assert low < item.values["a"] < high
    corrected = [item.values["a"] for item in PORIAN[:5]]
    assert corrected == sorted(corrected, reverse=True)


def test_values_of_porian_are_those_of_their_release(shared_file):
    table = pd.read_csv(shared_file("porian2024_refinedweb/published_fits.csv"))
    for item, row in zip(PORIAN, table.to_dict("records"), strict=True):
        assert item.values["a"] == pytest.approx(row["n_exponent"], abs=5e-7)
        assert item.intervals["a"] == pytest.approx((row["ci2.5"], row["ci97.5"]), abs=5e-7)
