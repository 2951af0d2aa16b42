"""What a report says of how its runs came about: what they took, and the rate that was tuned."""

import json
from dataclasses import replace

import pytest

from scaling.fitting.result import Fits
from scaling.fitting.stored import load
from scaling.reporting import Report, build
from scaling.reporting.context import Context
from scaling.reporting.sections.cost import cost_sections
from scaling.reporting.sections.tuning import tuning_sections
from scaling.runs.costs import costs_of
from scaling.runs.records import PRETRAIN
from tests.reporting.conftest import isoflop_lines

COSTS = [
    {"group": "eager", "points": 4, "C": 4e12, "training_seconds": 400.0, "compile_seconds": 0.0,
     "evaluation_seconds": 3.0, "flops_per_second": 1e10, "devices": ["cpu"]},
    {"group": "compiled", "points": 4, "C": 4e12, "training_seconds": 200.0,
     "compile_seconds": 50.0, "evaluation_seconds": 3.0, "flops_per_second": 2e10,
     "devices": ["cpu"]},
]  # fmt: skip
TUNED = {
    "schema": "scaling/tuning@1", "recipe": "bytes-small@1", "k": 9.2, "p": -0.69, "level": 0.95,
    "p_interval": [-1.04, -0.34], "messages": [],
    "optima": [{"N": 3584.0, "D": 8e4, "lr": 0.031, "se": 0.11}],
    "check": {"N": 48640.0, "predicted": 0.0054, "lo": 0.003, "hi": 0.009, "found": 0.0039,
              "agrees": True},
}  # fmt: skip


def told(**provenance):
    return Context(Fits((), provenance=provenance))


def text_of(sections):
    parts = []
    for section in sections:
        for block in section.blocks:
            parts += [getattr(block, "text", "")]
            parts += [" ".join(row) for row in getattr(block, "rows", ())]
    return " ".join(parts)


def test_what_groups_took_is_compared():
    said = text_of(cost_sections(told(costs=COSTS)))
    assert "compiled trained at 2.00 times the speed of eager in training alone" in said
    assert "and at 1.60 times with the time of compiling included (50 s of compiled)" in said
    assert "6.67 min" in said
    assert cost_sections(told(costs=[])) == cost_sections(told()) == []


def test_groups_of_other_compute_are_not_compared():
    other = [COSTS[0], {**COSTS[1], "C": 8e12}]
    assert "times the speed" not in text_of(cost_sections(told(costs=other)))


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (TUNED["check"], "the law agrees"),
        ({**TUNED["check"], "agrees": False}, "the law does not agree"),
        ({**TUNED["check"], "found": None}, "is the last one"),
        (None, "p = -0.69 (-1.04 to -0.34, 95%"),
    ],
)
def test_the_tuned_rate_is_told(check, said):
    assert said in text_of(tuning_sections(told(tuned={**TUNED, "check": check})))
    assert tuning_sections(told()) == []


def test_both_reach_every_rendering_and_survive_a_file(tmp_path, analysed):
    found = analysed(isoflop_lines(4), bootstrap=20)
    fits = replace(found, provenance={**found.provenance, "costs": COSTS, "tuned": TUNED})
    fits.save(tmp_path / "fit.json")
    report = Report(build(load(tmp_path / "fit.json")))
    for name in ("r.html", "r.md", "r.txt"):
        report.write(tmp_path / name)
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "2.00 times the speed" in " ".join(text.split())
        assert "Learning rate" in text


# ---------------------------------------------------------------------------------- from records


def record(group, seconds, flops, **more):
    effort = {"active_seconds": seconds, "evaluation_seconds": 1.0, "compile_seconds": 0.5}
    point = {"id": f"{group}{seconds}", "point": {"group": group}}
    return {**point, "effort": effort, "C_spent": flops, "provenance": {"device": "cpu"}, **more}


def test_costs_add_up_over_groups_and_stages(tmp_path):
    rows = [record("a", 2.0, 1e9), record("b", 3.0, 2e9), record("a", 1.0, 5e8)]
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    first = tmp_path / PRETRAIN
    first.mkdir()
    (first / "records.jsonl").write_text(json.dumps(record("x", 4.0, 3e9)) + "\n")
    found = {cost["group"]: cost for cost in costs_of(tmp_path)}
    assert list(found) == ["a", "b", "pretrain"]
    assert (found["a"]["points"], found["a"]["C"]) == (2, 1.5e9)
    assert found["a"]["training_seconds"] == 3.0
    assert found["a"]["flops_per_second"] == 5e8
    assert found["pretrain"]["C"] == 3e9
    assert costs_of(tmp_path / "nothing") == []
