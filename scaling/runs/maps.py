"""Columns by expression: the maps that a user gives, and the numbers that a reading makes."""

from __future__ import annotations

import ast
from collections.abc import Mapping

import numpy as np
import pandas as pd

from scaling.errors import ConfigError, Fault, Message, clip, listed
from scaling.expressions import Expression, parse
from scaling.runs.columns import COLUMNS
from scaling.runs.importers.base import Imported
from scaling.runs.names import Guess, guesses
from scaling.runs.numbers import POINT, Dialect, numbers_or_none, texts_of, to_numbers
from scaling.runs.table import Reading

PLAIN_COUNT = 1e6  # a median above it is no number of millions


def parse_maps(maps: Mapping[str, str]) -> dict[str, Expression]:
    """Parse the expression of each canonical column.

    Raises
    ------
    ConfigError
        SC004 for a name that is no column of the runs table, SC020 for an expression.
    """
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


def mapped_reading(
    expression: Expression, role: str, cells: pd.DataFrame
) -> tuple[Reading, list[Message]]:
    """How a mapped column is read; a name's unit that the map leaves aside is told."""
    tree, header = expression.tree, None
    if isinstance(tree, ast.Subscript):
        header = expression.source_columns[0]
    elif isinstance(tree, ast.Name) and tree.id in cells:
        header = tree.id
    unit = "as mapped" if COLUMNS[role].unit else ""
    if header is None:
        return Reading(expression.text, unit), []
    guess = next((g for g in guesses(header) if g.role == role), None)
    stated = guess is not None and (guess.scale != 1.0 or bool(guess.transform))
    if guess is not None and stated and not _large(cells[header]):
        text = f'The map takes "{clip(header, 40)}" as it stands, though its name states a unit.'
        mend = f"--map {map_of(role, guess)}"
        return Reading(header, unit, 1.0, header), [Message("SC121", text, mend=mend)]
    plain = guess is not None or header == role
    convention = guess.convention if guess is not None else ""
    unit = (guess.unit if guess is not None else "") or COLUMNS[role].unit if plain else unit
    return Reading(header, unit, 1.0, header, "", convention), []


def _large(values: pd.Series) -> bool:
    """Whether values are plain counts whatever unit their name states."""
    numbers = numbers_or_none(values, POINT)
    return numbers is not None and bool(np.nanmedian(numbers) >= PLAIN_COUNT)


def map_of(role: str, guess: Guess) -> str:
    """Write the --map that a choice stands for, its unit included."""
    plain = guess.header.isidentifier() and guess.header not in COLUMNS
    text = guess.header if plain else f'source["{guess.header}"]'
    text = f"log({text})" if guess.transform else text
    text = text if guess.scale == 1.0 else f"{text}*{guess.scale:.10g}"
    return f"{role}={text}" if text.isidentifier() else f"'{role}={text}'"


def mapped(
    expression: Expression,
    role: str,
    source: Imported,
    columns: Mapping[str, Reading],
    series: Mapping[str, pd.Series],
    dialect: Dialect,
) -> pd.Series:
    """Evaluate a map; a plain ``source["x"]`` passes its cells through, text included."""
    cells = source.cells
    missing = [c for c in expression.source_columns if c not in cells]
    if missing:
        raise ConfigError(
            Fault(
                "SC020",
                "--map",
                f'{source.name} has no column "{clip(missing[0])}"',
                listed(map(str, cells)),
            )
        )
    tree = expression.tree
    if isinstance(tree, ast.Subscript):
        return cells[expression.source_columns[0]]
    if isinstance(tree, ast.Name) and tree.id in cells:
        return cells[tree.id]
    if COLUMNS[role].kind == "text":
        return _joined(expression, source)
    unknown = [n for n in expression.names if n not in ("source", *cells.columns, *series)]
    if unknown:
        found = f'{source.name} has no column "{clip(unknown[0])}"'
        raise ConfigError(Fault("SC020", "--map", found, listed(map(str, cells))))
    env: dict[str, object] = {}
    for name in expression.names:
        if name == "source":
            continue
        if name in cells:
            env[name] = to_numbers(cells[name], name, source, dialect)
        elif name in series:
            env[name] = scaled(
                to_numbers(series[name], columns[name].header or name, source, dialect),
                columns[name],
            )
    env["source"] = {c: to_numbers(cells[c], c, source, dialect) for c in expression.source_columns}
    value = np.asarray(expression.value(env))
    if value.dtype.kind not in "fiu":
        text = clip(expression.text)
        raise ConfigError(Fault("SC020", "--map", f"{text!r} gives no numbers", "an amount a row"))
    return pd.Series(np.broadcast_to(value.astype(np.float64), (len(cells),)).copy())


def _joined(expression: Expression, source: Imported) -> pd.Series:
    """Join columns and constants of text by ``+``, row by row."""

    def text_of(node: ast.expr) -> list[str]:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            sides = zip(text_of(node.left), text_of(node.right), strict=True)
            return [a + b for a, b in sides]
        if isinstance(node, ast.Constant):
            return [str(node.value)] * len(source.cells)
        name = node.id if isinstance(node, ast.Name) else None
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            name = str(node.slice.value)
        if name is None or name not in source.cells:
            found = f"{clip(expression.text)!r} is no text"
            expected = 'columns and texts joined by +, such as Domain + "/" + Task'
            known = listed(map(str, source.cells))
            raise ConfigError(Fault("SC020", "--map", found, f"{expected}; {known}"))
        return texts_of(source.cells[name])

    return pd.Series(text_of(expression.tree), dtype=object)


def scaled(numbers: np.ndarray, reading: Reading) -> np.ndarray:
    """Apply the unit of a reading: the logarithm of a perplexity, billions to ones."""
    if reading.transform == "ln":
        with np.errstate(all="ignore"):
            numbers = np.log(numbers)
    return numbers if reading.scale == 1.0 else exact_times(numbers, reading.scale)


def exact_times(numbers: np.ndarray, scale: float) -> np.ndarray:
    """Multiply; by a power of ten so that 1.3 billions become the float nearest to 1.3e9."""
    power = round(float(np.log10(scale)))
    if scale != float(f"1e{power}"):
        return numbers * scale
    written = (repr(float(v)) for v in numbers)
    return np.array([float(_shifted(text, power)) for text in written], dtype=np.float64)


def _shifted(text: str, power: int) -> str:
    """Raise the exponent of a written number."""
    mantissa, _, exponent = text.partition("e")
    if not mantissa[-1:].isdigit():  # nan, inf
        return text
    return f"{mantissa}e{int(exponent or 0) + power}"
