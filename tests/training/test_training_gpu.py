"""The same loop on a CUDA device: bfloat16 compute, float32 weights, exact tokens, resume."""

import itertools

import pytest

torch = pytest.importorskip("torch")

from typer.testing import CliRunner  # noqa: E402

from scaling.cli.app import app  # noqa: E402
from scaling.runs.records import load_plan, read_record  # noqa: E402
from scaling.training.job import run_point  # noqa: E402
from scaling.training.loop import Stopped  # noqa: E402
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
