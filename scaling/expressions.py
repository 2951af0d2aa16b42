"""The whitelisted expressions that users write: formulas, conditions and column maps.

A text such as ``"E + A/N**alpha"`` or ``'loss < 3.4 and source["Model Size"] > 1e7'`` is parsed by
Python's own `ast` and kept only if every node is on a short list; it is never given to ``eval``.
Arithmetic expressions evaluate together with their forward derivatives, vectorised over NumPy
arrays that broadcast.

References
----------
Forward-mode differentiation: Griewank and Walther, *Evaluating Derivatives*, 2nd ed. (2008), ch. 3.
"""

from __future__ import annotations

import ast
import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, clip, listed

Array = NDArray[np.float64]
Environment = Mapping[str, Any]

MAX_LENGTH = 1000
MAX_DEPTH = 40


@dataclass(frozen=True)
class _Function:
    """A callable of the whitelist with the derivative of each argument."""

    arity: int
    value: Callable[..., Any]
    derivatives: Callable[..., tuple[Any, ...]]


_FUNCTIONS: dict[str, _Function] = {
    "exp": _Function(1, np.exp, lambda y, _x: (y,)),
    "log": _Function(1, np.log, lambda _y, x: (1.0 / x,)),
    "log10": _Function(1, np.log10, lambda _y, x: (1.0 / (x * np.log(10.0)),)),
    "expm1": _Function(1, np.expm1, lambda y, _x: (y + 1.0,)),
    "softplus": _Function(1, lambda x: np.logaddexp(0.0, x), lambda y, x: (np.exp(x - y),)),
    "sqrt": _Function(1, np.sqrt, lambda y, _x: (0.5 / y,)),
    "abs": _Function(1, np.abs, lambda _y, x: (np.sign(x),)),
    "minimum": _Function(2, np.minimum, lambda _y, p, q: (p <= q, p > q)),
    "maximum": _Function(2, np.maximum, lambda _y, p, q: (p >= q, p < q)),
}

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}


@dataclass(frozen=True)
class Expression:
    """A checked expression.

    Attributes
    ----------
    text : str
        As the user wrote it.
    tree : ast.expr
        The whitelisted syntax tree.
    """

    text: str
    tree: ast.expr

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Free names in order of appearance; ``source["x"]`` counts as ``source``."""
        found: dict[str, None] = {}
        for node in _walk(self.tree):
            if isinstance(node, ast.Name):
                found.setdefault(node.id)
        return tuple(found)

    @cached_property
    def source_columns(self) -> tuple[str, ...]:
        """Column names that appear as ``source["…"]``."""
        return tuple(
            dict.fromkeys(
                str(node.slice.value)
                for node in _walk(self.tree)
                if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
            )
        )

    def value(self, env: Environment) -> Any:
        """Evaluate without derivatives; comparisons give boolean arrays.

        Parameters
        ----------
        env : mapping
            Value of each free name: a number or an array; ``source`` is a mapping of columns.

        Raises
        ------
        ConfigError
            SC020 for an unknown name, and for text where a number is needed.
        """
        with np.errstate(all="ignore"):
            return _value(self.tree, env, self.text)

    def value_and_gradient(
        self, env: Environment, wrt: Sequence[str], logs: Environment
    ) -> tuple[Any, dict[str, Any]]:
        """Evaluate an arithmetic expression with its derivatives.

        Parameters
        ----------
        env : mapping
            Value of each free name.
        wrt : sequence of str
            Names to differentiate by.
        logs : mapping
            Natural logarithms of data columns, computed once; powers of them become one ``exp``.

        Returns
        -------
        value : array
        gradient : dict
            Derivative by each name of `wrt` that occurs; absent names have derivative zero.
        """
        with np.errstate(all="ignore"):
            return _dual(self._quick, env, frozenset(wrt), logs)

    @cached_property
    def _quick(self) -> ast.expr:
        """The tree with ``p / q**r`` as ``p * q**(-r)``, which costs fewer passes."""
        quick: ast.expr = _Quicken().visit(copy.deepcopy(self.tree))
        return ast.fix_missing_locations(quick)


class _Quicken(ast.NodeTransformer):
    """Turn division by a power into multiplication by the inverse power."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Rewrite the operands, then the node."""
        self.generic_visit(node)
        match node:
            case ast.BinOp(left=left, op=ast.Div(), right=ast.BinOp(op=ast.Pow()) as power):
                inverse = ast.UnaryOp(ast.USub(), power.right)
                return ast.BinOp(left, ast.Mult(), ast.BinOp(power.left, ast.Pow(), inverse))
        return node


def parse(text: str, *, where: str, names: Sequence[str] | None = None) -> Expression:
    """Parse and check an expression.

    Parameters
    ----------
    text : str
        What the user wrote.
    where : str
        Where it stands, for messages, for example ``--where``.
    names : sequence of str, optional
        The names that may occur; any, if None.

    Raises
    ------
    ConfigError
        SC020, naming what is not allowed.
    """
    if len(text) > MAX_LENGTH:
        raise _refuse(where, text, f"{len(text)} characters long", f"at most {MAX_LENGTH}")
    try:
        with warnings.catch_warnings():  # what Python finds odd is refused below, or harmless
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or type(error).__name__
        raise _refuse(where, text, f"cannot be parsed: {reason}", 'e.g. "N/1e6 > 3"') from None
    _check(tree, where, text, 0)
    expression = Expression(text.strip(), tree)
    if names is not None:
        unknown = [name for name in expression.names if name not in names]
        if unknown:
            known = ", ".join(names)
            raise _refuse(where, text, f'unknown name "{clip(unknown[0])}"', f"one of {known}")
    return expression


def _refuse(where: str, text: str, found: str, expected: str) -> ConfigError:
    mend = CODE_MEND if not expected else ""
    return ConfigError(Fault("SC020", where, found, expected, mend=mend, excerpt=text))


CODE_MEND = "use numbers, names, + - * / **, comparisons, and, or, not, and the listed functions"


def _walk(tree: ast.expr) -> Iterator[ast.expr]:
    """Yield every operand expression, leaving out the names of called functions."""
    yield tree
    for child in _children(tree):
        yield from _walk(child)


def _children(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.BinOp():
            return [node.left, node.right]
        case ast.UnaryOp():
            return [node.operand]
        case ast.BoolOp():
            return list(node.values)
        case ast.Compare():
            return [node.left, *node.comparators]
        case ast.Call():
            return list(node.args)
        case ast.Subscript():
            return [node.value]
        case _:
            return []


def _check(node: ast.expr, where: str, text: str, depth: int) -> None:
    """Refuse every node that is not on the list."""
    if depth > MAX_DEPTH:
        raise _refuse(where, text, "nested too deeply", f"at most {MAX_DEPTH} levels")
    allowed_operators = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)
    match node:
        case ast.Constant(value=value):
            ok = isinstance(value, (int, float, str)) and not isinstance(value, bool)
        case ast.Name(id=name):
            ok = not name.startswith("_")
        case ast.BinOp(op=op):
            ok = isinstance(op, allowed_operators)
        case ast.UnaryOp(op=op):
            ok = isinstance(op, (ast.UAdd, ast.USub, ast.Not))
        case ast.BoolOp():
            ok = True
        case ast.Compare(ops=ops):
            ok = all(type(op) in _COMPARE for op in ops)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            ok = name in _FUNCTIONS and len(args) == _FUNCTIONS[name].arity
        case ast.Subscript(value=ast.Name(id="source"), slice=ast.Constant(value=str())):
            ok = True
        case _:
            ok = False
    if not ok:
        piece = clip(ast.get_source_segment(text.strip(), node) or type(node).__name__)
        expected = ""
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            expected = f'text in quotes: column == "{piece}"'
        raise _refuse(where, text, f"{piece!r} is not allowed", expected)
    for child in _children(node):
        _check(child, where, text, depth + 1)


def _constant(node: ast.Constant) -> Any:
    value: Any = node.value
    if isinstance(value, str):
        return value
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _lookup(node: ast.expr, env: Environment, text: str) -> Any:
    if isinstance(node, ast.Subscript):
        column = str(node.slice.value)  # type: ignore[attr-defined]
        source = env["source"]
        if column not in source:
            raise ConfigError(
                Fault("SC020", f'source["{clip(column)}"]', "no such column", listed(source))
            )
        return source[column]
    assert isinstance(node, ast.Name)
    if node.id not in env:
        known = listed(name for name in env if name != "source")
        raise ConfigError(
            Fault(
                "SC020",
                clip(text),
                f'unknown name "{clip(node.id)}"',
                f'{known}, or source["column"]',
            )
        )
    return env[node.id]


def _value(node: ast.expr, env: Environment, text: str) -> Any:
    match node:
        case ast.Constant():
            return _constant(node)
        case ast.Name() | ast.Subscript():
            return _lookup(node, env, text)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return np.logical_not(_number(operand, env, text))
        case ast.UnaryOp(op=op, operand=operand):
            inner = _number(operand, env, text)
            return -inner if isinstance(op, ast.USub) else inner
        case ast.BinOp(left=left, op=op, right=right):
            return _arithmetic(op, _number(left, env, text), _number(right, env, text))
        case ast.BoolOp(op=op, values=values):
            combine = np.logical_and if isinstance(op, ast.And) else np.logical_or
            return combine.reduce(_broadcast([_number(value, env, text) for value in values]))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            operands = [_value(item, env, text) for item in (left, *comparators)]
            kinds = {_is_text(operand) for operand in operands}
            if len(kinds) > 1:
                raise _refuse("the expression", text, "compares text with a number", "like kinds")
            links = [
                _COMPARE[type(op)](p, q)
                for op, p, q in zip(ops, operands, operands[1:], strict=False)
            ]
            return np.logical_and.reduce(_broadcast(links))
        case ast.Call(func=ast.Name(id=name), args=args):
            return _FUNCTIONS[name].value(*(_number(arg, env, text) for arg in args))
    raise AssertionError(f"unchecked node {type(node).__name__}")


def _is_text(value: Any) -> bool:
    kind = np.asarray(value).dtype.kind
    return kind in "USTO"


def _broadcast(values: list[Any]) -> list[Any]:
    return list(np.broadcast_arrays(*values))


def _number(node: ast.expr, env: Environment, text: str) -> Any:
    """Evaluate an operand that must not be text."""
    value = _value(node, env, text)
    if _is_text(value):
        piece = clip(ast.get_source_segment(text, node) or text, 30)
        expected = f'a number; text is compared whole, as in {piece} == "value"'
        raise _refuse("the expression", text, f"{piece} is text", expected)
    return value


def _arithmetic(op: ast.operator, p: Any, q: Any) -> Any:
    match op:
        case ast.Add():
            return p + q
        case ast.Sub():
            return p - q
        case ast.Mult():
            return p * q
        case ast.Div():
            return np.divide(p, q)
        case _:
            return np.power(p, q)


_Dual = tuple[Any, dict[str, Any]]


def _dual(node: ast.expr, env: Environment, wrt: frozenset[str], logs: Environment) -> _Dual:
    match node:
        case ast.Constant():
            return _constant(node), {}
        case ast.Name(id=name):
            return env[name], ({name: 1.0} if name in wrt else {})
        case ast.UnaryOp(op=op, operand=operand):
            value, slope = _dual(operand, env, wrt, logs)
            if isinstance(op, ast.USub):
                return -value, {name: -d for name, d in slope.items()}
            return value, slope
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(left, right, env, wrt, logs)
        case ast.BinOp(left=left, op=op, right=right):
            return _combine(op, _dual(left, env, wrt, logs), _dual(right, env, wrt, logs))
        case ast.Call(func=ast.Name(id="log"), args=[ast.Name(id=name)]) if name in logs:
            return logs[name], {}
        case ast.Call(func=ast.Name(id=name), args=args):
            duals = [_dual(arg, env, wrt, logs) for arg in args]
            function = _FUNCTIONS[name]
            value = function.value(*(d[0] for d in duals))
            partials = function.derivatives(value, *(d[0] for d in duals))
            return value, _chain(list(zip(partials, (d[1] for d in duals), strict=True)))
    raise AssertionError(f"not arithmetic: {type(node).__name__}")


def _chain(terms: list[tuple[Any, dict[str, Any]]]) -> dict[str, Any]:
    """Sum ``factor * slope`` over the operands, by name."""
    total: dict[str, Any] = {}
    for factor, slope in terms:
        for name, d in slope.items():
            part = d if factor is None else factor * d
            total[name] = total[name] + part if name in total else part
    return total


def _combine(op: ast.operator, left: _Dual, right: _Dual) -> _Dual:
    (p, dp), (q, dq) = left, right
    match op:
        case ast.Add():
            return p + q, _chain([(None, dp), (None, dq)])
        case ast.Sub():
            return p - q, _chain([(None, dp), (-1.0, dq)])
        case ast.Mult():
            return p * q, _chain([(q, dp), (p, dq)])
        case _:
            inverse = np.divide(1.0, q)
            value = p * inverse
            return value, _chain([(inverse, dp), (-value * inverse, dq)])


def _power(
    left: ast.expr, right: ast.expr, env: Environment, wrt: frozenset[str], logs: Environment
) -> _Dual:
    """Differentiate ``left ** right``; a power of a data column uses its stored logarithm."""
    q, dq = _dual(right, env, wrt, logs)
    if isinstance(left, ast.Name) and left.id in logs:
        log_base = logs[left.id]
        value = np.exp(q * log_base)
        return value, _chain([(value * log_base, dq)]) if dq else {}
    p, dp = _dual(left, env, wrt, logs)
    value = np.power(p, q)
    terms: list[tuple[Any, dict[str, Any]]] = []
    if dp:
        terms.append((q * np.power(p, q - 1.0), dp))
    if dq:
        terms.append((value * np.log(p), dq))
    return value, _chain(terms)
