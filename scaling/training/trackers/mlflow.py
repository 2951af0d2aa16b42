"""MLflow: one run a point, in ``MLFLOW_TRACKING_URI`` or else ``OUT/track/mlflow/mlflow.db``."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from scaling.training.trackers.base import End, Point, Row, pieces, settings_of, title_of

TAG = "scaling.point"
LIVE = "live/tokens"  # of which every live row has one
PARAMS, METRICS = 100, 1000  # what a server takes at once


class MLflow:
    """Runs found again by a tag that holds the point's id; nothing global of MLflow is set."""

    def __init__(self, folder: Path) -> None:
        # They tell of the tables that they make, and print what they raise as well.
        for noisy in ("mlflow.store.db.utils", "alembic"):
            logging.getLogger(noisy).setLevel(logging.CRITICAL)
        from mlflow import MlflowClient

        address, place = os.environ.get("MLFLOW_TRACKING_URI"), None
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "scaling"
        if not address:
            address, place = _database(folder), (folder / "artifacts").as_uri()
        self.client = MlflowClient(tracking_uri=address)
        known = self.client.get_experiment_by_name(name)
        self.experiment = (
            self.client.create_experiment(name, artifact_location=place)
            if known is None
            else known.experiment_id
        )
        self.runs: dict[str, str] = {}

    def begin(self, point: Point) -> int:
        """Open the run, or the one with this point's tag."""
        from mlflow.entities import Param

        wanted = f"tags.`{TAG}` = '{point['id']}'"
        found = self.client.search_runs([self.experiment], wanted, max_results=1)
        if found:
            run = self.runs[point["id"]] = found[0].info.run_id
            self.client.update_run(run, status="RUNNING")
            known = self.client.get_metric_history(run, LIVE)
            return max((item.step for item in known), default=0)
        tags = {TAG: point["id"], "scaling.group": point["group"], "scaling.trunk": point["trunk"]}
        made = self.client.create_run(self.experiment, tags=tags, run_name=title_of(point))
        run = self.runs[point["id"]] = made.info.run_id
        params = [Param(key, str(value)) for key, value in settings_of(point).items()]
        for piece in pieces(params, PARAMS):
            self.client.log_batch(run, params=piece)
        return 0

    def log(self, name: str, row: Row) -> None:
        """Add live values."""
        self._log(self.runs[name], [row])

    def end(self, name: str, end: End) -> None:
        """Add the curve and the result, and terminate."""
        run = self.runs[name]
        self._log(run, [*end.curve, (end.step, end.values)])
        self.client.set_tag(run, "scaling.status", end.status)
        if end.cause:
            self.client.set_tag(run, "scaling.cause", end.cause[-1000:])
        self.client.set_terminated(run, "FINISHED" if end.status == "done" else "FAILED")
        del self.runs[name]

    def close(self) -> None:
        """Mark runs that were cut off."""
        while self.runs:
            self.client.set_terminated(self.runs.popitem()[1], "KILLED")

    def _log(self, run: str, rows: list[Row]) -> None:
        from mlflow.entities import Metric

        now = round(1000 * time.time())
        found = [Metric(k, v, now, step) for step, values in rows for k, v in values.items()]
        for piece in pieces(found, METRICS):
            self.client.log_batch(run, metrics=piece)


def _database(folder: Path) -> str:
    """Return the address of the database in `folder`, made if it is not there.

    MLflow makes its tables by many migrations, and refuses for ever a database that an interrupt
    left half of them. So they are made under another name.
    """
    from mlflow import MlflowClient

    folder.mkdir(parents=True, exist_ok=True)
    path, fresh = folder / "mlflow.db", folder / f"mlflow.db.{os.getpid()}.tmp"
    if not path.exists():
        for left in folder.glob("mlflow.db.*.tmp"):
            left.unlink()
        MlflowClient(tracking_uri=f"sqlite:///{fresh}").search_experiments()
        fresh.replace(path)
    return f"sqlite:///{path}"
