"""Sweep folders whose runs are drawn from a law instead of trained."""

import numpy as np

import scaling as sc
from scaling.runs.records import commit_record, write_results

TRUTH = {"E": 1.8, "A": 480.0, "B": 2085.0, "alpha": 0.35, "beta": 0.37}


def finish(folder, plan, *, noise=0.004, seed=0, every=1, law="chinchilla", truth=TRUTH):
    """Write a plan into a folder, with a record for every so many of its points."""
    plan.write(folder)
    rng = np.random.default_rng(seed)
    points = list(plan)
    for point in points[::every]:
        x = {"N": np.array([float(point.N)]), "D": np.array([float(point.D)])}
        loss = float(sc.law(law).loss(truth, x)[0] * np.exp(noise * rng.standard_normal()))
        record = {"id": point.id, "status": "done", "loss": loss, "loss_se": None,
                  "train_loss": loss, "steps_done": point.steps, "cause": None}  # fmt: skip
        assert commit_record(folder, record)
    write_results(folder, [vars(p) for p in points])
    return folder
