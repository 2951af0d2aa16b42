"""Files that other programs leave: trainer states, evaluations, charts, and our own studies."""

import csv
import json
import math
import random
import struct
from pathlib import Path

import numpy as np
import pytest

from scaling.errors import ScalingError, TableError
from scaling.runs.importers import lmeval, study, trainer, wandb_chart
from scaling.runs.importers.base import Importer
from scaling.runs.importers.safetensors import count_parameters
from scaling.runs.records import RESULT_COLUMNS, PointFiles, commit_record, write_results


def codes(imported):
    return [message.code for message in imported.messages]


def curve(imported, run, metric):
    """Return steps and values of one metric."""
    of_run = imported.curves[imported.curves["run"] == run][["step", metric]].dropna()
    return list(of_run["step"]), list(of_run[metric])


def survives(importer, path):
    """Reading damaged input gives runs or an error of ours, never another."""
    importer.recognises(path)
    code = None
    try:
        assert len(importer.read(path).cells)
    except ScalingError as error:
        code = error.code
    assert code in (None, "SC101", "SC005", "SC102", "SC108")


def odd_json(text, seed):
    """Yield damaged variants of a JSON text."""
    dice = random.Random(seed)
    yield from (b"", b"{", b"[]", b"null", b"\xff\xfe{}", b'"x"', b"[" * 100_000, b'{"a":' * 5000)
    yield b'{"global_step": ' + b"9" * 5000 + b', "log_history": []}'
    yield b'{"results": ' + b'{"a": ' * 500 + b"1" + b"}" * 500 + b', "config": {}}'
    for _ in range(60):
        yield text[: dice.randrange(len(text))].encode()
        yield json.dumps(swapped(json.loads(text), dice)).encode()


def swapped(value, dice):
    """Replace random parts of a JSON value by values of other types."""
    if dice.random() < 0.08:
        return dice.choice([None, True, 10**400, -1, 1e308, math.nan, "\ud800", [], {}, [[1]], "x"])
    if isinstance(value, dict):
        return {key: swapped(item, dice) for key, item in value.items()}
    return [swapped(item, dice) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("module", [trainer, lmeval, wandb_chart, study])
def test_modules_are_importers(module, tmp_path):
    importer: Importer = module
    assert importer.name
    for path in (tmp_path, tmp_path / "absent", Path(__file__)):
        assert not importer.recognises(path)
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(TableError):
            importer.read(path)


# Hugging Face Trainer


def state(step, max_steps=20, **changes):
    """Return a state as transformers 5.24 writes it, with tokens counted."""
    log = []
    for at in range(5, step + 1, 5):
        log.append(
            {
                "epoch": at / 16,
                "grad_norm": 0.7,
                "learning_rate": 1e-3 * (20 - at) / 20,
                "loss": 4.0 - at / 10,
                "num_input_tokens_seen": 64 * at,
                "step": at,
            }
        )
        if at % 10 == 0:
            log.append(
                {
                    "epoch": at / 16,
                    "eval_loss": 4.1 - at / 10,
                    "eval_runtime": 0.4,
                    "num_input_tokens_seen": 64 * at,
                    "step": at,
                }
            )
    return {
        "best_metric": None, "epoch": step / 16, "global_step": step, "log_history": log,
        "max_steps": max_steps, "num_input_tokens_seen": 64 * step, "num_train_epochs": 2,
        "total_flos": 1e6 * step, "train_batch_size": 4, "stateful_callbacks": {"a": {"b": {}}},
    } | changes  # fmt: skip


def write_state(folder, *arguments, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trainer_state.json"
    path.write_text(json.dumps(state(*arguments, **changes)))
    return path


def write_weights(path, shapes, dtype="F32"):
    """Write a file of weights whose data are absent: only its header may be read."""
    header = {"__metadata__": {"format": "pt"}}
    for name, shape in shapes.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [0, 0]}
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw)


def test_trainer_checkpoints_are_one_run(tmp_path):
    for step in (10, 20, 5):
        write_state(tmp_path / "large" / f"checkpoint-{step}", step)
    last = {"train_loss": 3.3, "train_runtime": 6.3, "total_flos": 2e7, "step": 20}
    log = [*state(20)["log_history"], last]
    write_state(tmp_path / "small", 20, log_history=log, num_input_tokens_seen=0, total_flos=0)
    write_weights(tmp_path / "large" / "checkpoint-20" / "model.safetensors", {"w": [30, 4]})
    assert trainer.recognises(tmp_path)
    imported = trainer.read(tmp_path)
    rows = imported.cells.set_index("run")
    assert list(rows.index) == ["large", "small"]
    large = rows.loc["large"]
    assert large["status"] == "done"
    assert large["steps"] == large["max_steps"] == 20
    assert large["params_total"] == 120
    assert large["total_flos"] == 2e7
    assert large["num_input_tokens_seen"] == 1280
    assert large["train_loss"] == 2.0
    assert large["eval_loss"] == pytest.approx(2.1)
    assert large["learning_rate"] == 1e-3 * 15 / 20
    assert math.isnan(large["train_loss_mean"])
    assert rows.loc["small", "train_loss_mean"] == 3.3
    assert math.isnan(rows.loc["small", "params_total"])
    assert curve(imported, "large", "train_loss") == ([5, 10, 15, 20], [3.5, 3.0, 2.5, 2.0])
    assert curve(imported, "large", "eval_loss")[0] == [10, 20]
    assert curve(imported, "large", "num_input_tokens_seen")[1] == [320, 640, 960, 1280]
    assert len(imported.curves) == 8, "lines of one step are one row"
    assert codes(imported) == ["SC143"]


def test_trainer_zero_means_not_counted(tmp_path):
    log = [{"loss": 2.0, "step": 5, "num_input_tokens_seen": 0}]
    path = write_state(tmp_path / "a", 5, 5, log_history=log, total_flos=0, num_input_tokens_seen=0)
    imported = trainer.read(path)
    assert not {"total_flos", "num_input_tokens_seen"} & set(imported.cells)
    assert imported.sha256
    assert list(imported.cells["run"]) == ["a"]


def test_trainer_stopped_early_is_told(tmp_path):
    path = write_state(tmp_path / "run" / "checkpoint-10", 10)
    imported = trainer.read(path)
    assert list(imported.cells["run"]) == ["run"]
    assert list(imported.cells["status"]) == ["done"]
    assert codes(imported)[0] == "SC142"
    assert "1 run (run)" in imported.messages[0].text


def test_trainer_damaged_states_are_errors_with_a_place(tmp_path):
    path = tmp_path / "a" / "trainer_state.json"
    path.parent.mkdir()
    for data in odd_json(json.dumps(state(20)), 1):
        path.write_bytes(data)
        survives(trainer, path)
        survives(trainer, tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "trainer_state.json").write_text("{}")
    path.write_text("[]")
    with pytest.raises(TableError) as caught:
        trainer.read(tmp_path)
    assert [fault.where for fault in caught.value.faults] == [
        "a/trainer_state.json",
        "b/trainer_state.json",
    ]


def test_parameters_are_counted_by_headers(tmp_path):
    assert count_parameters(tmp_path) is None
    write_weights(tmp_path / "adapter_model.safetensors", {"a": [3]})
    assert count_parameters(tmp_path) is None
    write_weights(tmp_path / "model-00001-of-00002.safetensors", {"a": [3, 5], "b": []}, "BF16")
    write_weights(tmp_path / "model-00002-of-00002.safetensors", {"c": [10**6, 10**6]}, "F16")
    assert count_parameters(tmp_path) == 16 + 10**12
    write_weights(tmp_path / "model-00002-of-00002.safetensors", {"c": [10**6]}, "U8")
    assert count_parameters(tmp_path) is None, "packed weights"


@pytest.mark.parametrize(
    "raw",
    [b"", b"\xff" * 8, struct.pack("<Q", 50) + b"{}", struct.pack("<Q", 2) + b"[]",
     struct.pack("<Q", 14) + b'{"a": {"b":1}}', struct.pack("<Q", 2) + b"\xff\xff"],
)  # fmt: skip
def test_damaged_weights_do_not_stop_the_import(tmp_path, raw):
    path = write_state(tmp_path / "a", 20)
    (path.parent / "model.safetensors").write_bytes(raw)
    with pytest.raises(TableError, match="SC101"):
        count_parameters(path.parent)
    imported = trainer.read(path)
    assert "params_total" not in imported.cells
    assert codes(imported) == ["SC126", "SC143"]


# lm-evaluation-harness


def results(arguments, parameters=4208):
    """Return results as lm-evaluation-harness 0.4.13 writes them."""
    toy = {
        "name": "toy",
        "alias": "toy",
        "sample_len": 8,
        "acc,none": 0.75,
        "acc_stderr,none": 0.16,
        "acc_norm,none": 0.625,
        "acc_norm_stderr,none": "N/A",
    }
    gsm = {
        "alias": " - gsm8k",
        "exact_match,strict-match": 0.25,
        "exact_match_stderr,strict-match": 0.1,
        "exact_match,flexible-extract": 0.5,
    }
    return {
        "results": {"toy": toy, "gsm8k": gsm}, "versions": {"toy": "Yaml"}, "n-shot": {"toy": 0},
        "config": {"model": "hf", "model_args": arguments, "model_num_parameters": parameters},
        "model_name": "m",
    }  # fmt: skip


def test_lmeval_one_row_a_file(tmp_path):
    first, second = tmp_path / "m" / "results_1.json", tmp_path / "m" / "results_2.json"
    first.parent.mkdir()
    first.write_text(json.dumps(results("pretrained=org/m,revision=step1,dtype=float")))
    second.write_text(json.dumps(results({"pretrained": "org/m"}, -1)))
    (tmp_path / "results.json").write_text('{"results": [1]}')
    assert lmeval.recognises(tmp_path)
    assert lmeval.recognises(first)
    assert not lmeval.recognises(tmp_path / "results.json")
    imported = lmeval.read(tmp_path)
    cells = imported.cells
    assert list(cells["run"]) == ["m/results_1.json", "m/results_2.json"]
    assert list(cells["model"]) == ["org/m", "org/m"]
    assert list(cells["revision"]) == ["step1", ""]
    assert cells["params"].iloc[0] == 4208
    assert math.isnan(cells["params"].iloc[1])
    assert list(cells["toy/acc"]) == [0.75, 0.75]
    assert list(cells.columns)[-4:] == [
        "toy/acc", "toy/acc_norm", "gsm8k/exact_match,strict-match",
        "gsm8k/exact_match,flexible-extract",
    ]  # fmt: skip
    assert imported.curves is None


def test_lmeval_damaged_results_are_errors_with_a_place(tmp_path):
    path = tmp_path / "results.json"
    for data in odd_json(json.dumps(results("pretrained=a")), 2):
        path.write_bytes(data)
        survives(lmeval, path)
        survives(lmeval, tmp_path)


# Charts of W&B

CHART = (
    '"Step","a - b - val/loss","a - b - val/loss__MIN","a - b - val/loss__MAX",'
    '"c - val/loss","c - val/loss__MIN","c - val/loss__MAX"\n'
    '"0","3.5","3.5","3.5","","",""\n"10","3.25","3.25","3.25","4","4","4"\n'
    '"20","","","","3.75","3.5","4"\n'
)


def test_chart_lines_are_runs(write):
    path = write("wandb_export.csv", CHART)
    assert wandb_chart.recognises(path)
    imported = wandb_chart.read(path)
    assert list(imported.cells["run"]) == ["a - b", "c"]
    assert list(imported.cells["val/loss"]) == [3.25, 3.75]
    assert list(imported.cells["status"]) == ["", ""]
    assert curve(imported, "a - b", "val/loss") == ([0, 10], [3.5, 3.25])
    assert curve(imported, "c", "val/loss") == ([10, 20], [4.0, 3.75])
    assert codes(imported) == ["SC144"]
    assert "1 of its values are averages" in imported.messages[0].text
    assert imported.sha256


def test_chart_of_one_run_and_of_another_axis(write):
    path = write("one.csv", "Step,loss,loss__MIN,loss__MAX\n1,2.5,2.5,2.5\n2,NaN,NaN,NaN\n")
    assert wandb_chart.recognises(path)
    imported = wandb_chart.read(path)
    assert list(imported.cells["run"]) == ["one"]
    assert curve(imported, "one", "loss") == ([1], [2.5])
    lines = "".join(f",a - {m},a - {m}__MIN,a - {m}__MAX" for m in ("_step", "loss"))
    path = write("epochs.csv", f"epoch{lines}\n0.5,7,7,7,2.5,2.5,2.5\n1.5,9,9,9,2,2,2\n")
    imported = wandb_chart.read(path)
    assert curve(imported, "a", "loss") == ([7, 9], [2.5, 2.0])
    assert list(imported.cells.columns) == ["run", "status", "loss"]


def test_ordinary_tables_are_no_charts(write):
    assert not wandb_chart.recognises(write("a.csv", "params,tokens,loss\n1,2,3\n"))
    assert not wandb_chart.recognises(write("b.csv", CHART.replace("c - val/loss__MAX", "other")))
    assert not wandb_chart.recognises(write("c.csv", b"\xff\xfe\0"))
    assert not wandb_chart.recognises(write("d.csv", ""))


@pytest.mark.parametrize(
    ("change", "code", "where"),
    [
        (("3.25", "three"), "SC102", ":3:2"),
        (('"Step"', '"Wall Time"'), "SC101", ":1"),
        (('"10"', '"10.5"'), "SC102", ":3:1"),
        (("c - ", "a - b - "), "SC108", ":1"),
        (('"4","4","4"', '"4"'), "SC101", ":3"),
    ],
)
def test_damaged_charts_are_errors_with_a_place(write, change, code, where):
    path = write("chart.csv", CHART.replace(*change))
    with pytest.raises(TableError) as caught:
        wandb_chart.read(path)
    assert caught.value.code == code
    assert f"chart.csv{where}" in caught.value.faults[0].where


def test_random_charts_end_in_our_errors(write):
    dice = random.Random(3)
    for k in range(80):
        raw = bytearray(CHART.encode())
        for _ in range(dice.choice((1, 5, 40))):
            raw[dice.randrange(len(raw))] = dice.randrange(256)
        survives(wandb_chart, write(f"{k}.csv", bytes(raw[: dice.randrange(1, len(raw))])))


# Our own studies


def point(k):
    n, d = 1000 * (k + 1), 64_000
    return dict.fromkeys(RESULT_COLUMNS) | {
        "id": f"{k:016x}", "group": "g", "budget": 6e8, "N": n, "D": d, "C": 6.1 * n * d,
        "N_embedding": 10, "N_head": 10, "N_body": n - 10, "C_6nd": 6.0 * n * d, "D_unique": d,
        "epochs": 1.0, "seed": 0, "trunk": f"t{k}", "batch": 64, "lr": 0.01, "steps": 1000,
        "shape": {},
    }  # fmt: skip


@pytest.fixture
def study_folder(tmp_path):
    """Return a planned folder of four points, of which three have records and one a curve."""
    out = tmp_path / "OUT"
    out.mkdir()
    points = [point(k) for k in range(4)]
    (out / "plan.jsonl").write_text("".join(json.dumps(p) + "\n" for p in points))
    for k, status in ((0, "done"), (2, "diverged"), (3, "done")):
        loss = 3.0 + k if status == "done" else None
        commit_record(out, {"id": points[k]["id"], "status": status, "loss": loss,
                            "loss_se": None, "train_loss": 2.5, "steps_done": 9})  # fmt: skip
    files = PointFiles.of(out, points[3]["id"])
    files.curve.write_text(
        "step,tokens,flops,train_loss,val_loss,lr,grad_norm\n"
        "10,640,1e6,4.5,,0.01,1\n20,1280,2e6,4.25,4.125,0.005,\n"
    )
    return out


def test_study_is_what_results_say(study_folder):
    before = {p: p.read_bytes() for p in study_folder.rglob("*") if p.is_file()}
    assert study.recognises(study_folder)
    imported = study.read(study_folder)
    assert {p: p.read_bytes() for p in study_folder.rglob("*") if p.is_file()} == before
    points = [json.loads(line) for line in (study_folder / "plan.jsonl").read_text().splitlines()]
    write_results(study_folder, points)
    with (study_folder / "results.csv").open(newline="") as handle:
        header, *rows = csv.reader(handle)
    assert list(imported.cells.columns) == header
    assert imported.cells.to_numpy().tolist() == rows
    assert list(imported.rows) == [1, 3, 4], "lines of the plan"
    run = points[3]["id"]
    assert curve(imported, run, "train_loss") == ([10, 20], [4.5, 4.25])
    assert curve(imported, run, "loss") == ([20], [4.125])
    assert imported.curves["step"].dtype == np.int64
    assert codes(imported) == ["SC141"]
    assert "1 of 4 planned points" in imported.messages[0].text


def test_study_with_a_cut_off_curve(study_folder):
    files = PointFiles.of(study_folder, point(3)["id"])
    files.curve.write_text(files.curve.read_text()[:-8])
    imported = study.read(study_folder)
    assert len(imported.curves) == 1
    assert codes(imported) == ["SC126", "SC141"]
    for text in ("", "a,b\n", "step,step\n1,1\n", "step,x\n\0\n", "step\n1e999\n"):
        files.curve.write_text(text)
        imported = study.read(study_folder)
        assert imported.curves is None or not len(imported.curves)
        assert codes(imported) == ["SC126", "SC141"]


@pytest.mark.parametrize(
    "plan",
    [b"", b"\xff\n", b"[" * 100_000, b"{}\n", b'{"id": 7, "steps": 1, "shape": {}}\n',
     b'{"id": "../../../../etc/aa", "steps": 1, "shape": {}}\n',
     b'{"id": "0000000000000000", "steps": 1, "shape": {}}\n'],
)  # fmt: skip
def test_damaged_plans_are_errors_with_a_place(study_folder, plan):
    (study_folder / "plan.jsonl").write_bytes(plan)
    with pytest.raises(TableError, match="SC101"):
        study.read(study_folder)


def test_damaged_records_count_as_none(study_folder):
    PointFiles.of(study_folder, point(0)["id"]).record.write_text("[" * 100_000)
    PointFiles.of(study_folder, point(2)["id"]).record.write_bytes(b"\xff")
    assert list(study.read(study_folder).cells["run"]) == [point(3)["id"]]
