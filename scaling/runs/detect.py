"""Which column of a stranger's table plays which role."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from scaling.errors import ConfigError, Fault, Message, TableError, clip, listed
from scaling.expressions import Expression, parse
from scaling.runs.columns import ALIASES, COLUMNS, ROLES, normalise
from scaling.runs.table import Reading


@dataclass
class Resolved:
    """Cells with canonical names, before their values are checked."""

    frame: pd.DataFrame
    source: dict[str, pd.Series]
    columns: dict[str, Reading]
    messages: list[Message] = field(default_factory=list)


def resolve_columns(
    cells: pd.DataFrame, rows: np.ndarray, name: str, maps: Mapping[str, str]
) -> Resolved:
    """Choose a source for every canonical column.

    An exact canonical name wins; otherwise the one header with a known alias; `maps` overrides
    both. Columns that are not understood keep their own names.

    Raises
    ------
    TableError
        SC110 if several headers could play one role.
    ConfigError
        SC020 if a map cannot be used.
    """
    expressions = _parse_maps(maps)
    chosen = _choose(list(cells.columns), name, set(expressions))
    columns: dict[str, Reading] = {}
    series: dict[str, pd.Series] = {}
    for role, header in chosen.items():
        columns[role] = Reading(header, COLUMNS[role].unit)
        series[role] = cells[header]
    source = {str(header): cells[header] for header in cells.columns}
    for role, expression in expressions.items():
        columns[role] = Reading(expression.text, COLUMNS[role].unit)
        series[role] = _mapped(expression, source, series, rows, name)
    taken = set(chosen.values())
    ordered = {role: series[role] for role in COLUMNS if role in series}
    rest = {h: cells[h] for h in cells.columns if h not in taken and h not in ordered}
    return Resolved(pd.DataFrame({**ordered, **rest}), source, columns)


def _parse_maps(maps: Mapping[str, str]) -> dict[str, Expression]:
    for role in maps:
        if role not in COLUMNS:
            raise ConfigError(
                Fault(
                    "SC004",
                    "--map",
                    f'"{clip(role)}" is not a column of the runs table',
                    "one of " + ", ".join(COLUMNS),
                )
            )
    return {role: parse(text, where=f"--map {role}") for role, text in maps.items()}


def _choose(headers: list[str], name: str, mapped: set[str]) -> dict[str, str]:
    chosen = {h: h for h in headers if h in COLUMNS and h not in mapped}
    candidates: dict[str, list[str]] = {}
    for header in headers:
        role = ALIASES.get(normalise(header))
        if header in chosen or role is None or role in chosen or role in mapped:
            continue
        candidates.setdefault(role, []).append(header)
    for header in headers:
        role = next((c for c in COLUMNS if normalise(c) == normalise(header)), None)
        if role and header not in chosen and role not in chosen and role not in mapped:
            candidates.setdefault(role, []).append(header)
    faults = [
        Fault(
            "SC110",
            f"{name}:1",
            f"{len(found)} columns could be {role}",
            ", ".join(clip(h, 30) for h in found),
            f"choose: --map {role}='source[\"{clip(found[0], 30)}\"]'",
        )
        for role, found in candidates.items()
        if len(found) > 1 and role in ROLES
    ]
    if faults:
        raise TableError(faults)
    return chosen | {role: found[0] for role, found in candidates.items() if len(found) == 1}


def _mapped(
    expression: Expression,
    source: Mapping[str, pd.Series],
    series: Mapping[str, pd.Series],
    rows: np.ndarray,
    name: str,
) -> pd.Series:
    """Evaluate a map; a plain ``source["x"]`` passes its cells through, text included."""
    missing = [c for c in expression.source_columns if c not in source]
    if missing:
        raise ConfigError(
            Fault(
                "SC020",
                "--map",
                f'{name} has no column "{clip(missing[0])}"',
                listed(source),
            )
        )
    used = [n for n in expression.names if n != "source"]
    if isinstance(expression.tree, ast.Subscript):
        return source[expression.source_columns[0]]
    env: dict[str, object] = {}
    for column in used:
        values = series[column] if column in series else source.get(column)
        if values is not None:
            env[column] = to_numbers(values, column, rows, name)
    env["source"] = {c: to_numbers(source[c], c, rows, name) for c in expression.source_columns}
    value = np.asarray(expression.value(env))
    if value.dtype.kind not in "fiu":
        text = clip(expression.text)
        raise ConfigError(Fault("SC020", "--map", f"{text!r} gives no numbers", "an amount a row"))
    return pd.Series(np.broadcast_to(value.astype(np.float64), (len(rows),)).copy())


def to_numbers(values: pd.Series, column: str, rows: np.ndarray, name: str) -> np.ndarray:
    """Convert cells to float64, empty cells to NaN.

    Raises
    ------
    TableError
        SC102 for every cell that is not a number.
    """
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    text = values.astype("string").str.strip().fillna("")
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    filled = (text != "").to_numpy()
    spelled_nan = text.str.lower().isin(["nan", "+nan", "-nan"]).to_numpy()
    bad = np.flatnonzero(filled & np.isnan(numbers) & ~spelled_nan)
    if len(bad):
        raise TableError([_not_a_number(text.iloc[i], column, int(rows[i]), name) for i in bad])
    # A written NaN is a fault of value, not an empty cell: keep them apart by infinity.
    return np.where(spelled_nan, np.inf, numbers)


def _not_a_number(cell: str, column: str, row: int, name: str) -> Fault:
    plain = cell.replace(",", ".")
    mend = "write plain numbers such as 2431 or 2.4e3"
    if "," in cell and plain.count(".") == 1 and plain.replace(".", "").isdigit():
        mend = "decimal comma or thousands separator? write 2.431 or 2431"
    return Fault(
        "SC102",
        f'{name}:{row}  column "{clip(column, 30)}"',
        f'"{clip(cell)}" is not a number',
        "a number",
        mend,
    )
