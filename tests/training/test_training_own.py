"""A task of the user's own, from its own file; points that start from others; computed losses."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from typer.testing import CliRunner  # noqa: E402

from scaling import api  # noqa: E402
from scaling.cli.app import app  # noqa: E402
from scaling.errors import ConfigError, TrainingError  # noqa: E402
from scaling.runs.records import PRETRAIN, PointFiles, load_plan, read_record  # noqa: E402
from scaling.training import driver  # noqa: E402
from scaling.training.job import run_point  # noqa: E402
from scaling.training.tasks.start import WEIGHTS  # noqa: E402
from scaling.training.trainer import Trainer  # noqa: E402
from tests.training.conftest import TINY  # noqa: E402

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "own-task.md").read_text(encoding="utf-8")
CODE, STUDY = (
    re.search(f'```\\w+ title="{name}"\n(.*?)```', PAGE, re.S)[1]
    for name in ("sines.py", "study.toml")
)
COMPUTED = '''
"""A loss that is computed."""

from scaling.training.tasks import Computed


class Straight(Computed):
    def outcome(self):
        N, D = self.point["N"], self.point["D"]
        return {"loss": 1.0 + 10.0 / N**0.5 + 20.0 / D**0.5, "metrics": {"doubled": 2.0 * N}}
'''


def cli(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The files of the page, in an empty folder; the module is forgotten afterwards."""
    import sys

    (tmp_path / "sines.py").write_text(CODE)
    (tmp_path / "study.toml").write_text(STUDY)
    yield tmp_path
    for name in ("sines", "straight"):
        sys.modules.pop(name, None)


def small(folder, **sections):
    """Plan a few points of the page's task."""
    import tomllib

    study = tomllib.loads(STUDY)
    study["design"] = {"kind": "grid", "params": [17, 65], "data": [4e3, 8e3]}
    return {**study, **sections}


def test_the_template_is_the_page_s():
    from scaling.cli.templates import templates

    assert templates()["task"].files == {"study.toml": STUDY, "sines.py": CODE}


def test_the_task_of_the_page_is_a_stranger_s_thirty_lines(own):
    assert len(CODE.splitlines()) <= 30
    assert "scaling.training.tasks import Examples" in CODE


def test_a_task_of_ones_own_goes_through_the_whole_chain(own):
    import tomllib

    text = STUDY.replace("[1e4, 2e4, 4e4, 8e4]", "[4e3, 8e3, 1.6e4]")
    assert tomllib.loads(text)["design"]["data"] == [4e3, 8e3, 1.6e4]
    (own / "study.toml").write_text(text + "\n[[fit]]\nbootstrap = 20\n")
    found = cli("study", own / "study.toml", "-o", own / "out", "--no-pdf", "--workers", 1)
    assert found.exit_code in (0, 4), found.output  # 15 small runs may not identify a law
    assert (own / "out" / "report.html").is_file()
    points = load_plan(own / "out")
    assert {p["N"] for p in points} == {17, 33, 65, 129, 257}  # 3 d + d + 1
    assert {p["N_head"] for p in points} == {5, 9, 17, 33, 65}
    losses = {p["id"]: read_record(own / "out", p["id"])["loss"] for p in points}
    assert all(np.isfinite(loss) and loss < 0.3 for loss in losses.values())
    best = max(points, key=lambda p: (p["D"], p["N"]))
    assert losses[best["id"]] < 0.25  # the variance of the target


def test_its_code_is_part_of_the_identity_and_goes_with_the_sweep(own, cpu):
    first = api.plan(small(own), base=own)
    (own / "sines.py").write_text(CODE + "\n# the same, said again\n")
    import sys

    sys.modules.pop("sines")
    second = api.plan(small(own), base=own)
    assert not {p.id for p in first} & {p.id for p in second}
    first.write(own / "out")
    shutil.rmtree(own / "elsewhere", ignore_errors=True)
    (own / "sines.py").unlink()
    sys.modules.pop("sines")
    point = load_plan(own / "out")[0]
    assert run_point(own / "out", point, cpu)["status"] == "done"


def test_data_that_are_random_are_refused(own, cpu):
    import sys

    (own / "sines.py").write_text(CODE.replace(".manual_seed(0)", ".manual_seed(torch.seed())"))
    api.plan(small(own), base=own).write(own / "out")
    sys.modules.pop("sines")
    with pytest.raises(TrainingError) as caught:
        run_point(own / "out", load_plan(own / "out")[0], cpu)
    assert caught.value.code == "SC305"


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (("sines:Sines", "sines:Cosines"), "SC321", "Cosines"),
        (("sines:Sines", "missing_module:Sines"), "SC321", "missing_module"),
        (("sines:Sines", "sines:torch"), "SC321", "module"),
        (("sines:Sines", "nothing"), "SC321", "text"),
    ],
)
def test_a_task_that_cannot_be_used(own, change, code, said):
    import tomllib

    study = tomllib.loads(STUDY.replace(*change))
    with pytest.raises(ConfigError) as caught:
        api.plan(study, base=own)
    assert caught.value.code == code
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return (x[2000:], y[2000:]), (x[:2000], y[:2000])", "return x, y, x"),
        ("return (x[2000:], y[2000:]), (x[:2000], y[:2000])", "return (x, y[:5]), (x, y)"),
        ("return (x[2000:], y[2000:]), (x[:2000], y[:2000])", "return (), (x, y)"),
        ("y = x.sin()", "y = x.sinn()"),
    ],
)
def test_data_that_are_not_two_tuples_of_tensors(own, old, new):
    (own / "sines.py").write_text(CODE.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        api.plan(small(own), base=own)
    assert caught.value.code == "SC321"
    assert "sines:Sines.data" in str(caught.value)


def test_a_computed_task(own, cpu):
    (own / "straight.py").write_text(COMPUTED)
    study = {
        "schema": 1,
        "data": {"task": "straight:Straight", "source": "markov",
                 "options": {"tokens": 10**6, "validation_tokens": 1000}},
        "model": {"family": "mlp", "context": 32,
                  "options": {"inputs": 2, "outputs": 1}},
        "design": {"kind": "grid", "params": [1e2, 1e3], "data": [1e4, 1e5]},
        "recipe": {"name": "adamw-plain"},
    }  # fmt: skip
    api.plan(study, base=own).write(own / "out")
    driver.run(own / "out", engine="debug")
    for point in load_plan(own / "out"):
        record = read_record(own / "out", point["id"])
        exact = 1.0 + 10.0 / point["N"] ** 0.5 + 20.0 / point["D"] ** 0.5
        assert (record["status"], record["loss"], record["loss_se"]) == ("done", exact, None)
    lines = (own / "out" / "results.csv").read_text().splitlines()
    assert lines[0].endswith(",C_spent,warmup,schedule,loss_unit,doubled")
    assert all(float(line.split(",")[-1]) % 2 == 0 for line in lines[1:])


# ----------------------------------------------------------------------------------- pretraining

TRANSFER = {
    **TINY,
    "design": {"kind": "grid", "params": [9e2], "data": [4e3, 8e3]},
    "pretrain": {"D": 6e3, "data": {"options": {"seed": 3}}},
    "variant": [{"name": "scratch", "pretrain": False}, {"name": "tuned"}],
}


@pytest.fixture
def transfer(tmp_path):
    plan = api.plan(TRANSFER)
    plan.write(tmp_path / "out")
    return tmp_path / "out"


def test_points_start_from_the_run_of_their_shape(transfer, cpu):
    (first,) = load_plan(transfer / PRETRAIN)
    points = load_plan(transfer)
    assert [p["init"].get("from") for p in points] == [None, None, first["id"], first["id"]]
    assert first["data"]["options"]["seed"] == 3
    assert first["shape"] == points[0]["shape"]
    driver.run(transfer / PRETRAIN, engine="debug", setup={"keep": True})
    kept = PointFiles.of(transfer / PRETRAIN, first["id"]).folder / WEIGHTS
    weights = torch.load(kept, weights_only=True)
    assert sum(v.numel() for v in weights.values()) == first["N"] + first["N_embedding"]
    driver.run(transfer, engine="debug")
    losses = [read_record(transfer, p["id"])["loss"] for p in points]
    assert len(set(losses)) == 4


def test_the_weights_are_those_that_were_evaluated(transfer, cpu):
    (first,) = load_plan(transfer / PRETRAIN)
    driver.run(transfer / PRETRAIN, engine="debug", setup={"keep": True})
    loss = read_record(transfer / PRETRAIN, first["id"])["loss"]
    tuned = load_plan(transfer)[-1]
    data = {k: first[k] for k in ("data", "evaluation")}
    from scaling.training.setup import Setup

    trainer = Trainer({**tuned, **data}, cpu, Setup(folder=transfer))
    assert trainer.evaluate()[0][0] == loss


def test_without_the_weights_no_point_starts(transfer, cpu):
    with pytest.raises(TrainingError) as caught:
        run_point(transfer, load_plan(transfer)[-1], cpu)
    assert caught.value.code == "SC320"
    assert "pretraining" in str(caught.value)


def test_the_command_runs_both_stages_and_goes_on(tmp_path):
    import json as words

    path = tmp_path / "study.toml"
    path.write_text(_toml(TRANSFER))
    out = tmp_path / "out"
    found = cli("sweep", "run", path, "-o", out, "--workers", 1)
    assert found.exit_code == 0, found.output
    assert "pretraining: 1 run" in found.output
    assert {p["group"] for p in load_plan(out)} == {"scratch", "tuned"}
    before = (out / "results.csv").read_bytes()
    again = cli("sweep", "run", out)
    assert again.exit_code == 0
    assert "pretraining" not in again.output
    assert (out / "results.csv").read_bytes() == before
    planned = words.loads(cli("sweep", "plan", path, "--json", "--no-preflight").stdout)
    assert len(planned["pretrain"]["points"]) == 1
    dry = cli("sweep", "run", path, "-o", tmp_path / "dry", "--dry-run")
    assert "after 1 run of pretraining" in " ".join(dry.output.split())


def test_a_pretraining_run_that_failed_stops_the_sweep_with_its_name(tmp_path):
    path, out = tmp_path / "study.toml", tmp_path / "out"
    path.write_text(_toml(TRANSFER))
    assert cli("sweep", "plan", path, "-o", out, "--no-preflight").exit_code == 0
    (first,) = load_plan(out / PRETRAIN)
    record = {"schema": "scaling/record@1", "id": first["id"], "status": "diverged"}
    target = PointFiles.of(out / PRETRAIN, first["id"]).record
    target.parent.mkdir(parents=True)
    target.write_text(json.dumps(record))
    found = cli("sweep", "run", out)
    assert found.exit_code == 1
    assert found.exception.code == "SC320"
    assert "--retry diverged" in str(found.exception)
    again = cli("sweep", "run", out, "--retry", "diverged", "--workers", 1)
    assert again.exit_code == 0, again.output
    assert (target.parent / "record.1.json").is_file()


def _toml(study):
    """Spell a study of nested tables as TOML."""
    lines = [f"schema = {study['schema']}"]
    for name, value in study.items():
        for table in value if isinstance(value, list) else [value] * isinstance(value, dict):
            lines.append(f"[[{name}]]" if isinstance(value, list) else f"[{name}]")
            lines += [f"{key} = {_value(v)}" for key, v in table.items()]
    return "\n".join(lines) + "\n"


def _value(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    def each(", "    def every(", "missing"),
        (".mean(dim=1)", ".mean()", "shape ()"),
        ("(x[:2000], y[:2000])", "(x[:0], y[:0])", "0 examples"),
        ("import torch\n", "import torch\n\nraise RuntimeError('no')\n", "sines.py:"),
    ],
)
def test_what_would_fail_in_training_fails_in_planning(own, old, new, said):
    assert old in CODE
    (own / "sines.py").write_text(CODE.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        api.plan(small(own), base=own)
    assert caught.value.code == "SC321"
    assert said in str(caught.value)


def test_only_some_points_need_only_some_runs_and_lost_weights_are_trained_again(tmp_path):
    study = {**TRANSFER, "design": {"kind": "grid", "params": [9e2, 4e3], "data": [4e3]}}
    path, out = tmp_path / "study.toml", tmp_path / "out"
    path.write_text(_toml(study))
    assert cli("sweep", "plan", path, "-o", out, "--no-preflight").exit_code == 0
    point = load_plan(out)[-1]
    start = point["init"]["from"]
    found = cli("sweep", "run", out, "--only", point["id"], "--workers", 1)
    assert found.exit_code == 0, found.output
    done = [p["id"] for p in load_plan(out / PRETRAIN) if read_record(out / PRETRAIN, p["id"])]
    assert done == [start]
    told = cli("sweep", "logs", out, start)
    assert "ended: done" in told.output
    assert "pretraining: 1 done, 1 pending" in cli("sweep", "status", out).output
    (PointFiles.of(out / PRETRAIN, start).folder / WEIGHTS).unlink()
    again = cli("sweep", "run", out, "--workers", 1)
    assert again.exit_code == 0, again.output
    assert "the weights of 1 run are lost" in again.output
    assert {read_record(out, p["id"])["status"] for p in load_plan(out)} == {"done"}


def test_costs_and_records_name_groups_as_planned_now(tmp_path):
    from scaling.runs.costs import costs_of

    out = tmp_path / "out"
    study = {k: v for k, v in TRANSFER.items() if k != "pretrain"}
    slow = {"name": "slow", "recipe": {"overrides": {"lr": 1e-4}}, "machine": {}}
    half = {"name": "half", "machine": {"precision": "bfloat16"}}
    api.plan({**study, "variant": [slow, half]}).write(out)
    driver.run(out, engine="debug")
    renamed = [{**slow, "name": "tardy"}, half]
    api.plan({**study, "variant": renamed}).write(out)
    driver.run(out, engine="debug")
    assert [cost["group"] for cost in costs_of(out)] == ["half", "tardy"]
    kinds = {p["group"]: read_record(out, p["id"])["provenance"]["dtype"] for p in load_plan(out)}
    assert kinds == {"tardy": "float32", "half": "bfloat16 autocast"}
