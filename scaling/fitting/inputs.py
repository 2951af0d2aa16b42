"""From a table to the arrays of a fit: groups, rows, columns, weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, TableError, clip, listed
from scaling.expressions import parse
from scaling.fitting import objectives
from scaling.fitting.data import Data
from scaling.fitting.options import Options
from scaling.laws import Law
from scaling.laws.cost import SIX_ND, Cost, power_cost
from scaling.runs.table import RunsTable

Array = NDArray[np.float64]
SAME_COST = 0.01  # of ln C, within which C counts as 6ND


def groups(table: RunsTable, column: str | None) -> list[tuple[str | None, NDArray[np.bool_]]]:
    """Split the table into groups; one nameless group if there is no such column.

    Raises
    ------
    ConfigError
        SC105 if `column` is not in the table.
    """
    everything = np.ones(len(table), dtype=bool)
    if column is None:
        if "group" not in table.frame or table.frame["group"].nunique() < 2:
            named = "group" in table.frame
            only = set(table.frame["group"].dropna().astype(str)) if named else set()
            return [(only.pop() if len(only) == 1 else None, everything)]
        column = "group"
    found = table.column(column)
    if found is None:
        known = listed((*table.frame, *(h for h in table.source if h not in table.frame)))
        raise ConfigError(Fault("SC105", "--group", f'no column "{clip(column)}"', known))
    values = np.array([str(cell) for cell in found], dtype=object)
    chosen = set(values[table.used]) or set(values)  # a condition may leave out whole groups
    return [(name, values == name) for name in sorted(chosen)]


def place(table: RunsTable, group: str | None) -> str:
    """Name the table and group in messages."""
    return (table.file or "frame") + (f" group {group}" if group else "")


def require(table: RunsTable, law: Law, response: str | None, group: str | None) -> None:
    """Refuse a table without the law's variables and response.

    Raises
    ------
    TableError
        SC105.
    """
    needed = (*law.variables, response or law.response)
    missing = [v for v in needed if v not in table.frame]
    if missing:
        raise TableError(
            Fault(
                "SC105",
                place(table, group),
                f"no column for {missing[0]}",
                f"law {law.name} needs " + ", ".join(needed),
                f"--map {missing[0]}='source[\"…\"]'",
            )
        )


def require_columns(table: RunsTable, names: Sequence[str], group: str | None) -> None:
    """Refuse a table without the columns that an approach reads.

    Raises
    ------
    TableError
        SC105.
    """
    missing = [name for name in names if name not in table.frame]
    if missing:
        found = f"no column for {missing[0]}"
        mend = f"--map {missing[0]}='source[\"…\"]' names it"
        raise TableError(Fault("SC105", place(table, group), found, ", ".join(names), mend))


def data_of(table: RunsTable, law: Law, options: Options, rows: NDArray[np.bool_]) -> Data:
    """Return the arrays of the fitted rows.

    Raises
    ------
    TableError
        SC102 for text, SC103 for values that are missing, infinite or without a logarithm.
    """
    x = {v: column_of(table, v, rows) for v in law.variables}
    loss = objectives.make(options.objective, given_delta(options.delta))
    response = options.response or law.response
    y = column_of(table, response, rows)
    if loss.logs and not (y > 0).all():
        expected = f"positive values for the objective {options.objective}"
        mend = "--objective huber or mse, which compare levels"
        raise TableError(_no_logarithm(table, response, rows, y, expected, mend))
    return Data(law, x, y, loss, dict(options.fixed), dict(options.bounds))


def column_of(
    table: RunsTable, name: str, rows: NDArray[np.bool_], *, positive: bool = False
) -> Array:
    """Return a column of the fitted rows as numbers.

    Raises
    ------
    TableError
        SC102 if it holds text, SC103 if a value is missing or infinite, or not above 0 where it
        must be `positive`.
    """
    values = table.frame[name]
    try:
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)[rows]
    except (TypeError, ValueError):
        raise TableError(_text_in(table, name)) from None
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        where = f'{table.file or "frame"}:{int(table.rows[rows][bad[0]])}  column "{name}"'
        found = f"{numbers[bad[0]]}".replace("nan", "empty")
        mend = "fill it in, or leave the row out with --where"
        raise TableError(Fault("SC103", where, found, "a finite number", mend))
    if positive and not (numbers > 0).all():
        mend = "leave such rows out with --where"
        raise TableError(_no_logarithm(table, name, rows, numbers, "a number above 0", mend))
    return np.ascontiguousarray(numbers)


def _no_logarithm(
    table: RunsTable, name: str, rows: NDArray[np.bool_], values: Array, expected: str, mend: str
) -> Fault:
    """Name the first value of a column that is not above 0."""
    first = int(np.flatnonzero(~(values > 0))[0])
    where = f'{table.file or "frame"}:{int(table.rows[rows][first])}  column "{name}"'
    return Fault("SC103", where, f"{values[first]:g} has no logarithm", expected, mend)


def _text_in(table: RunsTable, name: str) -> Fault:
    """Name the first cell of a column that is not a number."""
    numbers = pd.to_numeric(table.frame[name], errors="coerce")
    at = int(np.flatnonzero((numbers.isna() & table.frame[name].notna()).to_numpy())[0])
    where = f'{table.file or "frame"}:{int(table.rows[at])}  column "{name}"'
    text = clip(str(table.frame[name].iloc[at]))
    return Fault("SC102", where, f'"{text}" is not a number', "numbers")


def given_delta(delta: float | str | None) -> float | None:
    """Return a threshold that was given; None for ``auto``, which the residuals decide.

    Raises
    ------
    ConfigError
        SC004 for any other text.
    """
    if isinstance(delta, str):
        if delta != "auto":
            expected = "a number above 0, such as 1e-3, or auto"
            raise ConfigError(Fault("SC004", "--delta", f'"{clip(delta)}"', expected))
        return None
    return delta


def _condition_rows(table: RunsTable, text: str | None, option: str) -> NDArray[np.bool_]:
    if text is None:
        return np.zeros(len(table), dtype=bool)
    found = np.asarray(parse(text, where=option).value(table.environment()))
    if found.dtype != np.bool_ or found.shape != (len(table),):
        raise ConfigError(Fault("SC020", option, text, "a comparison such as C > 1e20"))
    return found


def holdout_rows(table: RunsTable, text: str | None) -> NDArray[np.bool_]:
    """Return which rows a condition holds out; none without a condition."""
    return _condition_rows(table, text, "--holdout")


def weights_of(table: RunsTable, options: Options) -> Array:
    """Weights of rows: those given, times the inverse square of the noise that is known."""
    weights = _amounts(table, options.weights, "--weights")
    noise = _amounts(table, options.noise, "--noise")
    used = noise[table.used]
    if not (used > 0).all():
        raise ConfigError(Fault("SC004", "--noise", clip(options.noise or ""), "values above 0"))
    typical = float(np.exp(np.log(used).mean())) if len(used) else 1.0
    with np.errstate(all="ignore"):
        return weights * (typical / noise) ** 2


def _amounts(table: RunsTable, text: str | None, option: str) -> Array:
    """Evaluate an expression to one finite amount a row; ones without it."""
    if text is None:
        return np.ones(len(table))
    value = np.asarray(parse(text, where=option).value(table.environment()))
    if value.dtype.kind not in "fiub":
        raise ConfigError(Fault("SC020", option, f"{clip(text)} is text", "an amount a row"))
    amounts = np.broadcast_to(value.astype(np.float64), (len(table),)).copy()
    used = amounts[table.used]
    if not (np.isfinite(used) & (used >= 0)).all() or not used.any():
        expected = "finite values, 0 or more, not all 0"
        raise ConfigError(Fault("SC004", option, clip(text), expected))
    return amounts


def measured_cost(table: RunsTable, rows: NDArray[np.bool_]) -> tuple[Cost, float] | None:
    """Return what C of the table is as ``k N^p D^q``, and its largest error in ln C.

    None where the table has no C of its own, or C is 6ND.
    """
    if not {"N", "D", "C"} <= set(table.frame) or table.columns["C"].source.startswith("="):
        return None
    if table.columns["D"].source.startswith("="):
        return None
    frame = table.frame.loc[rows]
    n, d, c = (frame[name].to_numpy(dtype=np.float64) for name in ("N", "D", "C"))
    if len(n) < 3 or not np.isfinite(np.log(n) + np.log(d) + np.log(c)).all():
        return None
    if np.abs(np.log(c / (6.0 * n * d))).max() < SAME_COST:
        return None
    return power_cost(n, d, c)


def cost_for(table: RunsTable, rows: NDArray[np.bool_], text: str | None) -> Cost:
    """Return the cost that an option names: ``6nd``, ``table``, or a formula of N and D.

    Raises
    ------
    ConfigError
        SC004 if the table has no C that could be fitted; SC020 for another name.
    """
    if text is None or text == SIX_ND.name:
        return SIX_ND
    if text != "table":
        cost = Cost("given", text)
        _ = cost.expression
        return cost
    found = measured_cost(table, rows)
    if found is None:
        expected = "a table whose C is its own and not 6ND"
        raise ConfigError(Fault("SC004", "--cost", "table", expected, "--cost 6nd is the same"))
    return found[0]
