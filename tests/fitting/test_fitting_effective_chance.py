"""A reference whose curve is a step measures no data, and nothing is concluded from it."""

import numpy as np
import pandas as pd

import scaling as sc


def step_then_flat(seed):
    """Errors that fall once and then stay, near chance; the other group lies a little higher."""
    rng = np.random.default_rng(seed)
    rows = [
        {"group": group, "N": 1e4, "D": d, "seed": s,
         "loss": 0.89 + 0.012 * (d == 500) + 0.006 * (group == "other")
         + 0.0005 * rng.standard_normal()}
        for group in ("none", "other") for d in (500, 1000, 2000, 4000) for s in range(2)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_curve_on_its_bound_gives_no_verdict():
    found = sc.effective(step_then_flat(1), reference="none", bootstrap=60)
    (treatment,) = found.treatments
    assert treatment.verdict == "not identified"
    assert "is not identified" in treatment.sentence
    assert [m.code for m in treatment.messages if m.severity == "error"] == ["SC446"]
    again = type(found).from_dict(found.as_dict())
    assert again.treatments[0].verdict == "not identified"
