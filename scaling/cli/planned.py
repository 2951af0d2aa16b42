"""What planning commands share: the study of a file or of options, and plans as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.cli.common import number, numbers
from scaling.errors import SCREEN_COLUMNS, counted, wrapped

if TYPE_CHECKING:
    from scaling.planning.additions import Addition, Suggestions
    from scaling.planning.costing.cost import Range
    from scaling.planning.plan import Plan
    from scaling.planning.point import Point
    from scaling.planning.preflight import Preflight
    from scaling.planning.sections import Study

SHOWN, LAST = 60, 10
GIB = 2**30
DETERMINES = 0.995
HEAD = ("budget", "N", "shape", "D", "D/N", "C", "batch", "steps", "lr", "seed", "time")
# How N and D are written, and which columns give way on a narrow screen.
FORMS = (("d", ()), (".5g", ()), (".5g", ("batch",)), (".5g", ("batch", "D/N")),
         (".4g", ("batch", "D/N", "shape")))  # fmt: skip
UNNAMED = {"N": 1.3e4, "C": 2e10, "exponent": 0.53}  # of the standard library's bytes


def study_of(
    file: Path | None, flops: str | None, params: str | None, data: str | None, smoke: bool
) -> Study:
    """Return the study of a file, or the one that ``--flops``, ``--params`` and ``--data`` make."""
    from scaling.cli.places import study_file
    from scaling.errors import ConfigError, Fault
    from scaling.planning.study import check_study, read_study, shrink

    given = {"--flops": flops, "--params": params, "--data": data}
    named = [name for name, value in given.items() if value is not None]
    if not named:
        study = read_study(study_file(file))
        return shrink(study) if smoke else study
    if file is not None:
        raise ConfigError(Fault("SC004", named[0], "goes without a study file"))
    lists = {
        key: [] if value is None else numbers(name, value)
        for key, (name, value) in zip(("budgets", "params", "data"), given.items(), strict=True)
    }
    design: dict[str, Any]
    if flops is not None and data is None:
        design = {"kind": "isoflop", "budgets": lists["budgets"]}
        if params is not None:
            design["sizes"] = lists["params"]
        else:
            design["center"] = UNNAMED
    elif len(named) > 1:
        design = {"kind": "grid", **{key: value for key, value in lists.items() if value}}
    else:
        raise ConfigError(
            Fault(
                "SC004",
                " ".join(named),
                "does not make a design",
                "--flops [--params] for isoFLOP, or two of --params, --data, --flops for a grid",
            )
        )
    study = check_study({"schema": 1, "data": {"source": "stdlib"}, "design": design}, name="flags")
    return shrink(study) if smoke else study


def changed(study: Study, design: Mapping[str, Any], engine: Mapping[str, Any]) -> Study:
    """Put options of the command line into the place of what the study says."""
    given = {k: v for k, v in design.items() if v is not None}
    if given and study.design is not None:
        fresh = {"budget_flops": None, "budget_gpu_hours": None, **given}
        study = study.model_copy(update={"design": study.design.model_copy(update=fresh)})
    own = {k: v for k, v in engine.items() if v is not None}
    return study.model_copy(update={"engine": study.engine.model_copy(update=own)})


def positive(option: str, text: str | None) -> float | None:
    """Parse an option that must be above 0; None if it was not given."""
    from scaling.errors import ConfigError, Fault

    if text is None:
        return None
    value = number(option, text)
    if not 0.0 < value < float("inf"):
        raise ConfigError(Fault("SC004", option, f'"{text}"', "a number above 0, such as 1e18"))
    return value


# ------------------------------------------------------------------------------------------ plans


def plan_table(planned: Plan) -> str:
    """Lay a plan out in 80 columns, with what it leaves out and what it costs."""
    points, cut = planned.points, []
    if len(points) > SHOWN:
        cut = [f"… {len(points) - SHOWN} more: -o OUT writes all to plan.csv, --json prints them"]
        points = points[: SHOWN - LAST] + points[-LAST:]
    head, *rows = _table(points)
    if len({p.group for p in planned.points}) > 1:
        rows = _under_groups(points, rows)
    if cut:
        rows[-LAST:-LAST] = cut
    return "\n".join([head, *rows, *_left_out(planned.dropped), "", *total_lines(planned)])


def _under_groups(points: Sequence[Point], rows: Sequence[str]) -> list[str]:
    """Put the name of a group above its first row, in one item with it."""
    before = [None, *(p.group for p in points[:-1])]
    return [
        row if p.group == last else f"{p.group}:\n{row}"
        for p, row, last in zip(points, rows, before, strict=True)
    ]


def _table(points: Sequence[Point]) -> list[str]:
    """The widest form of the table that a screen holds."""
    lines: list[str] = []
    for form, left_out in FORMS:
        kept = [i for i, name in enumerate(HEAD) if name not in left_out]
        rows = [HEAD, *(_row(p, form) for p in points)]
        lines = _columns([tuple(row[i] for i in kept) for row in rows])
        if max(map(len, lines)) <= SCREEN_COLUMNS:
            break
    return lines


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Right-align cells; a column is as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        " ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _row(p: Point, counts: str) -> tuple[str, ...]:
    budget = "" if p.budget is None else f"{p.budget:.3g}"
    time = "" if p.seconds is None else duration(p.seconds).replace(" ", "").replace("in", "")
    return (budget, f"{p.N:{counts}}", _shape(p), f"{p.D:{counts}}", f"{p.D / p.N:.3g}",
            f"{p.C:.3g}", _brief(p.batch), f"{p.steps}", f"{p.lr:.3g}", f"{p.seed}",
            time)  # fmt: skip


def _shape(p: Point) -> str:
    """Width and depth, or the value of the family's dial."""
    if "width" in p.shape:
        layers = p.shape.get("layers") or p.shape.get("depth")
        return f"{p.shape['width']}" + (f"x{layers}" if layers else "")
    return str(p.shape.get("dial", ""))


def _brief(count: int) -> str:
    """A count in five characters: 256, 65.5k, 1.05M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if count >= unit:
            return f"{count / (1e3 if name == 'k' else unit):.3g}{name}"
    return str(count)


def _left_out(dropped: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line a reason, with how many cells it holds for."""
    reasons: dict[str, list[float]] = {}
    for cell in dropped:
        reasons.setdefault(str(cell["why"]), []).append(float(cell["N"]))
    lines = []
    for why, sizes in list(reasons.items())[:12]:
        ends = f"N {min(sizes):.3g}" + (f" to {max(sizes):.3g}" if len(set(sizes)) > 1 else "")
        times = "" if len(sizes) == 1 else f" ({len(sizes)} cells)"
        lines += wrapped(f"left out: {ends}{times}: {why}", "  ")
    if len(reasons) > 12:
        lines.append(f"… {len(reasons) - 12} more reasons")
    return lines


def total_lines(planned: Plan) -> list[str]:
    """Say what a plan costs, one line a resource, each with its range."""
    total, engine = planned.total, planned.study.engine
    share = total.flops / sum(p.C for p in planned)  # below 1 where trunks are shared
    six_nd = share * sum(p.C_6nd for p in planned)
    lines = [f"{counted(total.points, 'point')}, {total.flops:.4g} FLOP (6ND: {six_nd:.4g})"]
    if total.seconds is not None and total.wall_seconds is not None:
        wall = f"{_span(total.wall_seconds, duration)} on {total.workers}"
        workers = counted(total.workers, "worker").split()[1]
        time = f"time: {wall} {workers}, {_span(total.seconds, duration)} of work"
        lines += wrapped(time, "  ")
    if total.gpu_hours is not None:
        lines.append(f"device hours: {_span(total.gpu_hours, short)}")
    if total.money is not None:
        lines.append(f"money: {_span(total.money, short)}")
    if total.kwh is not None:
        lines.append(f"energy: {_span(total.kwh, short)} kWh")
    if total.memory is not None:
        limited = engine.accelerator is not None or engine.memory_gib is not None
        batch = "at a batch that fits" if limited else "with the whole batch at once"
        how = "measured" if total.memory_measured else "estimated"
        size = total.memory / GIB
        most = f"up to {size:.3g} GiB" if size >= 0.01 else "less than 0.01 GiB"
        lines.append(f"memory: {most} a point ({how}), {batch}")
    return lines


def _span(value: Range, show: Any) -> str:
    return f"{show(value.value)} ({show(value.low)} to {show(value.high)})"


def short(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """Seconds, minutes, hours or days, whichever reads best."""
    for unit, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2.0 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.3g} s"


# ------------------------------------------------------------------------------------- pre-flight


def preflight_lines(found: Preflight, additions: tuple[Addition, ...], spent: float) -> list[str]:
    """Lay a pre-flight out in 80 columns."""
    first = found.outlooks[0]
    text = (
        f"Pre-flight: {first.studies} studies simulated under each law that may be true, noise "
        f"{found.noise:.2%} of the loss, fitted by {first.fitted}. Expected {found.level:.0%} "
        f"intervals at C = {found.target:.3g}"
    )
    if found.factor > 1.0:
        text += f", {found.factor:.3g} times the largest run"
    if found.cost.name == "counted":
        text += f", with C = {found.cost.formula}"
    lines = [
        *wrapped(f"{text}:", ""),
        f"{'a':>24} {'N*':>30}" + (f" {'loss':>24}" if "loss" in first.expected else ""),
    ]
    shown = _spread(len(found.outlooks))
    for o in (found.outlooks[i] for i in shown):
        lines += wrapped(f"if {o.source}:", "  ")
        if not o.expected:
            lines.append(f"  not identified in {o.failed} of {o.studies} studies")
            continue
        texts = [
            f"{e.median:{form}} ({e.low:{form}} to {e.high:{form}})"
            for name, form in (("a", ".3f"), ("N", ".3g"), ("loss", ".4g"))
            if (e := o.expected.get(name)) is not None
        ]
        widths = (24, 31, 23)
        lines.append(" ".join(f"{c:>{w}}" for c, w in zip(texts, widths, strict=False)))
        if o.missed:
            missed = ", ".join(f"{k} {o.expected[k].truth:.3g}" for k in o.missed)
            lines += wrapped(f"  but these intervals miss what is true: {missed}", "  ")
    if len(shown) < len(found.outlooks):
        lines.append(f"… {len(found.outlooks) - len(shown)} more laws (--json prints all)")
    if found.brackets:
        chances = [f"{b:.3g} {p:.0%}" for b, p in found.brackets.items()]
        text = "Minimum inside its sizes: " + ", ".join(chances[:6]) + _more(chances, 6)
        lines += wrapped(text, "  ")
    return lines + menu_lines(additions, spent)


def _spread(count: int, most: int = 4) -> list[int]:
    """Places of at most four laws, spread over all."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def _more(items: list[str], shown: int) -> str:
    return f", … ({len(items) - shown} more)" if len(items) > shown else ""


def menu_lines(additions: tuple[Addition, ...], spent: float) -> list[str]:
    """One line for each single run that would help most at its cost."""
    if not additions:
        return []
    lines = ["One more run that would help most, by what it costs and takes off the",
             "variance of what is decided (a, N* and the loss, or the one named):"]  # fmt: skip
    for a in additions:
        lines.append(
            f"  N {a.N:.3g}, D {a.D:.3g}: {a.C / spent:.2%} of the compute, "
            f"{_gain(a.reduction or 0.0)}"
        )
    return lines


def _gain(share: float) -> str:
    """What a run takes away of the variance; nearly all of it means that nothing was known."""
    return "determines what is open" if share > DETERMINES else f"{share:.0%} less variance"


def suggestion_lines(found: Suggestions) -> list[str]:
    """Lay suggestions out in 80 columns."""
    lines = [
        *wrapped(f"Standard errors to first order, C = {found.target:.3g} ({found.belief}):", "  "),
        f"  {'':<10} {'a':>9} {'ln N*':>9} {'ln loss':>9}",
        _errors("now", found.before),
    ]
    if found.chosen:
        lines.append(_errors("with these", found.after))
        lines.append(f"{'N':>12} {'D':>14} {'D/N':>8} {'C':>9} {'runs':>5}")
        for a in found.chosen:
            lines.append(f"{a.N:>12.6g} {a.D:>14.8g} {a.D / a.N:>8.3g} {a.C:>9.3g} {a.runs:>5}")
        share = found.cost / found.spent
        lines.append(f"{found.cost:.4g} FLOP, {share:.1%} of what the runs so far cost")
    return lines + menu_lines(found.menu, found.spent)


def _errors(name: str, se: Mapping[str, float]) -> str:
    return f"  {name:<10} " + " ".join(f"{value:>9.3g}" for value in se.values())
