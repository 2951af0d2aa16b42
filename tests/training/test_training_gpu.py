"""The same loop on a CUDA device: bfloat16 compute, float32 weights, exact tokens, resume."""

import itertools
import json

import pytest

torch = pytest.importorskip("torch")

from typer.testing import CliRunner  # noqa: E402

from scaling.cli.app import app  # noqa: E402
from scaling.runs.records import load_plan, read_record  # noqa: E402
from scaling.training import trials  # noqa: E402
from scaling.training.job import run_point  # noqa: E402
from scaling.training.loop import Stopped  # noqa: E402
from scaling.training.setup import Setup  # noqa: E402
from scaling.training.stack import Stack  # noqa: E402
from scaling.training.tasks.corpus import Corpus  # noqa: E402
from scaling.training.trainer import Trainer  # noqa: E402
from scaling.training.watch import CHECK_EVERY  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("engine", ["debug", "local"])
def test_a_sweep_on_cuda_agrees_with_the_cpu(planned, engine):
    losses = {}
    for device in ("cpu", "cuda"):
        out = planned(device)
        options = ["--engine", engine, "--device", device, "--workers", "1"]
        done = CliRunner().invoke(app, ["sweep", "run", str(out), *options])
        assert done.exit_code == 0, done.output
        records = [read_record(out, point["id"]) for point in load_plan(out)]
        for record in records:
            assert record["status"] == "done", record["cause"]
            assert record["steps_done"] * record["point"]["batch"] == record["point"]["D"]
        dtypes = {record["provenance"]["dtype"] for record in records}
        assert dtypes == {"bfloat16 autocast" if device == "cuda" else "float32"}
        assert {record["provenance"]["device"] == "cpu" for record in records} == {device == "cpu"}
        losses[device] = [record["loss"] for record in records]
    assert losses["cuda"] == pytest.approx(losses["cpu"], abs=0.05)


def test_compute_is_bfloat16_and_the_rest_float32(one_point):
    _, point = one_point()
    trainer = Trainer(point, torch.device("cuda"))
    seen = set()
    trainer.model.head.register_forward_hook(lambda module, given, out: seen.add(out.dtype))
    loss, _ = trainer.train_step()
    assert seen == {torch.bfloat16}
    assert loss.dtype == torch.float32
    assert {p.dtype for p in trainer.model.parameters()} == {torch.float32}
    assert {p.device.type for p in trainer.model.parameters()} == {"cuda"}
    moments = [v for s in trainer.optimizer.state.values() for v in s.values()]
    assert {v.dtype for v in moments} == {torch.float32}


def test_a_run_that_was_stopped_goes_on(one_point):
    device, looks = torch.device("cuda"), itertools.count(1)
    whole = run_point(*one_point("whole"), device)
    out, point = one_point("cut")
    with pytest.raises(Stopped):
        run_point(out, point, device, stop=lambda: next(looks) == 3)
    again = run_point(out, point, device)
    assert 3 * CHECK_EVERY < again["steps_done"] == whole["steps_done"] == point["steps"]
    assert again["loss"] == pytest.approx(whole["loss"], abs=0.02)


@pytest.mark.parametrize("choice", ["inductor", "graphs"])
def test_compiled_passes_agree_with_eager_ones(one_point, choice):
    _, point = one_point()
    device = torch.device("cuda")
    eager, compiled = Trainer(point, device), Trainer(point, device)
    trials.use(compiled, choice)
    compiled.micro = point["sequences"] // 2  # so that one pass could overwrite the other's loss
    for _ in range(40):
        first, second = float(eager.train_step()[0]), float(compiled.train_step()[0])
        assert second == pytest.approx(first, abs=0.02)


def test_a_trial_on_cuda_keeps_its_choice(one_point, monkeypatch):
    monkeypatch.setattr(trials, "WORTH", 0.0)
    out, point = one_point()
    record = run_point(out, point, torch.device("cuda"))
    (kept,) = (out / "trials").glob("compile-*.json")
    found = json.loads(kept.read_text())
    assert set(found["seconds"]) | set(found.get("failed", {})) == {"off", "inductor", "graphs"}
    assert (record["provenance"]["compiled"] or "off") == found["choice"]


def test_a_stack_on_cuda_agrees_with_separate_runs(planned):
    design = {"kind": "grid", "params": [1.9e3], "data": [1.2e4], "seeds": 3}
    out = planned(design=design)
    device, points = torch.device("cuda"), load_plan(out)
    setup = Setup(precision="float64")
    stack, alone = Stack(points, device, setup), [Trainer(p, device, setup) for p in points]
    for _ in range(50):
        together = stack.train_step()[0]
        apart = torch.stack([trainer.train_step()[0] for trainer in alone])
        assert (together - apart).abs().max() < 1e-9


def test_data_beside_the_device_are_copied_ahead(one_point):
    _, point = one_point()
    device = torch.device("cuda")
    here, there = Trainer(point, device), Trainer(point, device)
    there.task.corpus = Corpus(point["data"], 16, 100, device, resident=False)
    for step in range(10):
        assert torch.equal(here.load(step), there.load(step))
        there.train_step()
        assert there._next[0] == there.step


def test_provenance_names_device_and_driver(one_point):
    found = run_point(*one_point(tokens=4e3), torch.device("cuda"))["provenance"]
    assert found["device"] == torch.cuda.get_device_name()
    assert found["tf32"] is True
    assert {"driver", "cuda", "cudnn"} <= set(found)
