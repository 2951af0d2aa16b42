"""Sections that are well formed each, and cannot be meant together."""

import pytest

from scaling.errors import ConfigError
from scaling.planning.contradictions import OF_KIND
from scaling.planning.study import check_study, read_study
from tests.planning.studies import fault_of, planned, study

VALID = {
    "isoflop": {"budgets": [1e12], "sizes": [1e4, 2e4]},
    "grid": {"params": [1e4], "data": [1e6]},
    "ladder": {"params": [1e4], "ratio": 20.0},
    "l-shape": {"params": [1e4], "data": [1e6]},
    "sobol": {"box": {"N": [1e4, 1e5], "D": [1e6, 1e7]}},
    "ratio": {"params": [1e4], "ratio": 20.0},
    "points": {"points": [[1e4, 1e6]]},
    "optimal": {"budget_flops": 1e15},
}
VALUES = {
    "budgets": [1e12], "sizes": 5, "span": 3.0, "params": [1e4], "data": [1e6], "ratio": 3.0,
    "multipliers": [1.0], "corner": "large", "box": {"N": [1e4, 1e5], "C": [1e12, 1e13]},
    "count": 8, "decision": "size", "points": [[1e4, 1e6]],
}  # fmt: skip
TARGET = {"study": {"target_flops": 1e20}}
CENTER = {"N": 1e4, "C": 1e10}


def faults(design, **sections):
    with pytest.raises(ConfigError) as caught:
        study(design, **sections)
    return caught.value.faults


@pytest.mark.parametrize("kind", VALID)
def test_the_smallest_study_of_each_kind_passes(kind):
    common = {"center": CENTER, "seeds": 2, "seeds_at_smallest": 3, "extra": [[1e4, 1e6, 2]],
              "max_epochs": 2.0, "trunks": True}  # fmt: skip
    assert study({"kind": kind, **VALID[kind]}, **TARGET).design.kind == kind
    if kind == "optimal":  # the choice says how often each run is made
        found = faults({"kind": kind, **VALID[kind], **common}, **TARGET)
        assert [f.where.split()[-1] for f in found] == ["seeds", "seeds_at_smallest"]
        common = {k: v for k, v in common.items() if not k.startswith("seeds")}
    made = study({"kind": kind, **VALID[kind], **common}, **TARGET).design
    assert made.seeds == common.get("seeds", 1)
    assert made.extra == [[1e4, 1e6, 2]]


@pytest.mark.parametrize(
    ("kind", "key"), [(kind, key) for kind in VALID for key in VALUES if key not in OF_KIND[kind]]
)
def test_keys_of_another_kind_are_refused(kind, key):
    (fault,) = faults({"kind": kind, **VALID[kind], key: VALUES[key]}, **TARGET)
    assert fault.code == "SC012"
    assert fault.where == f"study [design] {key}"
    assert kind in fault.found
    for known in OF_KIND[kind]:
        assert known in fault.expected


@pytest.mark.parametrize(
    ("kind", "key"),
    [("isoflop", "budgets"), ("l-shape", "params"), ("l-shape", "data"), ("sobol", "box"),
     ("ratio", "params"), ("ratio", "ratio"), ("points", "points"), ("grid", "data")],
)  # fmt: skip
def test_what_a_kind_needs(kind, key):
    design = {k: v for k, v in VALID[kind].items() if k != key}
    (fault,) = faults({"kind": kind, **design}, **TARGET)
    assert fault.code == "SC012"
    assert fault.expected


CONTRADICTIONS = {
    "two budgets": ({"kind": "optimal", "budget_flops": 1e15, "budget_gpu_hours": 2.0}, TARGET,
                    "one of the two"),
    "centre of sizes": ({"kind": "isoflop", "budgets": [1e12], "sizes": 5}, {}, "[prior]"),
    "centre of a ladder": ({"kind": "ladder", "params": [1e4]}, {}, "ratio = 20"),
    "ladder of nothing": ({"kind": "ladder", "ratio": 20.0}, {}, "params, or budgets"),
    "ladder of both": ({"kind": "ladder", "ratio": 20.0, "params": [1e4], "budgets": [1e12],
                        "center": CENTER}, {}, "params, or budgets"),
    "ladder on a level": ({"kind": "ladder", "params": [1e4, 2e4],
                           "center": {**CENTER, "exponent": 0.0}}, {}, "above 0"),
    "ladder without a belief": ({"kind": "ladder", "ratio": 20.0, "budgets": [1e12]}, {},
                                "where the optima are"),
    "reversed range": ({"kind": "sobol", "box": {"N": [1e5, 1e4], "D": [1e6, 1e7]}}, {},
                       "low below high"),
    "empty range": ({"kind": "sobol", "box": {"N": [1e5, 1e5], "D": [1e6, 1e7]}}, {},
                    "low below high"),
    "one range": ({"kind": "sobol", "box": {"N": [1e4, 1e5]}}, {}, "two or three"),
    "no range of cost": ({"kind": "optimal", "budget_flops": 1e15, "box": {"N": [1e4, 1e5]}},
                         TARGET, "range of C or D"),
    "two priors": ({"kind": "points", "points": [[1e4, 1e6]]},
                   {"prior": {"fit": "f.json", "laws": [{"published": "hoffmann-2022"}]}},
                   "one of the two"),
    "two tunings": ({"kind": "points", "points": [[1e4, 1e6]]},
                    {"tuning": {"sizes": [1e4, 2e4, 4e4]}, "recipe": {"tuned": "t.json"}},
                    "one of the two"),
    "unknown law": ({"kind": "points", "points": [[1e4, 1e6]]}, {"fit": [{"law": "hinchilla"}]},
                    "chinchilla"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_what_cannot_be_meant_together(name):
    design, sections, words = CONTRADICTIONS[name]
    (fault,) = faults(design, **sections)
    assert words in f"{fault.expected} {fault.mend}"
    assert fault.found


def test_what_an_option_may_give_is_missed_when_the_plan_is_made():
    """``--budget-flops`` and ``--target-flops`` serve a study that names neither."""
    for design, sections, where in (
        ({"kind": "optimal"}, TARGET, "[design] budget_flops"),
        ({"kind": "optimal", "budget_flops": 1e15}, {}, "[study] target_flops"),
    ):
        fault = fault_of(planned, design, **sections)
        assert (fault.code, fault.where) == ("SC012", where)


def test_a_condition_of_a_fit_is_read_before_anything_is_spent():
    (fault,) = faults(
        {"kind": "points", "points": [[1e4, 1e6]]}, fit=[{"law": "chinchilla", "where": "C >"}]
    )
    assert fault.code == "SC020"


def test_a_reference_is_a_variant():
    sections = {
        "variant": [{"name": "plain"}, {"name": "fast", "recipe": {"overrides": {"lr": 0.01}}}],
        "fit": [{"effective": "multiplier", "reference": "none"}],
    }
    (fault,) = faults({"kind": "grid", **VALID["grid"]}, **sections)
    assert fault.code == "SC012"
    assert "plain, fast" in fault.expected


def test_no_law_beside_effective_data_unless_one_is_named():
    design = {"kind": "grid", **VALID["grid"]}
    asked = {"effective": "transfer", "reference": "a"}
    assert study(design, fit=[asked]).fit[0].approach == []
    assert study(design, fit=[{**asked, "law": "power-D"}]).fit[0].approach


def test_all_contradictions_are_told_at_once_with_the_file(write):
    path = write(
        "s.toml",
        'schema = 1\n[data]\nsource = "stdlib"\n[design]\nkind = "ratio"\nspan = 2.0\n'
        'budget_flops = 1e12\nbudget_gpu_hours = 1.0\n[[fit]]\nlaw = "nothing"\n',
    )
    with pytest.raises(ConfigError) as caught:
        read_study(path)
    assert len(caught.value.faults) == 5  # span, params, ratio, two budgets, the law
    assert sum(f.where.startswith("s.toml [design]") for f in caught.value.faults) == 4


@pytest.mark.parametrize("data", [{}, {"source": "stdlib", "table": "r.csv"}])
def test_runs_come_from_one_place(data):
    with pytest.raises(ConfigError) as caught:
        check_study({"schema": 1, "data": data, "design": {"kind": "grid", **VALID["grid"]}})
    assert "either source or table" in caught.value.faults[0].found


def test_a_source_needs_a_design_and_a_table_none():
    with pytest.raises(ConfigError) as caught:
        check_study({"schema": 1, "data": {"source": "stdlib"}})
    assert caught.value.faults[0].where == "study [design]"
    assert check_study({"schema": 1, "data": {"table": "r.csv"}}).design is None


def test_a_formula_is_for_finished_tables():
    found = faults({"kind": "grid", **VALID["grid"]}, fit=[{"formula": "E + A/N**alpha"}])
    assert [f.where.split(" ", 1)[1] for f in found] == ["[[fit]] formula"]


def test_names_of_fits_stand_once():
    found = faults({"kind": "grid", **VALID["grid"]}, fit=[{"name": "x"}, {"name": "x"}])
    assert [f.found for f in found] == ['"x" twice']


def test_some_fit_is_reported():
    found = faults({"kind": "grid", **VALID["grid"]}, fit=[{"report": False}])
    assert [f.where.split(" ", 1)[1] for f in found] == ["[[fit]] report"]
