"""Which runs to add to finished ones, from what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, FitError, Message, PlanError
from scaling.fitting.analyse import analyse
from scaling.fitting.inputs import require_columns
from scaling.fitting.options import Options
from scaling.fitting.result import Fit
from scaling.laws.cost import SIX_ND, Cost
from scaling.planning.additions import Suggestions, additions, anywhere, around
from scaling.planning.choosing.information import NAMES, Runs, precision
from scaling.planning.choosing.prior import Noise, Prior, posterior
from scaling.planning.inputs import read_inputs
from scaling.planning.planner import Planner
from scaling.planning.sections import Study
from scaling.planning.sections_fit import FitSection
from scaling.planning.sizes import cost_through
from scaling.planning.study import kept_study
from scaling.runs.manifest import Manifest
from scaling.runs.read import read_table
from scaling.runs.records import load_plan
from scaling.runs.table import RunsTable, clusters, finished

Array = NDArray[np.float64]
DRAWS, REPLICATES = 32, 300  # truths that stand for a posterior, and draws that they are taken from
QUARTER = 0.25  # of the compute so far: what is added where nothing is said
LEAST_NOISE = 1e-6


def suggest(
    source: str | Path,
    *,
    law: str | None = None,
    decision: str = "all",
    budget: float | None = None,
    target: float | None = None,
    most: int = 8,
) -> Suggestions:
    """Choose runs to add to finished ones.

    Parameters
    ----------
    source : str or Path
        Sweep folder, whose study says which models there are and how runs are fitted, or a table.
    law : str, optional
        That is fitted, for a posterior; the study's, else chinchilla.
    decision : {"size", "loss", "exponent", "all"}
        What the additions are chosen for: N*, the loss at the target, the exponent a, or all.
    budget : float, optional
        Compute of the additions [FLOP]; a quarter of the runs so far if None.
    target : float, optional
        C of the decision [FLOP]; the study's, else ten times the largest run.
    most : int
        Runs to choose.

    Returns
    -------
    Suggestions
        ``.chosen``, the best set within the budget; ``.menu``, the best single run at each level
        of cost; standard errors before and after. ``.as_toml()`` goes into a study file.

    Raises
    ------
    TableError
        If the runs cannot be read.
    PlanError
        SC243 if they do not determine the law and no prior is given; SC210 for a law that is not
        one of N and D.

    Examples
    --------
    >>> runs.to_csv("finished.csv", index=False)
    >>> found = sc.suggest("finished.csv", budget=1e20, most=3)
    >>> bool(found.after["a"] < found.before["a"])
    True
    """
    path = Path(source)
    study, _ = found = _study(path)
    section = FitSection() if study is None else study.fit[0]
    law = law or next(iter(section.laws), "chinchilla")
    own = None if study is None else study.data.where
    wanted = [text for text in (own, section.where) if text is not None]
    table = read_table(path, where=" and ".join(f"({text})" for text in wanted) or None)
    require_columns(table, ("N", "D"), None)
    fit = _fit(table, law, section)
    if fit is not None and set(fit.law.variables) != {"N", "D"}:
        reads = f"law {fit.law.name} reads {', '.join(fit.law.variables)}"
        mend = "suggest runs from the study's design, or name a law of both: --law chinchilla"
        raise PlanError(Fault("SC210", "suggest", reads, "a law of the loss, of N and D", mend))
    return _chosen(path, table, fit, law, found, decision, budget, target, most)


def suggest_for(
    table: RunsTable, fit: Fit | None, *, source: str | Path, target: float | None = None
) -> Suggestions:
    """Choose runs to add to a table that was read and fitted; see `suggest`.

    Parameters
    ----------
    table : RunsTable
    fit : Fit or None
        With draws; None if there is none.
    source : str or Path
        Where the table came from: a sweep folder says which models there are.
    target : float, optional
        C of the decision [FLOP].

    Raises
    ------
    TableError
        SC105 if the table has no N or no D.
    PlanError
        As for `suggest`.
    """
    require_columns(table, ("N", "D"), None)
    law = "chinchilla" if fit is None else fit.law.name
    path = Path(source)
    return _chosen(path, finished(table), fit, law, _study(path), "all", None, target, 8)


def _chosen(
    path: Path,
    table: RunsTable,
    fit: Fit | None,
    law: str,
    known: tuple[Study | None, Planner | None],
    decision: str,
    budget: float | None,
    target: float | None,
    most: int,
) -> Suggestions:
    study, planner = known
    used = table.frame.loc[table.used]
    several = [str(g) for g in used["group"].dropna().unique()] if "group" in used else []
    if fit is not None and fit.group is not None and len(several) > 1:
        used = used[used["group"] == fit.group]
    size, data = (used[k].to_numpy(dtype=np.float64) for k in ("N", "D"))
    name, labels = clusters(used)
    runs = Runs(size, data, None, labels if name == "trunk" else None)
    prior, messages = _belief(fit, law, planner, path)
    if planner is None:
        cost = _cost_of(used)
        found, compute = anywhere(runs, cost), cost.compute(size, data)
    else:
        cost = planner.cost
        found, compute = around(planner, runs), planner.sizes.flops_at(size) * data
    spent, largest = float(compute.sum()), float(compute.max())
    if target is None:
        target = (None if study is None else study.study.target_flops) or 10.0 * largest
    if target <= largest:
        text = f"The target of {target:.3g} FLOP is no larger than the largest run ({largest:.3g})."
        messages.append(Message("SC233", text))
    if len(several) > 1:
        of = "all of them" if fit is None or fit.group is None else f"{fit.group} alone"
        text = f"The runs are of {len(several)} groups; what is suggested follows from {of}."
        messages.append(Message("SC252", text, "info"))
    if fit is not None and fit.members and fit.identified:
        prior, told = _determined(prior, runs, target, cost)
        messages += told
    made = additions(
        prior,
        runs,
        found,
        target=target,
        spent=spent,
        decision=decision,
        budget=QUARTER * spent if budget is None else budget,
        most=most,
        cost=cost,
    )
    return replace(made, messages=tuple(messages))


def _cost_of(used: pd.DataFrame) -> Cost:
    """What C of a table counts; 6ND where it has none or is near that."""
    if "C" not in used or used["C"].isna().any():
        return SIX_ND
    size, data, compute = (used[k].to_numpy(dtype=np.float64) for k in ("N", "D", "C"))
    return cost_through(size, compute / data)


def _study(source: Path) -> tuple[Study | None, Planner | None]:
    """The study of a sweep folder, and its planner where its models are known without counting."""
    study = kept_study(source)
    if study is None:
        return None, None
    try:
        data = load_plan(source)[0]["data"]
        manifest = Manifest(**{k: v for k, v in data.items() if k != "unique"})
    except (ValueError, TypeError, KeyError, IndexError):
        where, found = str(source / "plan.jsonl"), "is not what `scaling sweep plan` writes"
        raise ConfigError(Fault("SC012", where, found, "a plan", "plan again")) from None
    if study.design is None or ":" in study.model.family or study.model.counts is not None:
        return study, None
    return study, Planner(study, manifest)


def _fit(table: RunsTable, law: str, section: FitSection) -> Fit | None:
    """The fit of a law, as the study asks; None with too few runs for it."""
    options = Options(section.objective, section.delta, bootstrap=REPLICATES)
    try:
        return analyse(
            table, laws=[law], approaches=["surface"], options=options, backtest=False
        ).fits[0]
    except FitError:
        return None


def _belief(
    fit: Fit | None, law: str, planner: Planner | None, source: Path
) -> tuple[Prior, list[Message]]:
    """The posterior, or the study's prior where runs do not determine the law yet."""
    if fit is not None and fit.identified and fit.draws:
        fitted = fit.fitted
        predicted = np.asarray(fit.law.loss(dict(fit.params), fitted))
        residual = np.log(fitted["loss"]) - np.log(predicted)
        left = max(1, fit.n - len(fit.certificate.get("free", fit.law.names)))
        sd = float(np.sqrt((residual**2).sum() / left))
        return posterior(fit.law, fit.draws, Noise(max(sd, LEAST_NOISE)), most=DRAWS), []
    prior = None if planner is None else _prior(planner, source)
    status = "too few" if fit is None else fit.status
    if prior is None:
        raise PlanError(
            Fault(
                "SC243",
                "suggest",
                f"the runs do not determine {law} ({status})",
                "a fit that is identified, or a study with a [prior] or a center",
                "finish more of the plan first",
            )
        )
    text = f"The runs do not determine {law} yet ({status}): what is suggested "
    return prior, [Message("SC243", text + f"follows from the prior, {prior.name}.")]


def _determined(prior: Prior, runs: Runs, target: float, cost: Cost) -> tuple[Prior, list[Message]]:
    """Leave out draws of weighted laws that the runs do not determine or that have no optimum."""
    kept = []
    for truth in prior.truths:
        try:
            found = precision(truth, runs, target, cost)
        except PlanError:
            continue
        if found.identified and all(np.isfinite(found.se[name]) for name in NAMES):
            kept.append(truth)
    if len(kept) in (0, len(prior.truths)):
        return prior, []
    lost = len(prior.truths) - len(kept)
    left = f"{lost} of {len(prior.truths)} draws, of laws that the runs do not determine at"
    text = f"What is suggested leaves out {left} {target:.3g} FLOP."
    return Prior(tuple(kept), prior.name), [Message("SC243", text, "info")]


def _prior(planner: Planner, source: Path) -> Prior | None:
    """The prior of a sweep's study; a fit that it names is looked for in the folder, then here."""
    section = planner.study.prior
    if section is None or section.fit is None:
        return planner.prior
    alone = Study(schema=1, data=planner.study.data, prior=section)
    return replace(planner, inputs=read_inputs(alone, source)).prior
