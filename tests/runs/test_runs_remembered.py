"""What travels from a reading to a fit, what does not, and what is written is read again."""

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.errors import TableError
from scaling.runs.read import frame_of, from_frame, read_table
from scaling.runs.write import canonical_frame, stacked, to_csv


def table_text(loss="val_bpb", more=""):
    lines = [f"name,non_embedding_params,tokens,{loss},optimizer,acc{more and ',status'}"]
    for i in range(30):
        n, d = 1e7 * 2.0 ** (i % 5), 1e9 * 1.9 ** (i // 5)
        value = 1.7 + 400 / n**0.34 + 410 / d**0.28
        lines.append(f"r{i},{n},{d},{value},{'adam' if i % 2 else 'muon'},{0.1 + 0.01 * i}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def runs(write):
    return sc.read(write("runs.csv", table_text()), quiet=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f[f["N"] > 2e7],
        lambda f: f.sort_values("loss"),
        lambda f: f.assign(acc=f["acc"] * 2),
        lambda f: f.assign(optimizer="sgd"),
        lambda f: f.assign(new=1.0),
        lambda f: f.drop(columns="acc"),
    ],
    ids=["filtered", "sorted", "another value", "another label", "more columns", "fewer columns"],
)
def test_a_changed_frame_has_no_checksum_but_keeps_its_units(runs, change):
    whole, changed = from_frame(runs), from_frame(change(runs.copy()))
    assert whole.sha256 is not None
    assert whole.file == "runs.csv"
    assert changed.sha256 is None
    assert "changed" in changed.file
    for table in (whole, changed):
        assert table.columns["loss"].unit == "nats per byte"
        assert table.columns["N"].source == "non_embedding_params"
        assert "without embeddings" in table.convention


def test_findings_are_of_the_rows_that_are_fitted(runs):
    told = [m.code for m in from_frame(runs).messages]
    assert "SC136" in told
    for table in (
        from_frame(runs, group="optimizer"),
        from_frame(runs, where='optimizer == "adam"'),
    ):
        assert "SC136" not in [m.code for m in table.messages]
        assert "SC121" in [m.code for m in table.messages]  # how it was read is still told


def test_rows_left_out_in_reading_are_listed_with_the_fit(write):
    frame = sc.read(write("runs.csv", table_text()), where="N > 1.5e7", quiet=True)
    info = from_frame(frame).as_dict()
    assert info["rows"] == 30
    assert info["used"] == len(frame)
    assert [d["row"] for d in info["dropped"]] == [2, 7, 12, 17, 22, 27]


def test_a_map_is_not_contested_again(write):
    text = table_text("val_loss").replace("name,", "name,total_params,").replace("r", "r,9e9", 0)
    lines = text.splitlines()
    lines[1:] = [line.replace(",", ",9e9,", 1) for line in lines[1:]]
    path = write("runs.csv", "\n".join(lines) + "\n")
    with pytest.raises(TableError):
        sc.read(path, quiet=True)
    frame = sc.read(path, maps={"N": "non_embedding_params"}, quiet=True)
    assert sc.fit(frame, bootstrap=0).table["columns"]["N"]["source"] == "non_embedding_params"


def test_attributes_of_other_programs_are_left_alone():
    frame = pd.DataFrame({"N": [1e6, 2e6], "D": [2e7, 2e7], "loss": [3.0, 2.9]})
    for foreign in ("theirs", {"scale": 3}, {"file": "x", "digest": "y"}):
        frame.attrs["scaling"] = foreign
        assert from_frame(frame).file is None


def test_a_tracker_is_no_table_of_ours(write):
    """`run`, `status` and `loss` alone do not say that `loss` is the held-out one."""
    path = write("t.csv", "run,status,N,D,loss,eval_loss\na,done,1,2,3,4\nb,done,2,3,4,5\n")
    with pytest.raises(TableError) as caught:
        read_table(path)
    assert caught.value.code == "SC110"


def test_what_we_wrote_is_not_contested(write, tmp_path):
    text = "run,N,D,my,loss,eval_loss\na,1e6,2e7,3,9,4\nb,2e6,2e7,2.5,9,5\n"
    first = read_table(write("t.csv", text), maps={"loss": "my"})
    path = tmp_path / "runs.csv"
    path.write_text(to_csv(canonical_frame(first)))
    second = read_table(path)
    assert second.frame["loss"].tolist() == [3.0, 2.5]
    assert second.columns["loss"].unit == "as mapped"


def test_a_failed_attempt_does_not_hide_the_run(write):
    text = (
        "run,N,D,loss,status\na,1e6,1e9,3,done\na,1e6,2e9,,failed\n"
        "b,2e6,1e9,3,done\nb,2e6,2e9,2.9,done\n"
    )
    table = read_table(write("t.csv", text), final=True)
    assert table.fit_frame[["run", "D"]].to_numpy().tolist() == [["a", 1e9], ["b", 2e9]]
    once = read_table(write("u.csv", "\n".join(text.splitlines()[:4]) + "\n"))
    frame = stacked({"u.csv": canonical_frame(once)})
    assert frame["run"].tolist() == ["a", "a.2 failed", "b"]


def test_the_last_row_twice_is_no_last_row(write):
    text = "run,N,D,loss\na,1e6,1e9,3\na,1e6,2e9,2.5\na,1e6,2e9,2.9\n"
    with pytest.raises(TableError) as caught:
        read_table(write("t.csv", text), final=True)
    assert caught.value.code == "SC106"


def test_final_rows_need_an_axis_to_be_last_on(write):
    table = read_table(write("t.csv", "run,N,loss\na,1e6,3\nb,2e6,2.5\n"), final=True)
    assert table.used.all()


def test_columns_of_the_user_are_kept(write):
    frames = {}
    for name in ("one.csv", "two.csv"):
        text = f"run,N,D,loss,source,remark\n{name[0]},1e6,2e7,3,web,mine\n"
        frames[name] = canonical_frame(read_table(write(name, text)))
    whole = stacked(frames)
    assert whole["source"].tolist() == ["web", "web"]
    assert whole["source file"].tolist() == ["one.csv", "two.csv"]
    assert whole["remark"].tolist() == ["mine", "mine"]


def test_group_names_are_plain_text(runs):
    fits = sc.fit(runs, group="optimizer", bootstrap=0)
    assert {type(group) for group, _ in fits} == {str}


def test_a_frame_of_what_was_read_round_trips(runs):
    again = frame_of(from_frame(runs))
    np.testing.assert_array_equal(again["N"], runs["N"])
    np.testing.assert_array_equal(again["loss"], runs["loss"])


# ------------------------------------------------------------------ findings that an import keeps


def reread(table, tmp_path):
    path = tmp_path / "again.csv"
    path.write_text(to_csv(canonical_frame(table)))
    return read_table(path)


def told(table, code):
    return [m for m in table.messages if m.code == code]


def test_copies_are_counted_the_same_after_an_import(write, tmp_path):
    rows = ["1e6,2e7,3.5", "2e6,2e7,3", "2e6,2e7,3", "4e6,2e7,2.8", "4e6,2e7,2.8"]
    first = read_table(write("t.csv", "N,D,loss\n" + "\n".join(rows) + "\n"))
    second = reread(first, tmp_path)
    assert len(told(first, "SC107")[0].rows) == len(told(second, "SC107")[0].rows) == 2


def test_curves_and_training_losses_are_still_told(write, tmp_path):
    rows = [f"{n},{1e8 * step},{2 + 1e3 / n**0.5 + step**-0.5}" for n in (1e7, 3e7)
            for step in range(1, 41)]  # fmt: skip
    first = read_table(write("t.csv", "N,D,train_loss\n" + "\n".join(rows) + "\n"))
    second = reread(first, tmp_path)
    for table in (first, second):
        assert told(table, "SC119")
        assert told(table, "SC133")


@pytest.mark.parametrize("cell", ["0", "nan", "-1", "cosine"])
def test_a_helper_column_is_no_fault(write, cell):
    table = read_table(write("t.csv", f"run,N,D,loss,lr\na,1e6,2e7,3,{cell}\nb,2e6,2e7,2.9,1e-3\n"))
    assert table.used.all()
    assert [m.severity for m in table.messages if "lr" in m.text] == ["info"]
    assert "lr" not in table.frame or table.frame["lr"].isna().tolist() == [True, False]
