"""The run tables of eight public studies: read with at most two maps each, and read right."""

import numpy as np
import pandas as pd
import pytest

from scaling.errors import TableError
from scaling.runs.detect import AmbiguousColumns
from scaling.runs.read import read_table

EPOCH = "chinchilla_epoch2024/svg_extracted_data.csv"
ISOFLOPS = "isoflop_llama3_scalefit/isoflops.csv"
PORIAN = "porian2024_refinedweb/isoflop_points.csv"
LANGUAGE = "alabdulmohsin2022_language/benchmark.lang.csv"
MUENNIGHOFF = "muennighoff2023/runs.csv"
GADRE = "gadre2024_redpajama/models_rpj.csv"
OPENCLIP = "openclip_cherti2023/zeroshot_results.csv"
FLAN = "finetune_flan_lin2024/flan.csv"

# file, options (at most two maps), rows, and by which column of the file each role is filled
READINGS = {
    "Epoch": (EPOCH, {}, 245, {"N": "Model Size", "C": "Training FLOP", "loss": "loss"}),
    "Llama 3 and ml_scalefit": (
        ISOFLOPS,
        {},
        390,
        {"N": "params", "D": "tokens", "budget": "budget", "loss": "loss", "group": "experiment"},
    ),
    "Porian": (PORIAN, {}, 1164, {"N": "n", "D": "tokens", "C": "flops", "loss": "loss"}),
    "Alabdulmohsin": (
        LANGUAGE,
        {"maps": {"group": 'Domain + " / " + Model + " / " + Task'}},
        1399,
        {"D": "Seen Examples", "loss": "Loss"},
    ),
    "Muennighoff": (
        MUENNIGHOFF,
        {},
        182,
        {"N": "params", "D": "tokens", "D_unique": "unique_tokens", "loss": "loss", "run": "id"},
    ),
    "Gadre": (
        GADRE,
        {"maps": {"loss": "loss_c4_val"}},
        35,
        {"N": "N", "D": "D", "C": "flops", "loss": "loss_c4_val", "run": "name"},
    ),
}


def exact(path):
    """Read every number as it is written: `read_csv` of pandas 2 is off by a last bit."""
    return pd.read_csv(path, dtype=str).apply(number)


def number(column):
    """Return the column as numbers where all of it are."""
    try:
        return column.astype(float)
    except ValueError:
        return column


@pytest.mark.parametrize("study", READINGS)
def test_a_table_is_read_right(study, shared_file):
    name, options, rows, sources = READINGS[study]
    path = shared_file(name)
    table = read_table(path, **options)
    raw = exact(path)
    assert len(options.get("maps", {})) <= 2
    assert (len(table), int(table.used.sum())) == (rows, rows)
    assert table.rows.tolist() == list(range(2, rows + 2))
    for role, header in sources.items():
        if table.frame[role].dtype == object:
            assert table.frame[role].tolist() == raw[header].tolist()
        else:
            np.testing.assert_array_equal(table.frame[role], raw[header].astype(float))


def test_epoch_has_no_data_column(shared_file):
    table = read_table(shared_file(EPOCH))
    frame = table.frame
    np.testing.assert_array_equal(frame["D"], frame["C"] / (6 * frame["N"]))
    assert [m.severity for m in table.messages if m.code == "SC111"] == ["warning"]
    outliers = [m for m in table.messages if m.code == "SC128"]
    assert [m.rows for m in outliers] == [(2, 3, 4, 5)]  # of the five that all fits leave out


def test_flagged_rows_are_told_and_used(shared_file):
    table = read_table(shared_file(ISOFLOPS))
    (told,) = [m for m in table.messages if m.code == "SC129"]
    assert len(told.rows) == 17 + 18 + 35
    kept = read_table(shared_file(ISOFLOPS), where='outlier == "False"')
    assert int(kept.used.sum()) == 390 - 70


def test_porian_is_known_by_its_layout(shared_file):
    table = read_table(shared_file(PORIAN))
    assert table.frame["group"].nunique() == 10
    assert set(table.frame["group"]) == set(table.frame["id"])
    assert "budget" in table.columns
    codes = {m.code for m in table.messages}
    assert {"SC123", "SC124"} <= codes  # three ways to count, training and validation losses
    plain = read_table(shared_file(PORIAN), kind="csv")
    assert "group" not in plain.frame
    told = {m.code: m for m in plain.messages}
    assert told["SC136"].mend == "--group id"
    assert "param_count" in told["SC123"].text


def test_the_twenty_language_curves(shared_file):
    name, options, *_ = READINGS["Alabdulmohsin"]
    table = read_table(shared_file(name), **options)
    assert table.frame["group"].nunique() == 20
    (copies,) = [m for m in table.messages if m.code == "SC107"]
    assert len(copies.rows) == int(table.frame.duplicated().sum())
    without = read_table(shared_file(name))
    (kinds,) = [m for m in without.messages if m.code == "SC136"]
    assert all(word in kinds.text for word in ("Domain", "Task", "Model"))
    assert kinds.mend.startswith("--map 'group=")


def test_seven_losses_are_asked_about(shared_file):
    with pytest.raises(AmbiguousColumns) as caught:
        read_table(shared_file(GADRE))
    assert len(caught.value.choices["loss"]) == 7
    assert "loss_c4_val" in caught.value.choices["loss"]
    assert not [h for h in caught.value.choices["loss"] if "upper" in h or "lower" in h]


def test_openclip_accuracies_become_errors(shared_file):
    path = shared_file(OPENCLIP)
    options = {"maps": {"loss": "1 - acc1"}, "where": 'downstream_dataset == "imagenet1k"'}
    table = read_table(path, **options)
    raw = exact(path)
    chosen = (raw["downstream_dataset"] == "imagenet1k").to_numpy()
    assert table.used.tolist() == chosen.tolist()
    fitted = table.fit_frame
    np.testing.assert_array_equal(fitted["C"], raw.loc[chosen, "gmacs_total"] * 2e9)
    np.testing.assert_array_equal(fitted["D"], raw.loc[chosen, "samples_seen"])
    np.testing.assert_array_equal(fitted["loss"], 1 - raw.loc[chosen, "acc1"])
    assert table.columns["loss"].unit == "as mapped"
    assert any("multiply-accumulates" in m.text for m in table.messages)
    with pytest.raises(TableError) as caught:  # retrieval rows have no accuracy
        read_table(path, maps=options["maps"])
    (fault,) = caught.value.faults
    assert fault.code == "SC104"
    assert "63 other cells" in fault.found
    assert read_table(path, maps=options["maps"], where="loss > 0").used.sum() == 64


def test_the_wide_table_of_fine_tuning_curves(shared_file):
    path = shared_file(FLAN)
    table = read_table(
        path,
        melt=("D", "loss"),
        maps={"N": "size", "group": 'source["config name"]'},
        where="D > 0",
    )
    raw = exact(path)
    long = raw.melt(["config name", "size", "family"], var_name="D", value_name="loss")
    long = long[long["D"].astype(float) > 0]
    assert int(table.used.sum()) == len(long) == 30 * 14
    fitted = table.fit_frame.set_index(["group", "D"])["loss"]
    for _, row in long.iterrows():
        assert fitted[row["config name"], float(row["D"])] == row["loss"]
    assert table.rows.tolist() == [line for line in range(2, 32) for _ in range(15)]
