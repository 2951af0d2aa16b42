"""What a table that can be read should still make its reader wonder about.

Each finder looks for one mistake that moves exponents without breaking anything: a factor of 1e9, a
training curve taken for runs, losses of two tokenizers in one column. Findings are messages with a
code, the rows and how to mend it; nothing is left out because of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import Message, Severity, clip
from scaling.runs.columns import COLUMNS
from scaling.runs.names import split_words
from scaling.runs.numbers import row_ranges
from scaling.runs.table import RunsTable

Array = NDArray[np.float64]

MOST_ROWS = 1000  # listed with a finding
_LOG_1000 = math.log(1000.0)
_SLIPS = {
    1.0: "multiply-accumulates of the forward pass (N D)",
    2.0: "the forward pass only (2 N D)",
    3.0: "multiply-accumulates instead of FLOP (3 N D)",
    6.0: "",
    8.0: "a forward pass computed twice (8 N D)",
    12.0: "a factor 2 too many (12 N D)",
}
_CONVENTIONS = frozenset("convention conventions counting".split())
_SCALES = frozenset("tokenizer tokeniser vocab vocabulary unit".split())
REMARK = "remark"  # what an earlier check said of a row
_EVALUATIONS = frozenset("val validation eval evaluation downstream benchmark metric".split())
_KINDS = frozenset(
    "dataset data corpus mixture mix recipe experiment family optimizer optimiser task domain arch "
    "architecture schedule hparams config configuration setup source upstream condition "
    "model decay warmup variant method group id".split()
)
_FLAGS = frozenset("outlier outliers excluded exclude flag flagged bad invalid ignore".split())
_TRUE, _BOOLEAN = (
    {"true", "yes", "1", "1.0"},
    {"true", "false", "yes", "no", "0", "1", "0.0", "1.0"},
)


def find(table: RunsTable) -> list[Message]:
    """Return everything that the reader should look at, in the order of how much it may move."""
    if not table.used.any():
        return []
    finders = (
        _compute_against_6nd,
        _magnitudes,
        _gaps,
        _losses,
        _conventions,
        _scales_of_loss,
        _kinds,
        _one_ratio,
        _swapped_data,
        _curve_like,
        _copies,
        _flagged,
        _outliers,
    )
    with np.errstate(all="ignore"):  # values beyond all measure are findings, not warnings
        return [message for finder in finders for message in finder(table)]


def _at(table: RunsTable, chosen: NDArray[np.bool_]) -> tuple[int, ...]:
    """Rows of the source where `chosen`, a mask of the whole table, holds; at most `MOST_ROWS`."""
    return tuple(int(row) for row in table.rows[chosen][:MOST_ROWS])


def _message(
    table: RunsTable,
    code: str,
    text: str,
    chosen: NDArray[np.bool_] | None = None,
    mend: str = "",
    severity: Severity = "warning",
) -> Message:
    rows = () if chosen is None else _at(table, chosen)
    shown = f" (row{'s' * (len(rows) > 1)} {row_ranges(rows)})" if rows else ""
    end = "?" if text.endswith("?") else "."
    return Message(code, text.rstrip("?") + shown + end, severity, rows, mend)


def _numbers(table: RunsTable, column: str) -> Array:
    """Values of the used rows, NaN elsewhere and where they have no logarithm."""
    if column not in table.frame:
        return np.full(len(table), np.nan)
    values = table.frame[column].to_numpy(dtype=np.float64)
    out: Array = np.where(table.used & np.isfinite(values) & (values > 0), values, np.nan)
    return out


def _own(table: RunsTable, column: str) -> bool:
    """Whether the source itself has the column."""
    return column in table.frame and not table.columns[column].source.startswith("=")


def _map(table: RunsTable, column: str, form: str) -> str:
    """Write a --map that changes how a column is read."""
    header = table.columns[column].header
    if header is None:
        return f"--map '{column}=…'"
    inner = f'source["{clip(header, 40)}"]'
    return f"--map '{column}={form.format(inner)}'"


# ------------------------------------------------------------------------------------------- units


def _compute_against_6nd(table: RunsTable) -> Iterator[Message]:
    if not all(_own(table, column) for column in ("N", "D", "C")):
        return
    ratio = _numbers(table, "C") / (_numbers(table, "N") * _numbers(table, "D"))
    if np.isnan(ratio).all():
        return
    median = float(np.nanmedian(ratio))
    with np.errstate(invalid="ignore"):
        apart = np.abs(np.log(ratio / median)) > math.log(30.0)
    if apart.any():
        text = f"C/(N D) is {median:.3g} in most rows, but 30 times more or less in others"
        mend = "write each column in one unit"
        yield _message(table, "SC118", text, apart, mend)
    counted = {"N_body", "N_head"} <= set(table.frame)  # heads and attention are in C
    low, high = (2.0, 18.0) if counted else (4.0, 8.0)
    if low <= median <= high:
        return
    slip, thousands = _likely_slip(median)
    text = f"The median of C/(N D) is {median:.3g}, far from 6"
    mend = "state the unit: " + _map(table, "C", "{}*1e9")
    if slip is not None and (slip != 6.0 or thousands):
        causes = []
        if thousands:
            factor = f"1e{3 * abs(thousands)}"
            short = "C is short of" if thousands < 0 else "N or D is short of"
            causes.append(f"{short} a factor {factor}")
            column = "C" if thousands < 0 else "D"
            mend = _map(table, column, "{}*" + factor)
        if slip != 6.0:
            causes.append(f"C is {_SLIPS[slip]}")
            factor = f"{6.0 / slip:g}" + (f"*1e{3 * -thousands}" if thousands < 0 else "")
            mend = mend if thousands > 0 else _map(table, "C", "{}*" + factor)
        text += "; likely " + " and ".join(causes)
    else:
        text += ": check units and factors"
    named = slip is not None or not 2.0 <= median <= 18.0
    yield _message(table, "SC113", text, None, mend, "warning" if named else "info")


def _likely_slip(ratio: float) -> tuple[float | None, int]:
    """The constant and the power of 1000 that explain a C/(N D), if any does within 15%."""
    best: tuple[float, float | None, int] = (math.log(1.15), None, 0)
    for slip in _SLIPS:
        thousands = round((math.log(ratio) - math.log(slip)) / _LOG_1000)
        if abs(thousands) <= 7:
            error = abs(math.log(ratio / slip) - thousands * _LOG_1000)
            # A pure power of 1000 is likelier than one with another constant beside it.
            error += 0.0 if slip == 6.0 or thousands == 0 else 0.05
            best = min(best, (error, slip, thousands), key=lambda b: b[0])
    return best[1], best[2]


def _magnitudes(table: RunsTable) -> Iterator[Message]:
    """Counts that must be thousands, millions or billions."""
    n, d = _numbers(table, "N"), _numbers(table, "D")
    for column, values, other, much in (("N", n, d, 1e6), ("D", d, n, 1e6), ("C", None, n, 1.0)):
        values = _numbers(table, column) if values is None else values
        if not _own(table, column) or np.isnan(values).all():
            continue
        if table.columns[column].scale != 1.0:
            continue
        top = float(np.nanmax(values))
        known = bool((~np.isnan(other)).any())
        beside = float(np.nanmedian(other)) if known else 0.0
        parts = column != "C" and bool(np.nanmax(np.abs(values - np.round(values))) > 0)
        small = top < (1e6 if column == "C" else 2e4)
        if small and ((parts and top < 2000) or (known and beside > much * top)):
            unit = "in units of 1e9, 1e18 or so" if column == "C" else "in millions or billions"
            text = f"{column} is at most {top:.4g}: is it {unit}?"
            yield _message(table, "SC118", text, None, _map(table, column, "{}*1e9"))


def _gaps(table: RunsTable) -> Iterator[Message]:
    """Two units down one column leave a gap that no sweep has."""
    for column in ("N", "D", "C"):
        if not _own(table, column):
            continue
        values = _numbers(table, column)
        known = np.sort(np.log10(values[~np.isnan(values)]))
        if len(known) < 3:
            continue
        steps = np.diff(known)
        at = int(np.argmax(steps))
        if steps[at] < 4.0:
            continue
        border = 10 ** (0.5 * (known[at] + known[at + 1]))
        with np.errstate(invalid="ignore"):
            below = values < border
        few = below if below.sum() <= (values >= border).sum() else values >= border
        text = f"{column} jumps from {10 ** known[at]:.3g} to {10 ** known[at + 1]:.3g}: are there "
        text += f"two units down one column, with {int(few.sum())} of {len(known)} values apart?"
        yield _message(table, "SC118", text, few, "write the column in one unit")


# ------------------------------------------------------------------------------------------ losses


def _losses(table: RunsTable) -> Iterator[Message]:
    loss = _numbers(table, "loss")
    if not _own(table, "loss") or np.isnan(loss).all():
        return
    reading = table.columns["loss"]
    median, top = float(np.nanmedian(loss)), float(np.nanmax(loss))
    if median > 12.0:
        text = f"The median loss is {median:.4g}, too much for nats per token: a perplexity?"
        yield _message(table, "SC122", text, None, _map(table, "loss", "log({})"))
    elif top > 12.0:
        with np.errstate(invalid="ignore"):
            chosen = loss > 12.0
        text = f"Losses up to {top:.4g} where the median is {median:.3g}: these runs diverged?"
        mend = 'status = diverged keeps them out of fits; so does --where "loss < 12"'
        yield _message(table, "SC134", text, chosen, mend)
    elif median < 0.5 and top <= 1.0 and reading.header is not None:
        text = f"The median loss is {median:.3g}: an error rate or another loss than nats per token"
        yield _message(table, "SC122", text, None, "", "info")
    yield from _rising(table, loss)


def _rising(table: RunsTable, loss: Array) -> Iterator[Message]:
    """A loss that grows with every resource is a score."""
    for column in ("C", "D", "N"):
        x = _numbers(table, column)
        known = ~np.isnan(x) & ~np.isnan(loss)
        if known.sum() < 8 or len(np.unique(x[known])) < 3:
            continue
        ranks = pd.DataFrame({"x": x[known], "y": loss[known]}).rank()
        if float(ranks["y"].std()) > 0 and float(np.corrcoef(ranks["x"], ranks["y"])[0, 1]) > 0.5:
            text = f"The loss rises with {column}: an accuracy or another score taken for a loss"
            yield _message(table, "SC133", text, None, _map(table, "loss", "1 - {}"))
        return


# ------------------------------------------------------------------------- rows of different kinds


def _labels(table: RunsTable) -> Iterator[tuple[str, NDArray[np.object_]]]:
    """Columns of text, or of few numbers, that are no quantity: name and the cells of used rows."""
    for name in map(str, table.frame):
        if name in COLUMNS and name not in ("group", "convention"):
            continue
        values = table.frame[name]
        if values.dtype == object and name != REMARK:
            yield name, values.to_numpy()[table.used]


def _distinct(cells: NDArray[np.object_]) -> list[str]:
    return sorted({str(cell) for cell in pd.unique(cells) if cell is not None and cell == cell})


def _few(values: Sequence[str]) -> str:
    shown = ", ".join(clip(value, 24) for value in values[:4])
    return shown + (f" and {len(values) - 4} more" if len(values) > 4 else "")


def _conventions(table: RunsTable) -> Iterator[Message]:
    """N counted in several ways within one table."""
    for name, cells in _labels(table):
        words = set(split_words(name))
        counting = (
            words & _CONVENTIONS or {"param", "count"} <= words or {"params", "count"} <= words
        )
        values = _distinct(cells) if counting else []
        if len(values) > 1:
            text = f'N is counted in {len(values)} ways, by column "{clip(name, 30)}" '
            text += f"({_few(values)}); mixing them moves exponents"
            yield _message(table, "SC123", text, None, f"--group {_quoted(name)}, or --where")
            break
    if all(_own(table, column) for column in ("N", "D", "C")):
        ratio = _numbers(table, "C") / (6.0 * _numbers(table, "N") * _numbers(table, "D"))
        known = ~np.isnan(ratio)
        with np.errstate(invalid="ignore"):
            exact, off = np.abs(ratio - 1) < 1e-3, np.abs(ratio - 1) > 0.1
        total = int(known.sum())
        if total >= 5 and exact.sum() >= 0.2 * total and off.sum() >= 0.2 * total:
            text = f"C is 6 N D in {int(exact.sum())} rows and counted otherwise in "
            text += f"{int(off.sum())}: two conventions in one table"
            yield _message(table, "SC123", text, off, "recount, or fit them apart by --where")


def _quoted(name: str) -> str:
    return name if name.isidentifier() else f'"{name}"'


def _scales_of_loss(table: RunsTable) -> Iterator[Message]:
    """Losses per token of different tokenizers, or on different evaluation sets."""
    for name in map(str, table.frame):
        words = set(split_words(name))
        number = name not in COLUMNS and table.frame[name].dtype != object
        if (name in COLUMNS and name != "loss_unit") or not words & (_SCALES | _EVALUATIONS):
            continue
        if number and not words & _SCALES:
            continue
        values = _distinct(table.frame[name].to_numpy(dtype=object)[table.used])
        if not 1 < len(values) <= 50:
            continue
        what = "tokenizers" if words & _SCALES else "evaluations"
        text = f'Losses of {len(values)} {what} stand in one column, by "{clip(name, 30)}" '
        text += f"({_few(values)}): they are not on one scale"
        cell = values[0] if number else f'"{clip(values[0], 24)}"'
        mend = f"--where '{_name(name)} == {cell}', or bits per byte"
        yield _message(table, "SC124", text, None, mend)


def _name(name: str) -> str:
    return name if name.isidentifier() else f'source["{name}"]'


def _kinds(table: RunsTable) -> Iterator[Message]:
    """Columns that tell kinds of runs apart, where no group does."""
    if "group" in table.frame:
        return
    found: dict[str, int] = {}
    for name, cells in _labels(table):
        values = _distinct(cells)
        lower = {value.lower() for value in values}
        if not 1 < len(values) <= min(50, len(cells) // 3) or lower <= _BOOLEAN:
            continue
        if not _names_a_size(table, name):
            found[name] = len(values)
    if found:
        shown = ", ".join(f"{clip(name, 30)} ({count} values)" for name, count in found.items())
        text = f"Runs of several kinds: {clip(shown, 160)}; without a group all are fitted as one"
        surely = any(set(split_words(name)) & _KINDS for name in found)
        mend = _grouping(table.fit_frame[list(found)])
        yield _message(table, "SC136", text, None, mend, "warning" if surely else "info")


def _names_a_size(table: RunsTable, name: str) -> bool:
    """Whether a column only gives a name to each N."""
    if "N" not in table.frame:
        return False
    pairs = table.fit_frame[[name, "N"]].drop_duplicates()
    return not pairs[name].duplicated().any() and not pairs["N"].duplicated().any()


def _grouping(kinds: pd.DataFrame) -> str:
    """Suggest the one column that tells all kinds apart, or the columns that do together."""
    together = len(kinds.drop_duplicates())
    if together > len(kinds) // 3:
        return "--group NAME, or --where"
    for name in kinds:
        if kinds[name].nunique(dropna=False) == together:
            return f"--group {_quoted(str(name))}"
    names = sorted(map(str, kinds), key=lambda n: -kinds[n].nunique(dropna=False))
    chosen: list[str] = []
    for name in names:
        chosen.append(name)
        if len(kinds[chosen].drop_duplicates()) == together:
            break
    return "--map 'group=" + ' + "/" + '.join(_name(name) for name in chosen) + "'"


# ---------------------------------------------------------------------------------------- the runs


def _one_ratio(table: RunsTable) -> Iterator[Message]:
    if not _own(table, "N") or "D" not in table.frame:
        return
    ratio = _numbers(table, "D") / _numbers(table, "N")
    known = ratio[~np.isnan(ratio)]
    if len(known) >= 3 and known.max() <= 1.05 * known.min() and len(np.unique(known)) > 0:
        text = f"D/N is {float(np.median(known)):.4g} in all rows: what N does and what D does "
        text += "cannot be told apart"
        yield _message(table, "SC125", text, None, "add runs at other ratios of D to N")


def _swapped_data(table: RunsTable) -> Iterator[Message]:
    if not (_own(table, "D") and _own(table, "D_unique")):
        return
    seen, unique = _numbers(table, "D"), _numbers(table, "D_unique")
    known = ~np.isnan(seen) & ~np.isnan(unique)
    if known.sum() < 3 or len(np.unique(unique[known])) < 2:
        return
    with np.errstate(invalid="ignore"):
        above = known & (unique > seen * 1.0001)
    if above.sum() >= 0.5 * known.sum():
        text = "The data available exceed the data seen in most rows: are the columns swapped?"
        first, second = table.columns["D"].source, table.columns["D_unique"].source
        mend = f"--map 'D=source[\"{clip(second, 30)}\"]' "
        mend += f"--map 'D_unique=source[\"{clip(first, 30)}\"]'"
        yield _message(table, "SC135", text, above, mend)


def _curve_like(table: RunsTable) -> Iterator[Message]:
    """Rows without a run's name that are dense along D: training curves."""
    if "run" in table.frame or not (_own(table, "N") and _own(table, "D")):
        return
    frame = pd.DataFrame({"N": _numbers(table, "N"), "D": _numbers(table, "D")})
    kinds = ["N", *(c for c in ("group", "seed") if c in table.frame)]
    for column in kinds[1:]:
        frame[column] = table.frame[column].to_numpy()
    frame = frame.dropna(subset=["N", "D"]).sort_values([*kinds, "D"])
    sizes = frame.groupby(kinds, dropna=False)["D"].transform("size")
    dense = frame.loc[sizes >= 20]
    if not len(dense):
        return
    ratios = dense.groupby(kinds, dropna=False)["D"].pct_change().dropna()
    if len(ratios) and 0 < float(ratios.median()) < 0.2:
        chosen = np.zeros(len(table), dtype=bool)
        chosen[dense.index] = True
        text = f"{len(dense)} rows lie close together along D at one N, as points of training "
        text += "curves do; they are no runs by themselves"
        mend = "name the run: --map run=… with --final-only, or --approach envelope"
        yield _message(table, "SC119", text, chosen, mend)


def _copies(table: RunsTable) -> Iterator[Message]:
    if "loss" in table.frame and not table.frame["loss"].duplicated().any():
        return
    compared = [c for c in table.frame if c != "run"]
    copies = table.used & table.frame.duplicated(subset=compared).to_numpy()
    if copies.any():
        count = int(copies.sum())
        said = "1 row is a copy" if count == 1 else f"{count} rows are copies"
        text = f"{said} of another row and count as often as they stand"
        yield _message(table, "SC107", text, copies, "remove them unless the runs were repeated")


def _flagged(table: RunsTable) -> Iterator[Message]:
    """Rows that the table itself marks as not to be trusted."""
    for name in map(str, table.frame):
        if name in COLUMNS or not set(split_words(name)) & _FLAGS:
            continue
        cells = [str(cell).strip().lower() for cell in table.frame[name]]
        values = set(cells) - {"none", "nan", ""}
        if not values or not values <= _BOOLEAN:
            continue
        chosen = table.used & np.array([cell in _TRUE for cell in cells])
        if chosen.any():
            unmarked = next((c for c in table.frame[name] if str(c).lower() not in _TRUE), "False")
            cell = f'"{unmarked}"' if table.frame[name].dtype == object else f"{unmarked:g}"
            text = f'{int(chosen.sum())} rows are marked by column "{clip(name, 30)}" and are used'
            mend = f"--where '{_name(name)} == {cell}' leaves them out"
            yield _message(table, "SC129", text, chosen, mend, "info")


# ---------------------------------------------------------------------------------------- outliers

_SPREADS, _LEAST, _SAMPLE = 8.0, 0.03, 20_000


def _outliers(table: RunsTable) -> Iterator[Message]:
    """Losses far from a smooth surface through the rows of their group."""
    loss = _numbers(table, "loss")
    axes = [c for c in ("N", "D", "C") if c in table.frame][:2]
    x = np.column_stack([np.log(_numbers(table, c)) for c in axes]) if axes else None
    if x is None:
        return
    known = ~np.isnan(loss) & ~np.isnan(x).any(axis=1)
    labels = np.zeros(len(table), dtype=np.int64)
    if "group" in table.frame:
        labels = pd.factorize(table.frame["group"])[0]
    chosen, worst = np.zeros(len(table), dtype=bool), 0.0
    for label in np.unique(labels[known])[:100]:
        at = np.flatnonzero(known & (labels == label))
        residual = _residuals(x[at], np.log(loss[at]))
        spread = 1.4826 * float(np.median(np.abs(residual)))
        far = np.abs(residual) > max(_SPREADS * spread, _LEAST)
        if 0 < far.sum() <= 0.1 * len(at):
            chosen[at[far]] = True
            worst = _worse(worst, residual[far])
    if chosen.any():
        count = int(chosen.sum())
        text = f"{count} loss{'es lie' if count > 1 else ' lies'} far from the neighbours, up to "
        text += f"{100 * math.expm1(worst):+.0f}% in loss; kept"
        mend = "look at these runs; --where leaves them out by a reason of yours"
        yield _message(table, "SC128", text, chosen, mend, "info")


def _worse(worst: float, residuals: Array) -> float:
    top = float(residuals[np.argmax(np.abs(residuals))])
    return top if abs(top) > abs(worst) else worst


def _residuals(x: Array, y: Array) -> Array:
    """Residuals of a quadratic in `x`, shape (n, p), that half of the rows may not bend."""
    z = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    columns = [np.ones(len(z)), *z.T]
    for i in range(z.shape[1]):
        columns += [z[:, i] * z[:, j] for j in range(i, z.shape[1])]
    design = np.column_stack(columns)
    if len(design) < design.shape[1] + 8:
        return np.zeros(len(y))
    step = max(1, len(y) // _SAMPLE)
    part, target = design[::step], y[::step]
    weights = np.ones(len(target))
    for _ in range(20):  # least absolute deviations by reweighting
        root = np.sqrt(weights)
        found = np.linalg.lstsq(part * root[:, None], target * root, rcond=None)[0]
        error = np.abs(target - part @ found)
        weights = 1.0 / np.maximum(error, 1e-4)
    out: Array = y - design @ found
    return out
