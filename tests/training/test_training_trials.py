"""Trials: what was found once is not measured again."""

import pytest

torch = pytest.importorskip("torch")

from scaling.training import trials  # noqa: E402
from scaling.training.setup import Setup  # noqa: E402
from scaling.training.trainer import Trainer  # noqa: E402


def test_a_shape_too_short_to_compile_is_tried_once(one_point, cpu, monkeypatch):
    out, point = one_point()
    taken, real = [], trials._seconds

    def noting(trainer):
        taken.append(trainer.point["id"])
        return real(trainer)

    monkeypatch.setattr(trials, "_seconds", noting)
    monkeypatch.setattr(trials, "SECONDS", 0.0)
    for _ in range(2):
        trainer = Trainer(point, cpu, Setup(compile="trial"))
        trials.settle(trainer, out, lambda: int(point["steps"]))
        assert trainer.compiled is None
        assert trainer.step == 0
    assert taken == [point["id"]]
    assert not (out / "trials").exists()  # a longer sweep may still try
