"""Learning curves in columns: what is kept of the points of a study and of a table."""

import json

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.fitting.analyse import analyse
from scaling.fitting.options import Options
from scaling.fitting.stored import load
from scaling.runs import learning
from scaling.runs.learning import curves_in, curves_of_table
from scaling.runs.read import from_frame, read_table
from scaling.runs.records import PointFiles, commit_record
from scaling.runs.table import finished

HEADER = "step,tokens,flops,train_loss,val_loss,lr,grad_norm\n"


def point(k, trunk="t"):
    return {
        "id": f"{k:016x}", "group": "g", "N": 100 * (k + 1), "D": 64000, "steps": 1000,
        "batch": 64, "trunk": trunk, "shape": {}, "optimizer": {"decay_steps": 400},
    }  # fmt: skip


def write(out, points, statuses, lines):
    out.mkdir()
    (out / "plan.jsonl").write_text("".join(json.dumps(p) + "\n" for p in points))
    for p, status, rows in zip(points, statuses, lines, strict=True):
        if status is None:
            continue
        commit_record(out, {"id": p["id"], "status": status, "loss": None, "loss_se": None,
                            "train_loss": None, "steps_done": 1000})  # fmt: skip
        if rows is not None:
            text = "".join(",".join(map(str, row)) + "\n" for row in rows)
            PointFiles.of(out, p["id"]).curve.write_text(HEADER + text)
    return out


def logged(count, held_out=1):
    """Lines of a curve; every so many from the end has a held-out loss."""
    steps = np.linspace(10, 1000, count).round().astype(int)
    return [
        [s, 64 * s, 3.5 * s, 5 - s / 500, 5.1 - s / 500 if k >= count - held_out else "", 0.01, 1]
        for k, s in enumerate(steps)
    ]


def of_run(columns, k, what=None):
    keep = [r == f"{k:016x}" and what in (None, w)
            for r, w in zip(columns["run"], columns["what"], strict=True)]  # fmt: skip
    return {name: [v for v, kept in zip(values, keep, strict=True) if kept]
            for name, values in columns.items()}  # fmt: skip


def test_points_of_a_study(tmp_path):
    points = [point(0), point(1), point(2, "u"), point(3, "v"), point(4, "w")]
    broken = [*logged(10)[:4], [500, 32000, 1750.0, "nan", "", 0.01, 1]]
    lines = [logged(100), logged(5), broken, None, logged(5)]
    columns = curves_in(
        write(tmp_path / "out", points, ["done", "done", "diverged", "done", None], lines)
    )
    assert tuple(columns) == learning.COLUMNS
    assert len({len(values) for values in columns.values()}) == 1
    assert list(dict.fromkeys(columns["run"])) == [p["id"] for p in points[:3]]
    long = of_run(columns, 0)
    assert (set(long["N"]), set(long["status"]), set(long["trunk"])) == ({100}, {"done"}, {"t"})
    assert set(long["branch"]) == {600 * 64}  # where the rate began to fall
    train, val = of_run(columns, 0, "train"), of_run(columns, 0, "val")
    assert 15 < len(train["D"]) < learning.A_RUN
    assert (train["D"][0], train["D"][-1]) == (640, 64000)
    assert (val["D"], val["C"], val["loss"]) == ([64000], [3500], [3.1])
    gaps = np.diff(np.log(train["D"]))
    assert gaps.max() < 6 * gaps.min()  # evenly in the logarithm, as far as it was logged
    short = of_run(columns, 1, "train")
    assert short["D"] == [640, 16512, 32320, 48128, 64000]
    assert short["loss"] == pytest.approx([5 - d / 32000 for d in short["D"]], rel=1e-6)
    lost = of_run(columns, 2)
    assert set(lost["status"]) == {"diverged"}
    assert set(lost["branch"]) == {None}  # nobody shares its trunk
    assert len(lost["D"]) == 4  # what is no number is no point of a curve


def test_held_out_losses_suffice_where_there_are_many(tmp_path):
    folder = write(tmp_path / "out", [point(0)], ["done"], [logged(60, 30)])
    columns = curves_in(folder)
    assert set(columns["what"]) == {"val"}
    assert learning.ENOUGH < len(columns["D"]) <= learning.A_RUN


def test_of_too_many_runs_whole_ones_are_left_out(tmp_path, monkeypatch):
    points = [point(k, f"t{k}") for k in range(9)]
    folder = write(tmp_path / "out", points, ["done"] * 9, [logged(5)] * 9)
    monkeypatch.setattr(learning, "ALL", 20)
    columns = curves_in(folder)
    assert list(dict.fromkeys(columns["run"])) == [points[k]["id"] for k in (0, 4, 8)]
    assert len(columns["run"]) == 18


@pytest.mark.parametrize("text", [None, "", "{", "\xff"])
def test_what_is_no_study_has_no_curves(tmp_path, text):
    if text is not None:
        (tmp_path / "plan.jsonl").write_bytes(text.encode("latin-1"))
    assert curves_in(tmp_path) == {}


def short(values):
    return [float(f"{value:.7g}") for value in values]


def frame():
    """Five sizes, each logged at 40 places; one of them diverged."""
    law = sc.law("chinchilla")
    truth = dict(law.published[0].params)
    n, d = np.repeat(np.geomspace(1e7, 1e9, 5), 40), np.tile(np.geomspace(1e8, 1e11, 40), 5)
    loss = law.loss(truth, {"N": n, "D": d})
    run = np.repeat(list("abcde"), 40)
    status = np.where(run == "c", "diverged", "done")
    return pd.DataFrame({"run": run, "N": n, "D": d, "loss": loss, "status": status})


def test_points_of_a_table_and_their_way_through_the_file(tmp_path):
    frame().to_csv(tmp_path / "curves.csv", index=False)
    table = read_table(tmp_path / "curves.csv", curves=True)
    fits = analyse(table, approaches=["envelope"], options=Options(bootstrap=0))
    columns = fits.curves
    assert list(dict.fromkeys(columns["run"])) == list("abcde")
    by_run = dict(zip(columns["run"], columns["status"], strict=True))
    assert by_run == dict.fromkeys("abde", "done") | {"c": "diverged"}
    assert set(columns["what"]) == {"val"}
    assert columns["run"].count("a") == learning.A_RUN
    known = set(zip(short(table.frame["D"]), short(table.frame["loss"]), strict=True))
    assert set(zip(columns["D"], columns["loss"], strict=True)) <= known
    fits.save(tmp_path / "fit.json")
    assert load(tmp_path / "fit.json").curves == columns
    assert "curves" not in json.loads(fits.to_json(full=False))


def test_finished_runs_are_no_curves():
    ends = from_frame(frame().groupby("run").tail(1))
    assert finished(ends) is ends
    assert curves_of_table(ends) == {}
    assert analyse(from_frame(sample()), options=Options(bootstrap=0)).curves == {}


def sample():
    return frame().loc[lambda f: f["status"] == "done"].drop(columns="run")
