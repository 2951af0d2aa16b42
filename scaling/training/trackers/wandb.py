"""W&B: one run a point, online or, with ``WANDB_MODE=offline``, in ``OUT/track/wandb``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from scaling.training.trackers.base import End, Point, Row, settings_of, title_of

INIT_SECONDS = 30.0
STEP = "step"


class WandB:
    """Runs whose id is the point's, so that a resumed study goes on with them.

    W&B's own step only grows, but a curve arrives after the live values; every metric therefore has
    the metric ``step`` for its axis. W&B's own is the step of live values, so that what two logs of
    one run say of a step meets, and the curve is put behind them.
    """

    def __init__(self, folder: Path) -> None:
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        self.wandb, self.folder = wandb, folder
        self.runs: dict[str, Any] = {}
        if wandb.setup().settings.mode in ("online", "shared"):
            _check_key(wandb)

    def begin(self, point: Point) -> int:
        """Open the run, or resume it."""
        run = self.wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "scaling",
            id=point["id"],
            name=title_of(point),
            group=point["group"],
            dir=str(self.folder),
            config=settings_of(point),
            resume="allow",
            settings=self.wandb.Settings(
                reinit="create_new",  # several points run at once
                init_timeout=INIT_SECONDS,
                console="off",
                silent=True,
                disable_git=True,
                disable_code=True,
                x_disable_meta=True,
                x_save_requirements=False,
                x_disable_stats=True,  # they would be the driver's, not the worker's
            ),
        )
        self.runs[point["id"]] = run
        run.define_metric(STEP, hidden=True)
        run.define_metric("*", step_metric=STEP)
        last: Any = dict(run.summary).get(STEP) if run.resumed else None
        return int(last or 0)

    def log(self, name: str, row: Row) -> None:
        """Add live values."""
        run, step = self.runs[name], row[0]
        run.log({STEP: step, **row[1]}, step=max(step, run.step + 1))

    def end(self, name: str, end: End) -> None:
        """Add the curve and the result, and finish."""
        run = self.runs[name]
        last = max(end.step, run.step)
        for behind, (step, values) in enumerate(end.curve, start=last + 1):
            run.log({STEP: step, **values}, step=behind)
        run.summary.update({STEP: end.step, "status": end.status, **end.values})
        if end.cause:
            run.summary["cause"] = end.cause
        del self.runs[name]
        run.finish(exit_code=0 if end.status == "done" else 1)

    def close(self) -> None:
        """Finish runs that were cut off; W&B shows them as failed until they are resumed."""
        while self.runs:
            self.runs.popitem()[1].finish(exit_code=1)


def _check_key(wandb: Any) -> None:
    """Fail without a key: W&B would ask for one on the terminal, where the table is drawn."""
    try:
        known = wandb.login(prompt=False)
    except TypeError:  # an older W&B
        known = bool(wandb.api.api_key)
    if not known:
        raise RuntimeError("no key is configured; `wandb login`, or WANDB_MODE=offline")
