"""What in a study cannot be meant together, each part being well formed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from scaling import laws
from scaling.count.tasks import foreign
from scaling.errors import ConfigError, Fault, listed
from scaling.expressions import parse
from scaling.fitting.auto.build import is_auto, refuse_options
from scaling.fitting.options import Options
from scaling.planning.sections import DesignSection, Study
from scaling.planning.sections_fit import FitSection

EVERY_KIND = {
    "kind",
    "center",
    "seeds",
    "seeds_at_smallest",
    "vary",
    "extra",
    "max_epochs",
    "epochs",
    "trunks",
    "budget_flops",
    "budget_gpu_hours",
}
OF_KIND = {
    "isoflop": ("budgets", "sizes", "span"),
    "grid": ("params", "data", "budgets"),
    "ladder": ("params", "budgets", "multipliers", "ratio"),
    "l-shape": ("params", "data", "corner"),
    "sobol": ("box", "count"),
    "ratio": ("params", "ratio"),
    "points": ("points",),
    "optimal": ("box", "count", "decision"),
}
NEEDED = {
    "isoflop": (("budgets", "FLOP budgets"),),
    "l-shape": (("params", "a list of N"), ("data", "a list of D")),
    "sobol": (("box", "ranges of two or three of N, D and C"),),
    "ratio": (("params", "a list of N"), ("ratio", "D/N")),
    "points": (("points", "a list of [N, D]"),),
}


def contradictions(study: Study, name: str) -> list[Fault]:
    """List what contradicts itself in a study file called `name`."""
    faults = list(_data(study, name))
    if study.design is not None:
        faults += _design(study, study.design, name)
    if study.prior is not None and study.prior.fit is not None and study.prior.laws:
        faults.append(Fault("SC012", f"{name} [prior]", "has fit and laws", "one of the two"))
    names = [variant.name for variant in study.variant]
    for twice in sorted({n for n in names if names.count(n) > 1}):
        faults.append(Fault("SC012", f"{name} [[variant]] name", f'"{twice}" twice', "other names"))
    if study.variant and study.design is not None and study.design.kind == "optimal":
        found, expected = 'kind = "optimal" chooses runs for one law', "another kind of design"
        faults.append(Fault("SC012", f"{name} [[variant]]", found, expected))
    if study.tuning is not None and study.recipe.tuned is not None:
        where = f"{name} [tuning]"
        faults.append(Fault("SC012", where, "[recipe] tuned names its result", "one of the two"))
    faults += _printed(study, name)
    for fit in study.fit:
        faults += _fit(fit)
        if fit.formula is not None and study.data.table is None:  # its columns are not known yet
            where, expected = f"{name} [[fit]] formula", "a law; scaling fit --formula afterwards"
            faults.append(Fault("SC012", where, "the study trains", expected))
        if names and fit.group is None and fit.reference not in (None, *names):
            where, found = f"{name} [[fit]] reference", f'"{fit.reference}"'
            faults.append(Fault("SC012", where, found, f"a variant: {listed(names)}"))
    return faults


def _printed(study: Study, name: str) -> Iterator[Fault]:
    named = [fit.name for fit in study.fit if fit.name is not None]
    for twice in sorted({n for n in named if named.count(n) > 1}):
        yield Fault("SC012", f"{name} [[fit]] name", f'"{twice}" twice', "other names")
    if not any(fit.report for fit in study.fit):
        found, expected = "false in every section", "one fit that is reported"
        yield Fault("SC012", f"{name} [[fit]] report", found, expected)
    for number, figure in enumerate(study.printed, start=1):
        where = f"{name} [[printed]] {number}"
        if figure.fit is not None and figure.fit not in named:
            found, expected = f'no fit is called "{figure.fit}"', listed(named) or "[[fit]] name"
            yield Fault("SC012", f"{where} fit", found, expected)
        if (figure.tolerance is None) == (figure.relative is None):
            yield Fault("SC012", where, "needs a tolerance", "either tolerance or relative")


def _data(study: Study, name: str) -> Iterator[Fault]:
    data = study.data
    if data.public is not None and data.table is None:
        found, expected = f"{data.public} has no table chosen", 'table = "FILE.csv" of that set'
        yield Fault("SC012", f"{name} [data] public", found, expected)
    if foreign(data.task) and data.table is None:  # it may have data of its own
        if study.design is None:
            yield Fault("SC012", f"{name} [design]", "missing", 'kind = "isoflop" or "grid"')
        return
    if (data.source is None) == (data.table is None):
        yield Fault(
            "SC012",
            f"{name} [data]",
            "needs either source or table",
            'source = "stdlib" to train, table = "results.csv" to fit finished runs',
        )
    if data.source is not None and study.design is None:
        yield Fault("SC012", f"{name} [design]", "missing", 'kind = "isoflop" or "grid"')


def _design(study: Study, design: DesignSection, name: str) -> Iterator[Fault]:
    where = f"{name} [design]"
    useful = EVERY_KIND.union(OF_KIND[design.kind])
    if design.kind == "optimal":  # the choice says how often each run is made
        useful -= {"seeds", "seeds_at_smallest"}
    for key in sorted(design.model_fields_set - useful):
        expected = listed(sorted(useful - {"kind"}), limit=20)
        yield Fault("SC012", f"{where} {key}", f'has no use in kind = "{design.kind}"', expected)
    for key, expected in NEEDED.get(design.kind, ()):
        if not getattr(design, key):
            yield Fault("SC012", f"{where} {key}", "missing", expected)
    if design.epochs is not None and design.max_epochs is not None:
        yield Fault("SC012", where, "has epochs and max_epochs", "one of the two")
    if design.epochs is not None and design.trunks:
        found = "has epochs and trunks: runs of other lengths see other data and share nothing"
        yield Fault("SC012", where, found, "one of the two")
    if design.budget_flops is not None and design.budget_gpu_hours is not None:
        yield Fault("SC012", where, "has budget_flops and budget_gpu_hours", "one of the two")
    for key in ("points", "extra"):
        for seeds in (p[2] for p in getattr(design, key) if len(p) > 2 and p[2] % 1.0):
            yield Fault("SC012", f"{where} {key}", f"{seeds:g} seeds", "a whole number of seeds")
    yield from _box(design, where)
    yield from _of_kind(study, design, where)


def _box(design: DesignSection, where: str) -> Iterator[Fault]:
    if design.box is None:
        return
    ranges = {k: v for k in ("N", "D", "C") if (v := getattr(design.box, k)) is not None}
    for key, (low, high) in ranges.items():
        if not low < high:
            found = f"[{low:g}, {high:g}]"
            yield Fault("SC012", f"{where} box {key}", found, "[low, high] with low below high")
    least = 2 if design.kind == "sobol" else 1
    if len(ranges) < least or (design.kind == "optimal" and not {"C", "D"} & set(ranges)):
        expected = "ranges of two or three of N, D and C"
        if design.kind == "optimal":
            expected = "a range of C or D, and of N if you like"
        yield Fault("SC012", f"{where} box", f"has {listed(list(ranges)) or 'nothing'}", expected)


def _of_kind(study: Study, design: DesignSection, where: str) -> Iterator[Fault]:
    believes = design.center is not None or study.prior is not None
    given = sum(bool(v) for v in (design.params, design.data, design.budgets))
    if design.kind == "grid" and given < 2:
        yield Fault("SC012", where, "a grid needs two of params, data and budgets", "two lists")
    if design.kind == "isoflop" and isinstance(design.sizes, int) and not believes:
        yield Fault(
            "SC012",
            f"{where} center",
            "missing",
            "a prior for the optimum, such as center = {N = 1.3e4, C = 2e10}, or a [prior]",
            "or list sizes = [N, N, …] themselves",
        )
    if design.kind == "ladder":
        if bool(design.params) == bool(design.budgets):
            found = "has params and budgets" if design.params else "has neither"
            yield Fault("SC012", where, f"a ladder {found}", "params, or budgets")
        if design.params and design.ratio is None and _level(design):
            found = "exponent = 0: N* is the same at every C"
            yield Fault("SC012", f"{where} center", found, "an exponent above 0, or a ratio")
        if design.ratio is None and not believes:
            expected = "ratio = 20 (D/N), a center or a [prior]"
            yield Fault("SC012", f"{where} ratio", "missing", expected)
        if design.ratio is not None and design.budgets and not believes:
            expected = "params, or a center or a [prior] that says where the optima are"
            yield Fault("SC012", f"{where} budgets", "no optimum is believed", expected)


def _level(design: DesignSection) -> bool:
    """Whether a centre says that more compute asks for no other size."""
    return design.center is not None and design.center.exponent == 0.0


def _fit(fit: FitSection) -> list[Fault]:
    """What would stop this fit after hours of training, whatever the results are."""
    faults: list[Fault] = []
    try:
        for name in fit.laws:
            if is_auto(name):
                options, plain = fit.options(), Options()
                if len(fit.laws) > 1:  # what is minimised is meant for the laws beside it
                    options = replace(options, objective=plain.objective, delta=plain.delta)
                    options = replace(options, reduction=plain.reduction)
                refuse_options(options)
            else:
                laws.get(name)
        for option in ("where", "holdout"):
            condition = getattr(fit, option)
            if condition is not None:
                parse(condition, where=f"[fit] {option}")
    except ConfigError as error:
        faults += error.faults
    return faults
