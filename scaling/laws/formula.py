"""A user's formula as a law: which names are data, which parameters are linear, where to start."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, clip, listed
from scaling.expressions import parse
from scaling.laws.law import Law, Parameter
from scaling.laws.pieces import EXPONENT_BOUNDS, FEW_EXPONENTS

MAX_PARAMETERS = 12
LABELS = frozenset({"run", "group", "status"})
FACTORS = (0.01, 0.1, 1.0, 10.0, 100.0)


def from_formula(text: str, columns: Iterable[str], response: str | None = None) -> Law:
    """Make a law of a formula.

    Names that are columns of the table are variables; all others are parameters. A parameter that
    enters linearly may have either sign, a term of its own must be 0 or more; one in an exponent
    starts on a grid of exponents; any other is taken as positive and starts over decades about 1
    and about the middle of each variable. ``Law(...)`` says more than a formula can.

    Parameters
    ----------
    text : str
        For example ``"E + A/N**alpha"``.
    columns : iterable of str
        Columns of the table.
    response : str, optional
        Column that the formula gives; the loss if None. The formula cannot read it.

    Raises
    ------
    ConfigError
        SC020 if the formula cannot be used.
    """
    expression = parse(text, where="--formula")
    columns = set(columns)
    given = response or "loss"
    known = columns - LABELS - {given}
    refused = [n for n in expression.names if n in columns & (LABELS | {given})]
    if refused:
        found = f'"{refused[0]}" is a column that no formula reads'
        raise ConfigError(Fault("SC020", "--formula", found, listed(sorted(known)), excerpt=text))
    variables = tuple(n for n in expression.names if n in known)
    names = [n for n in expression.names if n not in known]
    if not variables or not names or len(names) > MAX_PARAMETERS:
        found = "no variable" if not variables else f"{len(names)} parameters"
        expected = (
            f"columns of the table ({listed(sorted(known))}) and 1 to {MAX_PARAMETERS} others"
        )
        raise ConfigError(Fault("SC020", "--formula", found, expected, excerpt=text))
    arithmetic_only(expression.tree, text, "--formula")
    linear = _jointly_linear(expression.tree, names)
    in_exponents = _in_exponents(expression.tree, set(names))
    parameters = tuple(
        _parameter(n, n in linear, n in in_exponents, expression.tree) for n in names
    )
    return Law(
        name=expression.text,
        title="User's formula",
        formula=expression.text,
        parameters=parameters,
        variables=variables,
        reference="formula given by the user",
        response=given,
    )


def _parameter(name: str, linear: bool, in_exponent: bool, tree: ast.expr) -> Parameter:
    if linear and _alone(tree, name):
        return Parameter(name, "linear", 0.0, np.inf, meaning="additive level")
    if linear:
        return Parameter(name, "linear", -np.inf, np.inf, meaning="coefficient")
    if in_exponent:
        starts = tuple(sign * s for sign in (1.0, -1.0) for s in FEW_EXPONENTS)
        high = EXPONENT_BOUNDS[1]
        return Parameter(name, "exponent", -high, high, starts=starts, meaning="exponent")
    return Parameter(name, "shape", 1e-100, 1e100, starts=_scales, meaning="parameter", log=True)


def _scales(x: Mapping[str, NDArray[np.float64]]) -> tuple[float, ...]:
    """Decades about 1 and about the middle of each variable, whose scale it may be."""
    middles = [float(np.exp(np.log(v[v > 0]).mean())) for v in x.values() if (v > 0).any()]
    return tuple(sorted({m * f for m in (1.0, *middles) for f in FACTORS}))


def arithmetic_only(tree: ast.expr, text: str, where: str) -> None:
    """Refuse comparisons, logic and text in what must be a number.

    Raises
    ------
    ConfigError
        SC020.
    """
    for node in ast.walk(tree):
        if isinstance(node, (ast.Compare, ast.BoolOp, ast.Subscript, ast.Not)) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str)
        ):
            piece = "not" if isinstance(node, ast.Not) else clip(ast.unparse(node), 30)
            expected = "arithmetic of columns and parameters"
            raise ConfigError(
                Fault("SC020", where, f"{piece} is no arithmetic", expected, excerpt=text)
            )


def _jointly_linear(tree: ast.expr, names: Sequence[str]) -> set[str]:
    """Parameters of which the formula is a first-degree polynomial, all of them together."""
    chosen: set[str] = set()
    for name in names:
        if _degree(tree, chosen | {name}) <= 1:
            chosen.add(name)
    return chosen


def _degree(node: ast.expr, names: set[str]) -> float:
    """Degree of a tree as a polynomial in `names`; infinite where it is none."""
    match node:
        case ast.Name(id=name):
            return 1.0 if name in names else 0.0
        case ast.UnaryOp(operand=operand):
            return _degree(operand, names)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
            return max(_degree(left, names), _degree(right, names))
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _degree(left, names) + _degree(right, names)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _degree(left, names) if _degree(right, names) == 0 else np.inf
        case ast.BinOp(left=left, right=right) | ast.Call(args=[left, right]):
            return 0.0 if _degree(left, names) == _degree(right, names) == 0 else np.inf
        case ast.Call(args=[argument]):
            return 0.0 if _degree(argument, names) == 0 else np.inf
        case _:
            return 0.0


def _in_exponents(tree: ast.expr, names: set[str]) -> set[str]:
    """Parameters that occur in the exponent of a power."""
    powers = (n for n in ast.walk(tree) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Pow))
    inside = (part for power in powers for part in ast.walk(power.right))
    return {part.id for part in inside if isinstance(part, ast.Name) and part.id in names}


def _alone(node: ast.expr, name: str) -> bool:
    """Whether the parameter is a term of its own."""
    match node:
        case ast.Name(id=found):
            return found == name
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _alone(left, name) or _alone(right, name)
        case _:
            return False
