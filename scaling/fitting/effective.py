"""Effective data: how much data of a reference the treatment of a group is worth.

Two forms. ``multiplier``: ``L_group(N, D) = L_ref(N, m D)``, as augmentation is often said to act.
``transfer``: pre-training is worth ``D_T = D_E - D_F`` examples, where D_E is the data at which
training from scratch has the loss of the treated run at D_F, and ``D_T = k D_F**alpha N**beta``.
In both the reference's own curve is turned round at each treated cell, so that a reader sees
whether one number is enough.

References
----------
Hernandez et al. (2021), Scaling Laws for Transfer, eqs. 1.1 and 1.2; Lin et al. (2024), Selecting
Large Language Model to Fine-tune via Rectified Scaling Law, for the treated runs by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, FitError, Message, QuestionError, TableError
from scaling.fitting import objectives
from scaling.fitting.data import Data
from scaling.fitting.effective_alone import fitted_alone
from scaling.fitting.effective_cells import (
    Reference,
    as_rows,
    band,
    mean_ratio,
    noise_of,
    turned,
)
from scaling.fitting.effective_curve import MOST, Curve, Runs, nearest
from scaling.fitting.effective_joint import multiplier, transfer
from scaling.fitting.effective_result import FORMS, Effective, Treatment, Verdict
from scaling.fitting.effective_text import interval_kind, sentence
from scaling.fitting.effective_told import about_cells, about_reference, about_slopes
from scaling.fitting.estimate import estimate
from scaling.fitting.inputs import (
    data_of,
    given_delta,
    groups,
    holdout_rows,
    place,
    require,
    weights_of,
)
from scaling.fitting.options import Options, check_level
from scaling.fitting.spread import spread_about
from scaling.laws import get
from scaling.runs.table import RunsTable, clusters

Array = NDArray[np.float64]
Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class Ask:
    """What is asked: the ``form`` and the ``reference`` group."""

    form: str
    reference: str


def asked(form: str | None, reference: str | None) -> Ask | None:
    """Return what two options ask for; None without either.

    Raises
    ------
    ConfigError
        SC004 for one without the other.
    """
    if form is None and reference is None:
        return None
    if form is None or reference is None:
        option, other = (
            ("--reference", "--effective") if form is None else ("--effective", "--reference")
        )
        found = f"without {other}"
        expected = "--effective multiplier|transfer with --reference GROUP"
        raise ConfigError(Fault("SC004", option, found, expected))
    return Ask(form, reference)


def effective_data(
    table: RunsTable, ask: Ask, *, group: str | None = None, options: Options | None = None
) -> Effective:
    """Measure every other group by the data that the reference would need.

    Parameters
    ----------
    table : RunsTable
        Finished runs with D and a response, in two groups or more; with N where sizes differ.
    ask : Ask
    group : str, optional
        Column to split by.
    options : Options, optional
        Objective, bootstrap, level, seed and response; bounds and held parameters do not count.

    Raises
    ------
    ConfigError
        SC004 for an unknown form or reference, or one group only.
    QuestionError
        SC433 if no group shares a size with the reference.
    FitError
        SC401 if the reference has too few runs for its curve.
    """
    chosen = replace(options or Options(), fixed={}, bounds={}, share=(), profile=())
    check_level(chosen.interval)
    members = dict(_members(table, ask, group))
    gathered = {name: _gathered(table, chosen, name, rows) for name, rows in members.items()}
    reference = _reference(table, ask.reference, gathered.pop(ask.reference), chosen)
    treatments: list[Treatment] = []
    messages = about_reference(reference)
    for stream, (name, runs) in enumerate(gathered.items(), start=1):
        kept, told = _shared_sizes(reference, runs, name)
        if not len(kept):
            messages += told
            continue
        own = fitted_alone(table, chosen, name, members[name])
        made = _treatment(reference, kept, name, ask.form, chosen, stream)
        treatments.append(replace(made, curves=own, messages=(*told, *made.messages)))
    if not treatments:
        found, expected = "no group shares a size with it", "runs of equal N, within 2%"
        raise QuestionError(Fault("SC433", f"group {ask.reference}", found, expected))
    kind = interval_kind(chosen.method, reference.found.cluster) if reference.draws else ""
    return Effective(
        form="transfer" if ask.form == "transfer" else "multiplier",
        reference=ask.reference,
        response=chosen.response or "loss",
        level=chosen.interval,
        kind=kind,
        curve=_curve_block(reference),
        treatments=tuple(treatments),
        lines=band(reference),
        runs=reference.runs.columns(),
        messages=tuple(messages),
    )


def _members(table: RunsTable, ask: Ask, group: str | None) -> list[tuple[str, Rows]]:
    """Groups by name, the reference among them."""
    if ask.form not in FORMS:
        raise ConfigError(Fault("SC004", "--effective", f'"{ask.form}"', " or ".join(FORMS)))
    found = [(str(name), rows) for name, rows in groups(table, group) if name is not None]
    if len(found) < 2:
        only = f"one group of runs, {found[0][0]}" if found else "no groups of runs"
        mend = "a column group with two names or more, or --group COLUMN"
        raise ConfigError(Fault("SC004", "--effective", only, "a reference and another", mend))
    names = [name for name, _ in found]
    if ask.reference not in names:
        fault = Fault("SC004", "--reference", f'no group "{ask.reference}"', ", ".join(names))
        raise ConfigError(fault)
    return found


def _gathered(table: RunsTable, options: Options, name: str, member: Rows) -> Runs:
    """Return the fitted runs of a group as arrays, checked like those of any fit."""
    sized = "N" in table.frame
    law = get("chinchilla" if sized else "power-D")
    require(table, law, options.response, name)
    rows = table.used & member & ~holdout_rows(table, options.holdout)
    if not rows.any():
        mend = "look at the rows left out: scaling check"
        raise FitError(Fault("SC401", place(table, name), "0 runs", "one or more", mend))
    data: Data = data_of(table, law, options, rows)
    if not (data.y > 0).all():
        at = int(table.rows[rows][np.flatnonzero(~(data.y > 0))[0]])
        where = f'{table.file or "frame"}:{at}  column "{options.response or "loss"}"'
        found = f"{data.y.min():g} has no logarithm"
        raise TableError(Fault("SC103", where, found, "positive values, for effective data"))
    labels = clusters(table.frame)[1][rows]
    n = data.x["N"] if sized else np.ones(data.n)
    return Runs(n, data.x["D"], data.y, weights_of(table, options)[rows], labels)


def _reference(table: RunsTable, name: str, runs: Runs, options: Options) -> Reference:
    """Fit the curve of the reference."""
    curve = Curve.of(runs)
    _refuse_rising(place(table, name), curve, runs, options.response or "loss")
    runs = replace(runs, N=curve.sizes[nearest(runs.N, curve.sizes)[0]])
    law = curve.law()
    if len(runs) <= len(law.names):
        expected = f"more than the {len(law.names)} parameters of its curve, a {curve.title}"
        mend = "add runs of the reference at other amounts of data"
        raise FitError(Fault("SC401", place(table, name), f"{len(runs)} runs", expected, mend))
    loss = objectives.make(options.objective, given_delta(options.delta))
    data = curve.data(runs, loss, law)
    labels = np.unique(runs.labels, return_inverse=True)[1].ravel().astype(np.int64)
    cluster = clusters(table.frame)[0]
    found = estimate(data, runs.weights, cluster, labels, options)
    noise = noise_of(found, curve, [runs])
    return Reference(curve, runs, found, noise, options.interval, options.seed)


def _refuse_rising(where: str, curve: Curve, runs: Runs, response: str) -> None:
    """Refuse a reference whose response does not fall with data at any size."""
    index = nearest(runs.N, curve.sizes)[0]
    slopes = [
        np.cov(np.log(runs.D[index == j]), np.log(runs.y[index == j]))[0, 1]
        for j in range(len(curve.sizes))
        if (index == j).sum() > 1
    ]
    if slopes and not any(slope < 0 for slope in slopes):
        found = f"{response} of the reference does not fall with data"
        expected = "a response that falls with data, such as a loss or an error"
        mend = '--map error="1 - accuracy" --response error, say'
        raise QuestionError(Fault("SC446", where, found, expected, mend))


def _shared_sizes(reference: Reference, runs: Runs, name: str) -> tuple[Runs, list[Message]]:
    """Keep the runs at sizes of the reference, and say what was left out."""
    index, same = nearest(runs.N, reference.curve.sizes)
    snapped = replace(runs, N=reference.curve.sizes[index]).at(same)
    if same.all():
        return snapped, []
    lost = ", ".join(f"{n:.3g}" for n in np.unique(runs.N[~same]))
    text = f"{int((~same).sum())} runs of {name} were left out: the reference has no N of {lost}."
    return snapped, [Message("SC445", text)]


def _treatment(
    reference: Reference, runs: Runs, name: str, form: str, options: Options, stream: int
) -> Treatment:
    """Compare one group."""
    cells = turned(reference, runs, stream)
    rows = as_rows(reference, cells)
    mean = mean_ratio(reference, cells)
    messages = about_cells(reference, cells, rows, mean, runs, name)
    made: dict[str, Any] = {"multiplier": {}, "transfer": {}}
    if form == "multiplier":
        start = float(np.clip(np.median(cells.log_ratio), -5.0, 5.0))
        made["multiplier"], told = multiplier(reference, runs, start, options)
        verdict = judged(made["multiplier"]["interval"])
        if made["multiplier"]["constant"] is False:
            told.append(Message("SC443", about_slopes(name, made["multiplier"])))
    else:
        verdict = judged(mean["interval"])
        made["transfer"], told = transfer(reference, runs, cells, verdict, options)
    out = Treatment(
        group=name,
        verdict=verdict,
        sentence="",
        n=len(runs),
        mean=mean,
        cells=rows,
        runs=runs.columns(),
        messages=(*messages, *told),
        **made,
    )
    why = _unmeasured(reference, made)
    if why is not None:
        error = Message("SC446", f"What {name} is worth is not identified: {why}.", "error")
        out = replace(out, verdict="not identified", messages=(error, *out.messages))
    kind = interval_kind(options.method, reference.found.cluster)
    return replace(out, sentence=sentence(out, form, options.interval, kind))


def _unmeasured(reference: Reference, made: Mapping[str, Any]) -> str | None:
    """Why the reference cannot measure a group; None if it can."""
    if "beta" in reference.found.certificate["at_bound"]:
        return "the exponent of the reference's curve is on its bound, so it measures no data"
    m = made["multiplier"].get("m")
    if m is not None and abs(float(np.log(m))) > 0.999 * MOST:
        return "the multiplier is on its bound"
    return None


def judged(interval: Sequence[float] | None) -> Verdict:
    """Return on which side of 1 an interval of a factor lies."""
    if interval is None:
        return "not judged"
    if interval[0] > 1.0:
        return "helps"
    return "hurts" if interval[1] < 1.0 else "no evidence"


def _curve_block(reference: Reference) -> dict[str, Any]:
    found, level = reference.found, reference.level
    intervals: dict[str, list[float]] = {}
    tail = 50.0 * (1.0 - level)
    logs = {p.name for p in found.data.law.parameters if p.in_log}
    for name, drawn in found.columns().items():
        spread = spread_about(found.params[name], drawn, reference.factor, log=name in logs)
        intervals[name] = [float(e) for e in np.percentile(spread, [tail, 100.0 - tail])]
    return {
        "kind": reference.curve.kind,
        "title": reference.curve.title,
        "formula": reference.curve.formula(),
        "n": len(reference.runs),
        "sizes": reference.curve.sizes.tolist(),
        "params": found.params,
        "intervals": intervals,
        "noise": reference.noise,
    }
