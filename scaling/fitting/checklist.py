"""The reporting checklist of a scaling-law study, filled in from its fits and its study file.

Four parts: hypothesis, setup, collection, fitting. What is known is answered in words and numbers,
what is not is None and reads as missing; nothing is guessed.

References
----------
Li et al. (2025), (Mis)Fitting: A Survey of Scaling Laws, whose four parts these are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.result import Fit, Fits

Array = NDArray[np.float64]
Category = Literal["hypothesis", "setup", "collection", "fitting"]
Study = Mapping[str, Any]
MOST = 3  # different answers of several fits that are told in full
FIT, STUDY = "fit.json", "study file"
OF_TEXT = ("text", "masked", "classify")  # tasks that read tokens
AMOUNTS = ("images", "validation_images", "validation", "validation_path", "evaluation")
EXTERNAL = "external"  # source of runs that another trainer makes


@dataclass(frozen=True)
class Item:
    """One question of the checklist.

    Attributes
    ----------
    category : {"hypothesis", "setup", "collection", "fitting"}
    question : str
    answer : str or None
        None where neither the fits nor the study file say.
    source : str
        Where the answer comes from; empty where there is none.
    """

    category: Category
    question: str
    answer: str | None
    source: str = ""


def checklist(fits: Fits, study: Study | None = None) -> list[Item]:
    """Fill in the checklist.

    Parameters
    ----------
    fits : Fits
        Content of a ``fit.json``.
    study : mapping, optional
        The study file, as TOML is read; empty or None for a table from elsewhere.
    """
    study = study or {}
    return [
        *_hypothesis(fits, study),
        *_setup(fits, study),
        *_collection(fits, study),
        *_fitting(fits),
    ]


def _item(category: Category, question: str, answer: str | None, source: str = FIT) -> Item:
    return Item(category, question, answer or None, source if answer else "")


def _first(category: Category, question: str, *known: tuple[str | None, str]) -> Item:
    """Answer by the first source that knows."""
    for answer, source in known:
        if answer:
            return Item(category, question, answer, source)
    return Item(category, question, None)


def _joined(answers: Iterable[str | None]) -> str | None:
    """Join the different answers of several fits."""
    found = list(dict.fromkeys(answer for answer in answers if answer))
    more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
    return "; ".join(found[:MOST]) + more if found else None


# ------------------------------------------------------------------------------------- hypothesis


def _hypothesis(fits: Fits, study: Study) -> list[Item]:
    question = _section(study, "study").get("question")
    forms = _joined(
        f"{f.law.name}: {'' if f.members else f'{f.response} = '}{f.law.formula}" for f in fits.fits
    )
    read = _joined(", ".join(f.law.variables) for f in fits.fits)
    source = _joined(f.law.reference for f in fits.fits)
    return [
        _item("hypothesis", "What is asked?", question, STUDY),
        _item("hypothesis", "What form has the law?", forms),
        _item("hypothesis", "Which variables does it read?", read),
        _item("hypothesis", "Which parameters are fitted, which held?", _joined(
            _parameters(f) for f in fits.fits)),
        _item("hypothesis", "Where does the form come from?", source),
        _item("hypothesis", "What relation between N, D and C is assumed?", _joined(
            f"C = {f.cost['formula']} for the allocation" for f in fits.fits
            if (f.law.frontier is not None or (f.members and "a" in f.params))
            and f.cost.get("formula"))),
    ]  # fmt: skip


def _parameters(fit: Fit) -> str | None:
    free = fit.certificate.get("free")
    if not free:
        return None
    if fit.members:
        return f"fitted: all of each law ({', '.join(m['law'] for m in fit.members)}); held: none"
    joint = any(name not in fit.law.names for name in free)  # of a fit that groups share
    held = [] if joint else [name for name in fit.law.names if name not in free]
    fitted = ", ".join(fit.law.names if joint else free)
    told = [f"{name} = {fit.params[name]:.6g}" for name in held]
    return f"fitted: {fitted}; held: {', '.join(told) or 'none'}"


# ------------------------------------------------------------------------------------------ setup


def _setup(fits: Fits, study: Study) -> list[Item]:
    data, model = _section(study, "data"), _section(study, "model")
    convention = fits.table.get("convention")
    return [
        _item("setup", "How many runs, of how many sizes?", _joined(map(_sizes, fits.fits))),
        _item("setup", "On how much data?", _joined(map(_data, fits.fits))),
        _item("setup", "From where are the data?", _words(data, "task", "source", "table"), STUDY),
        _first("setup", "How often do data repeat?", (_repeats(fits), FIT),
               (_epochs(study), STUDY)),
        _item("setup", "How are N and D counted?", _counted(fits, "N", convention)),
        _item("setup", "How is C counted?", _counted(fits, "C", None)),
        _item("setup", "Which architecture?", _words(
            model, "family", "rule", "layers", "ffn_ratio", "options", "counts"), STUDY),
        _read_as(data, model),
        _first("setup", "Which hyperparameters, and how do they change with size?", *_both(
            _recipe(study), _rates(fits))),
        _first("setup", "Which schedule of the learning rate?", *_both(
            _schedule(study), _schedules(fits))),
        _item("setup", "How many seeds?", _joined(map(_seeds, fits.fits))),
        _item("setup", "What is released beside this report?", None),
    ]  # fmt: skip


def _section(study: Study, name: str) -> Mapping[str, Any]:
    found = study.get(name, {})
    return found if isinstance(found, Mapping) else {}


def _words(section: Mapping[str, Any], *names: str) -> str | None:
    """Return what a section says under these names."""
    told = [f"{name} {_plain(section[name])}" for name in names if section.get(name)]
    return ", ".join(told) or None


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _range(values: Array, what: str) -> str:
    count = len(np.unique(values))
    if count == 1:
        return f"{what} {values[0]:.4g}"
    return f"{count} values of {what} from {values.min():.3g} to {values.max():.3g}"


def _sizes(fit: Fit) -> str | None:
    x = fit.fitted
    name = "" if fit.group is None else f"{fit.group}: "
    return f"{name}{fit.n} runs" + (f", {_range(x['N'], 'N')}" if "N" in x else "")


def _data(fit: Fit) -> str | None:
    x = fit.fitted
    if "D" not in x:
        return None
    text = ("" if fit.group is None else f"{fit.group}: ") + _range(x["D"], "D")
    if "N" in x:
        ratio = x["D"] / x["N"]
        text += f", D/N from {ratio.min():.3g} to {ratio.max():.3g}"
    return text


def _repeats(fits: Fits) -> str | None:
    """How often data were seen, where the rows say how much there were."""
    most = []
    for fit in fits.fits:
        rows = fit.rows
        if not {"D", "D_unique", "used"} <= set(rows):
            return None
        seen = zip(rows["D"], rows["D_unique"], rows["used"], strict=True)
        pairs = [(d, unique) for d, unique, used in seen if used]
        if not pairs or any(d is None or not unique for d, unique in pairs):
            return None
        most.append(max(d / unique for d, unique in pairs))
    if not most:
        return None
    return "never" if max(most) <= 1.0 else f"up to {max(most):.3g} times"


def _epochs(study: Study) -> str | None:
    design, data = _section(study, "design"), _section(study, "data")
    if design.get("epochs"):
        return f"{_plain(design['epochs'])} times in every run"
    if design.get("max_epochs"):
        return f"at most {_plain(design['max_epochs'])} times"
    return f"{_plain(data['unique'])} distinct" if data.get("unique") else None


def _counted(fits: Fits, name: str, convention: Any) -> str | None:
    column = fits.table.get("columns", {}).get(name)
    if column is None:
        return None
    source = str(column["source"]).removeprefix("=").strip()
    text = f'column "{source}" of the table' if column["source"] == source else f"as {source}"
    stated = convention and "not stated" not in convention
    return f"{text}; {convention}" if stated else text if name == "C" else None


def _read_as(data: Mapping[str, Any], model: Mapping[str, Any]) -> Item:
    """Ask for the tokenizer of text and for the input of everything else."""
    given = data.get("options")
    options = given if isinstance(given, Mapping) else {}
    if data.get("task") in (None, *OF_TEXT):
        said = {**model, **options}
        asked = ("tokenizer", "vocabulary", "context")
        known = _words(said, *asked)
        left = [name for name in asked if not said.get(name)]
        if known and left:
            known += f"; not stated: {', '.join(left)}"
        return _item("setup", "Which tokenizer, vocabulary and context?", known, STUDY)
    names = [name for name in options if name not in AMOUNTS]
    return _item("setup", "Which input and preprocessing?", _words(options, *names), STUDY)


def _both(stated: str | None, found: str | None) -> tuple[tuple[str | None, str], ...]:
    """Return what the study states with what the runs show, as answers and sources."""
    if stated and found:
        return ((f"{found}; {stated}", STUDY),)
    return ((stated, STUDY), (found, FIT))


def _used(fits: Fits, name: str) -> list[Any]:
    """Return the known values of a column in the fitted rows of all fits."""
    out: list[Any] = []
    for fit in fits.fits:
        seen = zip(fit.rows.get(name, []), fit.rows.get("used", []), strict=False)
        out += [value for value, used in seen if used and value is not None]
    return out


def _spanned(fits: Fits, name: str, what: str) -> str | None:
    found = _used(fits, name)
    words = dict.fromkeys(value for value in found if isinstance(value, str))
    if words:  # a foreign table may say it in words
        return f"{what} {', '.join(words)}"
    values = np.array(found, dtype=np.float64)
    if not len(values):
        return None
    low, high = float(values.min()), float(values.max())
    return f"{what} {low:.3g}" + (f" to {high:.3g}" if high > low else "")


def _rates(fits: Fits) -> str | None:
    parts = (_spanned(fits, "lr", "learning rate"), _spanned(fits, "batch", "batch"))
    return ", ".join(part for part in parts if part) or None


def _schedules(fits: Fits) -> str | None:
    names = ", ".join(dict.fromkeys(map(str, _used(fits, "schedule"))))
    parts = (names, _spanned(fits, "warmup", "warm-up steps"))
    return ", ".join(part for part in parts if part) or None


def _recipe(study: Study) -> str | None:
    recipe = _words(_section(study, "recipe"), "name", "overrides", "optimizer", "tuned")
    tuning = _words(_section(study, "tuning"), "sizes", "factors")
    parts = [f"recipe: {recipe}" if recipe else None, f"tuned at {tuning}" if tuning else None]
    return "; ".join(p for p in parts if p) or None


def _schedule(study: Study) -> str | None:
    recipe = _section(study, "recipe")
    own = _words(recipe, "schedule")
    if own:
        return own
    return f"as the recipe {recipe['name']} sets it" if recipe.get("name") else None


def _seeds(fit: Fit) -> str | None:
    """Count the seeds of each pair of N and D."""
    used = fit.rows.get("used", [])
    rows = {name: fit.rows.get(name) or [None] * len(used) for name in ("seed", "N", "D", "budget")}
    found = [row for *row, use in zip(*rows.values(), used, strict=False) if use]
    if not any(seed is not None for seed, *_ in found):
        return None
    cells: dict[tuple[Any, Any], set[Any]] = {}
    for seed, size, data, _ in found:
        cells.setdefault((size, data), set()).add(seed)
    counts = [len(seeds) for seeds in cells.values()]
    most = max(counts)
    text = f"{most} seed" + ("s" if most > 1 else "")
    if most == 1 or min(counts) == most:
        return text
    several = {cell for cell, seeds in cells.items() if len(seeds) > 1}
    budgets = {b for _, n, d, b in found if (n, d) in several}
    every = {b for *_, b in found}
    if None not in every and budgets == {min(every)}:
        return f"{text} at the smallest budget only"
    return f"{text} at {len(several)} of {len(cells)} pairs of N and D, 1 at the others"


# ------------------------------------------------------------------------------------- collection


def _collection(fits: Fits, study: Study) -> list[Item]:
    data = _section(study, "data")
    own = bool(data) and not data.get("table") and data.get("source") != EXTERNAL
    trained = "no: it is evaluated when the run ends" if own else None
    options = data.get("options") if isinstance(data.get("options"), Mapping) else {}
    return [
        _item("collection", "Which metric?", _joined(_metric(fits, f) for f in fits.fits)),
        _item("collection", "On which set is it measured?", _evaluation(data, own), STUDY),
        _item("collection", "How many checkpoints of a run are used?", _joined(
            map(_checkpoints, fits.fits))),
        _item("collection", "When is it measured?", "when the run ends" if own else None, STUDY),
        _first("collection", "Is it smoothed or interpolated?", (trained, STUDY),
               (_words(options or {}, "smoothing"), STUDY)),
        _item("collection", "From which table?", _table(fits)),
    ]  # fmt: skip


def _metric(fits: Fits, fit: Fit) -> str:
    unit = fits.table.get("columns", {}).get(fit.response, {}).get("unit")
    return f"{fit.response} [{unit}]" if unit else fit.response


def _evaluation(data: Mapping[str, Any], own: bool) -> str | None:
    options = data.get("options")
    named = _words(options if isinstance(options, Mapping) else {}, "validation", "validation_path",
                   "validation_images", "evaluation")  # fmt: skip
    if named:
        return named
    if own and data.get("source"):
        return f"validation part of the source {data['source']}, the same in every run"
    return None


def _checkpoints(fit: Fit) -> str | None:
    runs = [r for r, u in zip(fit.rows.get("run", []), fit.rows.get("used", []), strict=False) if u]
    if not runs or any(run is None for run in runs):
        return None
    most = max(runs.count(run) for run in set(runs))
    return "one a run" if most == 1 else f"up to {most} a run"


def _table(fits: Fits) -> str | None:
    if not fits.table.get("file"):
        return None
    digest = fits.table.get("sha256")
    return f"{fits.table['file']}" + (f", sha256 {digest}" if digest else "")


# ---------------------------------------------------------------------------------------- fitting


def _fitting(fits: Fits) -> list[Item]:
    made: Sequence[Fit] = fits.fits
    return [
        _item("fitting", "Which objective?", _joined(map(_objective, made))),
        _item("fitting", "Which algorithm, and with which settings?", _joined(
            map(_algorithm, made))),
        _item("fitting", "From which starts?", _joined(map(_starts, made))),
        _item("fitting", "How many points are used, how many left out and why?", _points(fits)),
        _item("fitting", "Over which range of compute?", _joined(map(_compute, made))),
        _item("fitting", "Which intervals?", _joined(map(_interval, made))),
        _item("fitting", "How is the law validated?", _joined(map(_validation, made))),
        _item("fitting", "How much does the answer depend on choices?", _joined(
            map(_sensitivity, made))),
        _item("fitting", "How can the fit be repeated?", _repeatable(fits)),
    ]  # fmt: skip


def _objective(fit: Fit) -> str:
    made = fit.objective
    if fit.members:
        return "probability of the rows under weak priors, residuals in logs, for each law alone"
    delta = "" if made.delta is None else f", delta {made.delta:.3g}"
    scale = "logs" if made.name.startswith("log") else "levels"
    return f"{made.name}{delta}, {made.reduction} over rows, residuals in {scale}"


def _algorithm(fit: Fit) -> str | None:
    known = fit.certificate
    if fit.members:
        return "damped Newton method on every law, origin and departure at once"
    if "iterations" not in known:
        return None
    text = "bounded damped Newton method from variable projection, analytic derivatives; "
    text += f"{known['iterations']} iterations"
    if "decrement" in known:
        text += f", last decrement {abs(known['decrement']):.1e} of the objective"
    return text


def _starts(fit: Fit) -> str | None:
    known = fit.certificate
    if "starts" not in known:
        return None
    share = known.get("agreement")
    agreed = "" if share is None else f", {share:.0%} of which reached the best objective"
    return f"{known['starts']} starts from a grid of the non-linear parameters{agreed}"


def _points(fits: Fits) -> str | None:
    rows, used = fits.table.get("rows"), fits.table.get("used")
    if rows is None or used is None:
        return None
    counts: dict[str, int] = {}
    for item in fits.table.get("dropped", []):
        counts[item["why"]] = counts.get(item["why"], 0) + 1
    reasons = "; ".join(f"{count} {why}" for why, count in counts.items())
    left = f"{rows - used} left out" if rows > used else "none left out"
    return f"{used} of {rows} rows, {left}" + (f" ({reasons})" if reasons else "")


def _compute(fit: Fit) -> str | None:
    x = fit.fitted
    if "C" in x:
        return f"C from {x['C'].min():.3g} to {x['C'].max():.3g} FLOP"
    if {"N", "D"} <= set(x):
        c = 6.0 * x["N"] * x["D"]
        return f"6ND from {c.min():.3g} to {c.max():.3g} FLOP"
    return None


def _interval(fit: Fit) -> str | None:
    made = fit.interval
    if made is None:
        return None
    if fit.members:
        return f"{made.level:.0%}, {made.kind}; {made.draws} draws"
    return f"{made.level:.0%}, {made.kind}; {made.draws} replicates, {made.failed} failed"


def _validation(fit: Fit) -> str | None:
    held = fit.holdout
    if held is None:
        return _rolled(fit)
    far = "" if held.factor is None else f", up to {held.factor:.3g} times the fitted compute"
    return f"{held.n} runs held out ({held.where}): error {held.rmse_log:.2%} in loss{far}"


def _rolled(fit: Fit) -> str | None:
    """What rolling origins found, where nothing was held out by name."""
    origins = fit.certificate.get("auto", {}).get("origins", [])
    origins = origins or (fit.backtest.get("backtest") or {}).get("origins", [])
    scored = [origin for origin in origins if origin["rmse_log"] is not None]
    if not scored:
        return None
    far = max(scored, key=lambda origin: float(origin["factor"]))
    return (
        f"fitted to smaller runs from {len(scored)} origins: error {far['rmse_log']:.2%} in loss "
        f"up to {far['factor']:.3g} times the fitted compute"
    )


def _sensitivity(fit: Fit) -> str | None:
    if not fit.sensitivity:
        return None
    size = len(next(iter(fit.sensitivity.values())))
    told = next((m.text for m in fit.messages if m.code == "SC438"), None)
    return told or f"fitted again in {size} ways"


def _repeatable(fits: Fits) -> str | None:
    known = fits.provenance
    versions = known.get("versions", {})
    parts = [
        f"command: {known['command']}" if known.get("command") else None,
        f"seed {known['seed']}" if known.get("seed") is not None else None,
        ", ".join(f"{name} {version}" for name, version in versions.items()) or None,
    ]
    return "; ".join(part for part in parts if part) or None
