"""The code of a user's own task: what it imports goes with it, and decides ids."""

import shutil

import pytest

pytest.importorskip("torch")

from scaling import api
from scaling.runs.records import load_plan
from scaling.training.job import run_point
from scaling.training.tasks.code import code_of

TASK = """
import random
import torch
from torch import nn
from helper import WIDTH
from parts.layers import layer
from scaling.training.tasks import Examples


class Two(Examples):
    @staticmethod
    def data(options):
        x = torch.arange(4000.0).view(-1, 4) / 4000
        return (x[:900], x[:900, :1]), (x[900:], x[900:, :1])

    @staticmethod
    def network(dial, options):
        return nn.Sequential(layer(4, dial * WIDTH), nn.ReLU(), layer(dial * WIDTH, 1))

    def each(self, model, batch):
        return (model(batch[0]) - batch[1]).square().mean(dim=1)
"""
STUDY = {
    "schema": 1,
    "data": {"task": "two_parts:Two"},
    "model": {"options": {"dials": [2, 4]}},
    "design": {"kind": "grid", "params": [25, 49], "data": [400, 800]},
    "recipe": {"name": "adamw-plain", "overrides": {"sequences": 8, "warmup_steps": 5}},
}
OURS = """
from scaling.training.tasks.text import Text


class Scaled(Text):
    def each(self, model, batch):
        return 1.0 * super().each(model, batch)
"""


@pytest.fixture
def own(tmp_path):
    import sys

    (tmp_path / "two_parts.py").write_text(TASK)
    (tmp_path / "helper.py").write_text("WIDTH = 2\n")
    (tmp_path / "random.py").write_text("raise RuntimeError('not of the task')\n")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("")
    (tmp_path / "parts" / "layers.py").write_text("from torch.nn import Linear as layer\n")
    (tmp_path / "another.py").write_text("")
    yield tmp_path
    for name in ("two_parts", "helper", "parts", "parts.layers", "scaled_text"):
        sys.modules.pop(name, None)


def test_what_a_task_imports_from_beside_it_goes_with_the_sweep(own, cpu):
    import sys

    names = ["helper.py", "parts/__init__.py", "parts/layers.py", "two_parts.py"]
    assert list(code_of("two_parts", own)) == names
    api.plan(STUDY, base=own).write(own / "out")
    assert all((own / "out" / "code" / name).is_file() for name in names)
    for name in (*names, "parts"):
        sys.modules.pop(name.removesuffix(".py").removesuffix("/__init__").replace("/", "."), None)
        if (own / name).is_file():
            (own / name).unlink()
    shutil.rmtree(own / "parts")
    point = load_plan(own / "out")[0]
    assert run_point(own / "out", point, cpu)["status"] == "done"


def test_a_change_is_seen_without_a_new_process(own):
    first = api.plan(STUDY, base=own)
    (own / "helper.py").write_text("WIDTH = 3\n")  # as long, and in the same second
    second = api.plan(STUDY, base=own)
    assert {p.N for p in first} == {25, 49}
    assert {p.N for p in second} == {37}
    assert not {p.id for p in first} & {p.id for p in second}


def test_a_module_of_the_same_name_elsewhere_is_another(own, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(own, other, dirs_exist_ok=True)
    (other / "helper.py").write_text("WIDTH = 3\n")
    assert {p.N for p in api.plan(STUDY, base=own)} == {25, 49}
    assert {p.N for p in api.plan(STUDY, base=other)} == {37}
    assert {p.N for p in api.plan(STUDY, base=own)} == {25, 49}


def test_code_that_reads_a_source_of_ours_decides_ids(own):
    (own / "scaled_text.py").write_text(OURS)
    data = {"task": "scaled_text:Scaled", "source": "markov", "options": {"tokens": 10**5}}
    study = {
        "schema": 1,
        "data": data,
        "design": {"kind": "grid", "params": [4e3], "data": [8e3, 1.6e4]},
    }
    first = api.plan(study, base=own)
    (own / "scaled_text.py").write_text(OURS.replace("1.0", "2.0"))
    second = api.plan(study, base=own)
    assert not {p.id for p in first} & {p.id for p in second}
    assert {p.data["hash"] for p in first} == {p.data["hash"] for p in second}


def test_a_tuning_stage_of_an_own_task_goes_on_from_the_sweep_folder(own, tmp_path_factory):
    from scaling.planning.study import check_study
    from scaling.plans import plan_of

    tuning = {"sizes": [25, 49, 97], "factors": [0.5, 1.0, 2.0], "ratio": 20.0}
    data = {**STUDY, "model": {"options": {"dials": [2, 4, 8]}}, "tuning": tuning}
    study, out = check_study(data), tmp_path_factory.mktemp("out")
    planned = plan_of(study, own)
    planned.write(out)
    assert [p.id for p in plan_of(study, out)] == [p.id for p in planned]
