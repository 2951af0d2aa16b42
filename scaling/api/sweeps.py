"""From a study to its points, and from points to records."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.api.words import with_keywords

if TYPE_CHECKING:
    from scaling.planning.plan import Plan
    from scaling.training.summary import Summary


@with_keywords
def plan(
    study: str | Path | Mapping[str, Any],
    *,
    smoke: bool = False,
    base: str | Path | None = None,
) -> Plan:
    """Resolve a study file, or its content as a mapping, into points.

    Files that the study names (data, a task of your own, a calibration, tuned rates, a fit for its
    prior) are read. Nothing is trained or measured.

    Parameters
    ----------
    study : str, Path or mapping
        A TOML file, or what it would hold.
    smoke : bool
        Shrink it to seconds, for tests.
    base : str or Path, optional
        Folder in which files that a mapping names are looked for; that of the file is its own.

    Returns
    -------
    Plan
        Its points in order, what was dropped and why, and what it costs.

    Raises
    ------
    ConfigError
        SC010 to SC012 for a study that cannot be read, SC005 for a file that is not there.
    PlanError
        With code, place and mend, if the design cannot be turned into points.

    Examples
    --------
    >>> study = {
    ...     "schema": 1,
    ...     "data": {"source": "stdlib"},
    ...     "model": {"family": "decoder", "context": 32},
    ...     "design": {"kind": "grid", "params": [4e3, 8e3], "data": [2e5, 4e5]},
    ...     "recipe": {"name": "bytes-small"},
    ... }
    >>> found = sc.plan(study)
    >>> len(found), found.totals["points"]
    (4, 4)
    """
    from scaling.planning.study import check_study, read_study, shrink
    from scaling.plans import plan_of

    found = isinstance(study, Mapping)
    checked = check_study(study) if isinstance(study, Mapping) else read_study(study)
    folder = (None if base is None else Path(base)) if found else Path(str(study)).parent
    return plan_of(shrink(checked) if smoke else checked, folder)


@with_keywords
def run(
    planned: Plan,
    out: str | Path,
    *,
    engine: str = "local",
    workers: int | None = None,
    device: str = "auto",
    deadline: float | None = None,
    listener: Any = None,
    track: Sequence[str] | None = None,
) -> Summary:
    """Write a plan to a folder and train its pending points.

    A point that has a record is done: the same call goes on where it was cut off.

    Parameters
    ----------
    planned : Plan
        What `plan` returned.
    out : str or Path
        Sweep folder; see ``results.csv`` there.
    engine : {"local", "debug", "ray", "slurm"}
        What starts the processes; ``debug`` trains in this one.
    workers : int, optional
        Jobs that run at once; one a core, or one a GPU, if None, and what there is under Ray and
        Slurm.
    device : {"auto", "cpu", "cuda"}
        Where models are trained; a GPU if there is one under ``auto``.
    deadline : float, optional
        Time after which running points keep a checkpoint and the run ends [s]; the study's if None.
    listener : callable, optional
        Called with every event, a mapping.
    track : sequence of {"tensorboard", "wandb", "mlflow"}, optional
        Trackers to copy what trains to; those of the study if None. One that fails is given up
        with a message, and training goes on.

    Returns
    -------
    Summary
        Records by status, time and compute spent, and messages.

    Raises
    ------
    ConfigError
        SC004 for a name that is no tracker.
    MissingExtraError
        SC001 if torch or a tracker that was named is not installed.
    TrainingError
        SC301 if another driver works on `out`; SC306 if the device is not there; SC318 if three
        points raise the same exception.

    Examples
    --------
    Training takes time, so that this example is not run with the others::

        summary = sc.run(sc.plan("study.toml"), "out")
        summary.counts  # {"done": 30, "diverged": 0, …}
        sc.fit(sc.read("out"))
    """
    from dataclasses import replace

    from scaling.plans import stages_of
    from scaling.training import driver
    from scaling.training.trackers.base import check_trackers
    from scaling.training.trackers.feed import tracked

    chosen = check_trackers(planned.study.engine.track if track is None else track)
    planned.write(out)
    section, design = planned.study.engine, planned.study.design
    limit = deadline or section.deadline_seconds
    end = None if limit is None else time.monotonic() + limit
    with tracked(out, chosen, listener) as told:
        for folder, part in stages_of(planned, Path(out)):
            summary = driver.run(
                folder,
                engine=engine,
                workers=workers,
                device=device,
                setup=part.study.engine.model_dump(mode="json"),
                trunks=part is planned and design is not None and design.trunks,
                deadline=None if end is None else max(0.0, end - time.monotonic()),
                listener=told,
            )
            if summary.stopped is not None:
                break
    return replace(summary, messages=(*summary.messages, *told.messages))
