"""The functions behind the package's public names; the command line uses the same ones."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from scaling.fitting.comparison import Comparison
    from scaling.fitting.effective_result import Effective
    from scaling.fitting.optima import Allocation
    from scaling.fitting.result import Fit, Fits
    from scaling.laws import Law
    from scaling.planning.plan import Plan
    from scaling.reporting import Report
    from scaling.training.summary import Summary


def read(
    source: str | Path,
    *,
    maps: Mapping[str, str] | None = None,
    convention: str | None = None,
    where: str | None = None,
    needs_loss: bool = True,
    curves: bool = False,
    final: bool = False,
    decimal: str = ".",
    thousands: str = "",
    kind: str | None = None,
    melt: tuple[str, str] | None = None,
    quiet: bool = False,
) -> pd.DataFrame:
    """Read and check runs from anywhere, and say on standard error how they were understood.

    Parameters
    ----------
    source : str or Path
        CSV, TSV, JSON, JSON lines or Parquet; ``"-"`` for standard input; the folder or database
        of a tracker; a study's folder.
    maps : mapping, optional
        Expression of each column that is not to be chosen by name:
        ``{"N": "params_body + params_head"}``.
    convention, where
        What N counts, in your words; condition on rows.
    needs_loss : bool
        Whether a table without a loss is an error; laws of something else need none.
    curves, final : bool
        Whether a run may have a row for each point of its curve; whether only its last counts.
    decimal, thousands : str
        How numbers are written.
    kind : str, optional
        Format or importer, where the content does not tell it.
    melt : tuple of str, optional
        ``("D", "loss")`` turns columns named by numbers into rows.
    quiet : bool
        Say nothing; a fit keeps how the table was read all the same.

    Returns
    -------
    DataFrame
        The usable rows with canonical columns N, D, C [count, count, FLOP] and loss. A fit of it
        names the file, its checksum and how each column was read, as long as it is not changed.

    Raises
    ------
    TableError
        All faults at once, each with file, row and column. `AmbiguousColumns`, one of them, has
        the choices.
    """
    import sys

    import pandas as pd

    from scaling.errors import ConfigError, Fault
    from scaling.runs.numbers import Dialect
    from scaling.runs.read import describe, frame_of, read_table

    if isinstance(source, pd.DataFrame):
        raise ConfigError(
            Fault("SC004", "read", "a frame", "a path", "sc.fit takes frames as such")
        )
    table = read_table(
        source,
        maps=maps,
        convention=convention,
        where=where,
        needs_loss=needs_loss,
        curves=curves,
        final=final,
        dialect=Dialect(decimal, thousands),
        kind=kind,
        melt=melt,
    )
    if not quiet:
        lines = describe(table) + [line for m in table.messages for line in m.lines()]
        sys.stderr.write("\n".join(lines) + "\n")
    return frame_of(table)


def fit(
    data: pd.DataFrame,
    law: str | Law | Sequence[str | Law] | None = None,
    *,
    formula: str | None = None,
    objective: str = "log-huber",
    delta: float | str | None = 1e-3,
    reduction: str = "sum",
    bootstrap: int = 1000,
    interval: float = 0.95,
    seed: int = 0,
    group: str | None = None,
    where: str | None = None,
    holdout: str | None = None,
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    weights: str | None = None,
    noise: str | None = None,
    method: str = "pairs",
    response: str | None = None,
    profile: Sequence[str] = (),
    share: Sequence[str] = (),
    cost: str | None = None,
    sensitivity: bool = False,
    backtest: bool | None = None,
    convention: str | None = None,
) -> Fit | Fits:
    """Fit a law to a table of runs.

    Parameters
    ----------
    data : DataFrame
        With columns that can be read as N, D, C and loss; it is not changed.
    law : str, Law or sequence, optional
        The law that suits the columns if None.
    formula : str, optional
        A law as a formula of columns and parameters; see `scaling.laws.formula`.
    objective, delta, reduction
        What is minimised; see `scaling.fitting.objectives`. ``delta="auto"`` takes the threshold
        from the residuals.
    bootstrap, interval, seed, method
        Replicates, level, seed and kind (``pairs``, ``wild`` or ``delta``) of the intervals.
    group, where, holdout, weights, noise
        Column to split by; conditions on rows; row weights and standard deviations by expressions.
    response : str, optional
        Column that the law gives; the law's own if None.
    profile, share : sequence of str, optional
        Parameters whose profile is traced; parameters that are the same in every group.
    cost : str, optional
        What a, b and allocations count as compute: ``6nd``, ``table`` or a formula of N and D.
    sensitivity : bool
        Whether to fit again in many ways; ``fit.sensitivity`` then holds a row for each.
    backtest : bool, optional
        Whether to score laws on larger runs than they are fitted to; ``fit.backtest`` then holds
        the errors. Wherever there are replicates if None.
    fixed, bounds
        Parameters held at a value, and bounds that replace the law's.

    Returns
    -------
    Fit or Fits
        One law on one group gives one Fit; several give Fits.

    Raises
    ------
    ScalingError
        With code, place and mend, if the table or an option cannot be used.
    """
    from scaling.fitting.analyse import analyse, needs_a_loss
    from scaling.fitting.options import Options
    from scaling.laws import Law
    from scaling.laws.formula import from_formula
    from scaling.runs.read import from_frame

    options = Options(
        objective,
        delta,
        reduction,
        bootstrap,
        interval,
        seed,
        fixed or {},
        bounds or {},
        holdout,
        weights,
        noise,
        method,
        response,
        tuple(profile),
        tuple(share),
        cost,
    )
    laws: list[str | Law] = []
    if law is not None:
        laws = [law] if isinstance(law, (str, Law)) else list(law)
    needs_loss = needs_a_loss(laws, response)
    table = from_frame(data, convention=convention, where=where, needs_loss=needs_loss, group=group)
    if formula is not None:
        laws.append(from_formula(formula, map(str, table.frame), response))
    found = analyse(
        table,
        laws=laws,
        group=group,
        options=options,
        sensitivity=sensitivity,
        backtest=backtest,
    )
    return found.fits[0] if len(found) == 1 else found


def isoflop(
    data: pd.DataFrame,
    *,
    minimum: str = "powers",
    edge: str = "refuse",
    bootstrap: int = 1000,
    interval: float = 0.95,
    seed: int = 0,
    resample: str = "noise",
) -> Allocation:
    """Find the loss minimum of each budget and the exponents through them.

    See `scaling.fitting.isoflop.isoflop_allocation`; several groups are taken as one.
    """
    import numpy as np

    from scaling.fitting.isoflop import Options, isoflop_allocation
    from scaling.runs.read import from_frame

    table = from_frame(data)
    options = Options(minimum, edge, bootstrap, interval, seed, resample)
    return isoflop_allocation(table, options, None, np.ones(len(table), dtype=bool))


def envelope(
    data: pd.DataFrame,
    *,
    bins: int | tuple[float, float, int] | None = None,
    edge: str = "refuse",
    bootstrap: int = 1000,
    interval: float = 0.95,
    seed: int = 0,
) -> Allocation:
    """Find the best runs at their compute and the power laws through them.

    `data` holds finished runs, or whole curves with a row for each point of a run; see
    `scaling.fitting.envelope.envelope_allocation`. Several groups are taken as one.
    """
    import numpy as np

    from scaling.fitting.envelope import Options, envelope_allocation
    from scaling.runs.read import from_frame

    table = from_frame(data, curves=True)
    options = Options(bins, edge, bootstrap, interval, seed)
    return envelope_allocation(table, options, None, np.ones(len(table), dtype=bool))


def compare(
    fits: Fit | Fits | Sequence[Fit],
    *,
    interval: float = 0.95,
    at: Sequence[float] = (),
    reference: str | None = None,
) -> Comparison:
    """Compare laws on the same runs, recipes on the same grid, and all with published values.

    Parameters
    ----------
    fits : Fit, Fits or sequence of Fit
        Fits of one table by several laws are ranked; fits of several groups or tables are compared
        as recipes, the first being the reference.
    interval : float
        Level of the intervals.
    at : sequence of float
        Compute at which recipes are compared beside that of their grid [FLOP].
    reference : str, optional
        Group that is the reference.

    Returns
    -------
    Comparison
        ``.to_frame()``, ``.summary()`` and ``.as_dict()`` show it.
    """
    from scaling.fitting.comparison import compare_fits
    from scaling.fitting.result import Fit as One
    from scaling.fitting.result import Fits as Content

    several = (fits,) if isinstance(fits, One) else fits
    chosen = list(several.fits) if isinstance(several, Content) else list(several)
    return compare_fits(chosen, level=interval, at=at, reference=reference)


def effective(
    data: pd.DataFrame,
    *,
    reference: str,
    form: str = "multiplier",
    response: str | None = None,
    group: str | None = None,
    where: str | None = None,
    objective: str = "log-huber",
    delta: float | str | None = 1e-3,
    bootstrap: int = 1000,
    interval: float = 0.95,
    seed: int = 0,
) -> Effective:
    """Say how much data of a reference group the treatment of every other group is worth.

    Parameters
    ----------
    data : DataFrame
        Runs with columns that can be read as group, D, a loss, and N where sizes differ.
    reference : str
        Group that measures: no augmentation, or training from scratch.
    form : {"multiplier", "transfer"}
        ``L_group(N, D) = L_ref(N, m D)``, or ``D_T = D_E - D_F = k D_F**alpha N**beta`` (Hernandez
        et al. 2021); see `scaling.fitting.effective`.
    response : str, optional
        Column to compare; the loss if None.
    group, where : str, optional
        Column to split by, and a condition on rows.
    objective, delta
        What is minimised, as in `fit`.
    bootstrap, interval, seed
        Replicates, level and seed of the intervals.

    Returns
    -------
    Effective
        ``.treatments``, ``.to_frame()``, ``.summary()`` and ``.as_dict()`` show it.

    Raises
    ------
    ScalingError
        SC004 for an unknown reference or one group only; SC401 for too few runs of it; SC433 if no
        group shares a size with it.
    """
    from scaling.fitting.effective import Ask, effective_data
    from scaling.fitting.options import Options
    from scaling.runs.read import from_frame
    from scaling.runs.table import finished

    needs_loss = response in (None, "loss")
    table = finished(from_frame(data, where=where, needs_loss=needs_loss, group=group))
    options = Options(
        objective, delta, bootstrap=bootstrap, interval=interval, seed=seed, response=response
    )
    return effective_data(table, Ask(form, reference), group=group, options=options)


def load(path: str | Path) -> Fit | Fits:
    """Read a ``fit.json``: one Fit if it holds one, else Fits."""
    from scaling.fitting.stored import load as load_fits

    found = load_fits(path)
    return found.fits[0] if len(found) == 1 else found


def law(name: str) -> Law:
    """Return the law called `name`."""
    from scaling.laws import get

    return get(name)


def plan(
    study: str | Path | Mapping[str, Any],
    *,
    smoke: bool = False,
    base: str | Path | None = None,
) -> Plan:
    """Resolve a study file, or its content as a mapping, into points.

    Files that the study names (data, a task of your own, a calibration, tuned rates, a fit for its
    prior) are read.

    Parameters
    ----------
    study : str, Path or mapping
    smoke : bool
        Shrink it to seconds, for tests.
    base : str or Path, optional
        Folder in which files that a mapping names are looked for; that of the file is its own.

    Raises
    ------
    ConfigError, PlanError
        With code, place and mend, if the study or its design cannot be used.
    """
    from scaling.planning.study import check_study, read_study, shrink
    from scaling.plans import plan_of

    found = isinstance(study, Mapping)
    checked = check_study(study) if isinstance(study, Mapping) else read_study(study)
    folder = (None if base is None else Path(base)) if found else Path(str(study)).parent
    return plan_of(shrink(checked) if smoke else checked, folder)


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
    """Write a plan to `out` and train its pending points; see `scaling.training.driver.run`.

    Parameters
    ----------
    planned : Plan
    out : path
        Sweep folder.
    engine, workers, device, listener
        As in `scaling.training.driver.run`.
    deadline : float, optional
        Time after which running points keep a checkpoint and the run ends [s]; the study's if None.
    track : sequence of {"tensorboard", "wandb", "mlflow"}, optional
        Trackers to copy what trains to; those of the study if None. One that fails is given up
        with a message, and training goes on.

    Raises
    ------
    ConfigError
        SC004 for a name that is no tracker.
    MissingExtraError
        SC001 if torch or a tracker that was named is not installed.
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


def report(
    fits: Fit | Fits | Comparison | Sequence[Fit],
    *,
    title: str | None = None,
    target_flops: float | None = None,
) -> Report:
    """Lay out fits as a document; ``.write("r.html")`` renders it by the file's ending.

    Parameters
    ----------
    fits : Fit, Fits, Comparison or sequence of Fit
        Fits of several tables, and what `compare` returned, give a comparison report.
    title : str, optional
    target_flops : float, optional
        Compute that the question is about [FLOP].
    """
    from scaling.fitting.comparison import Comparison as Compared
    from scaling.fitting.fit import surface_allocation
    from scaling.fitting.parties import compare_parts, of_fits
    from scaling.fitting.result import Fit as One
    from scaling.fitting.result import Fits as Content
    from scaling.reporting import Report, build
    from scaling.reporting.comparison import build_comparison

    if isinstance(fits, Compared):
        return Report(build_comparison(fits, title=title, target_flops=target_flops))
    if not isinstance(fits, Content):
        several = (fits,) if isinstance(fits, One) else tuple(fits)
        if any(fit.table != several[0].table for fit in several[1:]):
            parts = of_fits(several)
            at = () if target_flops is None or len(parts) < 2 else (target_flops,)
            found = compare_parts(parts, at=at)
            return Report(build_comparison(found, parts, title=title, target_flops=target_flops))
        made = [surface_allocation(item) for item in several]
        laws = tuple(item.backtest for item in several if item.backtest)
        shown = tuple(a for a in made if a)
        fits = Content(several, shown, several[0].table, laws=laws)
    return Report(build(fits, title=title, target_flops=target_flops))
