"""Records: one a point, and the tables that are views of them."""

import csv
import json
import time

import pytest

from scaling.errors import ConfigError
from scaling.runs.read import describe, read_table
from scaling.runs.records import (
    RESULT_COLUMNS,
    PointFiles,
    commit_record,
    load_plan,
    read_record,
    retry,
    status,
    write_results,
)

LEADING = ["run", "group", "budget", "N", "D", "C", "loss"]


def point(k, **changes):
    n, d = 1000 * (k + 1), 64_000
    base = dict.fromkeys(RESULT_COLUMNS) | {
        "id": f"{k:016x}", "group": "g", "budget": 6e8, "N": n, "D": d, "C": 6.1 * n * d,
        "N_embedding": 10, "N_head": 10, "N_body": n - 10, "C_6nd": 6.0 * n * d, "D_unique": d,
        "epochs": 1.0, "seed": 0, "trunk": f"t{k}", "batch": 64, "lr": 0.01, "steps": 1000,
        "shape": {},
    }  # fmt: skip
    return base | changes


def record(k, status="done", loss=3.0, **changes):
    return {
        "id": f"{k:016x}", "status": status, "loss": loss if status == "done" else None,
        "loss_se": None, "train_loss": None, "steps_done": 1000, "cause": None,
    } | changes  # fmt: skip


@pytest.fixture
def points(tmp_path):
    """A planned folder of four points."""
    found = [point(k) for k in range(4)]
    (tmp_path / "plan.jsonl").write_text("".join(json.dumps(p) + "\n" for p in found))
    return found


def test_where_files_lie(tmp_path):
    files = PointFiles.of(tmp_path, "ab12")
    assert files.record == tmp_path / "points" / "ab" / "ab12" / "record.json"
    assert files.curve.name == "curve.csv"


def test_an_existing_record_wins(tmp_path):
    assert commit_record(tmp_path, record(0, loss=3.0))
    assert not commit_record(tmp_path, record(0, loss=1.0))
    assert read_record(tmp_path, record(0)["id"])["loss"] == 3.0


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema": "scaling/record@1"}', "null"])
def test_a_damaged_record_counts_as_none_and_is_kept_aside(tmp_path, damage):
    files = PointFiles.of(tmp_path, record(0)["id"])
    files.folder.mkdir(parents=True)
    files.record.write_text(damage)
    assert read_record(tmp_path, record(0)["id"]) is None
    assert commit_record(tmp_path, record(0))
    assert read_record(tmp_path, record(0)["id"])["loss"] == 3.0
    assert (files.folder / "record.1.json").read_text() == damage


def test_a_record_of_another_point_is_not_believed(tmp_path):
    commit_record(tmp_path, record(0))
    other = PointFiles.of(tmp_path, record(1)["id"])
    other.folder.mkdir(parents=True)
    other.record.write_bytes(PointFiles.of(tmp_path, record(0)["id"]).record.read_bytes())
    assert read_record(tmp_path, record(1)["id"]) is None


def test_retry_sets_aside_only_what_was_asked_for(tmp_path, points):
    commit_record(tmp_path, record(0, "failed"))
    commit_record(tmp_path, record(1, "diverged"))
    assert retry(tmp_path, points, ["failed"]) == 1
    assert read_record(tmp_path, points[0]["id"]) is None
    assert read_record(tmp_path, points[1]["id"])["status"] == "diverged"
    assert (PointFiles.of(tmp_path, points[0]["id"]).folder / "record.1.json").is_file()


def test_results_hold_every_record_and_read_back(tmp_path, points):
    commit_record(tmp_path, record(0, loss=0.1 + 0.2))
    commit_record(tmp_path, record(2, "diverged"))
    commit_record(tmp_path, record(3, "too-big"))
    counts = write_results(tmp_path, points)
    assert counts == {"done": 1, "diverged": 1, "failed": 0, "too-big": 1}
    with (tmp_path / "results.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0])[: len(LEADING)] == LEADING
    assert [r["run"] for r in rows] == [points[k]["id"] for k in (0, 2, 3)]
    assert [r["loss"] for r in rows] == [repr(0.1 + 0.2), "", ""]
    table = read_table(tmp_path / "results.csv")
    assert table.used.tolist() == [True, False, False]
    assert table.frame["loss"].iloc[0] == 0.1 + 0.2
    assert table.convention.startswith("N = body + head")
    lines = (tmp_path / "records.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [r["run"] for r in rows]


def test_results_say_how_the_learning_rate_went(tmp_path):
    optimizers = [{"warmup_steps": 5, "decay_steps": 400}, {"warmup_steps": 0, "decay_steps": 0,
                  "shape": "cosine"}, {}]  # fmt: skip
    points = [point(k, optimizer=o) for k, o in enumerate(optimizers)]
    for k in range(3):
        commit_record(tmp_path, record(k))
    write_results(tmp_path, points)
    with (tmp_path / "results.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [(r["warmup"], r["schedule"]) for r in rows] == [
        ("5", "linear"), ("0", "cosine"), ("", ""),
    ]  # fmt: skip
    table = read_table(tmp_path / "results.csv")
    assert table.frame["schedule"].tolist()[:2] == ["linear", "cosine"]
    assert not [line for line in describe(table) if "no role" in line]


def test_results_are_regenerated_never_appended_to(tmp_path, points):
    for k in range(3):
        commit_record(tmp_path, record(k))
    write_results(tmp_path, points)
    first = (tmp_path / "results.csv").read_bytes()
    write_results(tmp_path, points)
    assert (tmp_path / "results.csv").read_bytes() == first
    write_results(tmp_path, points[:1])
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 2


def test_status_tells_running_from_left_behind(tmp_path, points):
    commit_record(tmp_path, record(0))
    for k, age in ((1, 0.0), (2, 3600.0)):
        files = PointFiles.of(tmp_path, points[k]["id"])
        files.folder.mkdir(parents=True)
        files.progress.write_text(
            json.dumps({"step": 7, "steps": 1000, "loss": 4.0, "updated": time.time() - age})
        )
    found = status(tmp_path)
    assert found["schema"] == "scaling/status@1"
    assert [p["status"] for p in found["points"]] == ["done", "running", "pending", "pending"]
    assert [p["step"] for p in found["points"]] == [1000, 7, 7, 0]
    assert sum(found["counts"].values()) == 4
    assert set(found["counts"]) == {"done", "running", "failed", "diverged", "too-big", "pending"}


@pytest.mark.parametrize("line", ["{", "[]", "1", '{"id": "x"}', "null"])
def test_a_plan_with_a_line_that_is_no_point(tmp_path, points, line):
    with (tmp_path / "plan.jsonl").open("a") as handle:
        handle.write(line + "\n")
    with pytest.raises(ConfigError) as caught:
        load_plan(tmp_path)
    assert caught.value.faults[0].where == "plan.jsonl:5"


def test_a_folder_without_a_plan(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_plan(tmp_path)
    assert caught.value.code == "SC005"
    assert "sweep plan" in caught.value.faults[0].mend
