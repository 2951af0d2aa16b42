"""Formulas as MathML, LaTeX and Typst, from the checked syntax tree and nothing else."""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from scaling.errors import ConfigError
from scaling.expressions import Expression, parse
from scaling.fitting.auto.mixture import Mixture
from scaling.laws import Law
from scaling.reporting.document import Formula, Paragraph

GREEK: Mapping[str, str] = {
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "delta": "δ",
    "epsilon": "ε",
    "zeta": "ζ",
    "eta": "η",
    "theta": "θ",
    "kappa": "κ",
    "lambda": "λ",
    "mu": "μ",
    "nu": "ν",
    "xi": "ξ",
    "rho": "ρ",
    "sigma": "σ",
    "tau": "τ",
    "phi": "φ",
    "chi": "χ",
    "psi": "ψ",
    "omega": "ω",
}
RESPONSES = {"loss": "L"}
SUM, PRODUCT, UNARY, POWER, ATOM = range(5)
NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*\Z")


def symbol(name: str) -> str:
    """Return a parameter's name as readers know it: ``alpha`` becomes ``α``."""
    head, _, tail = name.partition("_")
    return GREEK.get(head, head) + (f"_{tail}" if tail else "")


class Dialect(Protocol):
    """How one notation writes the pieces of a formula."""

    def number(self, text: str) -> str:
        """Write a constant."""

    def name(self, head: str, tail: str) -> str:
        """Write a variable with an optional subscript."""

    def operator(self, sign: str, left: str, right: str) -> str:
        """Write a sum, difference or product."""

    def fraction(self, top: str, bottom: str) -> str:
        """Write a quotient."""

    def power(self, base: str, exponent: str) -> str:
        """Write a power."""

    def minus(self, inner: str) -> str:
        """Write a negated term."""

    def group(self, inner: str) -> str:
        """Put parentheses around a term."""

    def call(self, function: str, arguments: list[str]) -> str:
        """Write a function call."""


class MathML:
    """Presentation MathML."""

    def number(self, text: str) -> str:
        """Write a constant."""
        return f"<mn>{html.escape(text)}</mn>"

    def name(self, head: str, tail: str) -> str:
        """Write a variable."""
        base = f"<mi>{html.escape(GREEK.get(head, head))}</mi>"
        if not tail:
            return base
        return f"<msub>{base}<mi>{html.escape(GREEK.get(tail, tail))}</mi></msub>"

    def operator(self, sign: str, left: str, right: str) -> str:
        """Write a sum, difference or product."""
        shown = {"-": "−", "*": "·"}.get(sign, sign)
        return f"<mrow>{left}<mo>{shown}</mo>{right}</mrow>"

    def fraction(self, top: str, bottom: str) -> str:
        """Write a quotient."""
        return f"<mfrac><mrow>{top}</mrow><mrow>{bottom}</mrow></mfrac>"

    def power(self, base: str, exponent: str) -> str:
        """Write a power."""
        return f"<msup><mrow>{base}</mrow><mrow>{exponent}</mrow></msup>"

    def minus(self, inner: str) -> str:
        """Write a negated term."""
        return f"<mrow><mo>−</mo>{inner}</mrow>"

    def group(self, inner: str) -> str:
        """Put parentheses around a term."""
        return f"<mrow><mo>(</mo>{inner}<mo>)</mo></mrow>"

    def call(self, function: str, arguments: list[str]) -> str:
        """Write a function call."""
        if function == "sqrt":
            return f"<msqrt>{arguments[0]}</msqrt>"
        return f"<mrow><mi>{function}</mi>{self.group('<mo>,</mo>'.join(arguments))}</mrow>"


class Latex:
    """LaTeX math mode."""

    def _word(self, word: str) -> str:
        if word in GREEK:
            return f"\\{word}"
        return word if len(word) == 1 else f"\\mathrm{{{word}}}"

    def number(self, text: str) -> str:
        """Write a constant."""
        return text

    def name(self, head: str, tail: str) -> str:
        """Write a variable."""
        plain = tail.replace("_", "\\_")
        return self._word(head) + (f"_{{{self._word(plain)}}}" if tail else "")

    def operator(self, sign: str, left: str, right: str) -> str:
        """Write a sum, difference or product."""
        shown = "\\cdot" if sign == "*" else sign
        return f"{left} {shown} {right}"

    def fraction(self, top: str, bottom: str) -> str:
        """Write a quotient."""
        return f"\\frac{{{top}}}{{{bottom}}}"

    def power(self, base: str, exponent: str) -> str:
        """Write a power."""
        return f"{{{base}}}^{{{exponent}}}"

    def minus(self, inner: str) -> str:
        """Write a negated term."""
        return f"-{inner}"

    def group(self, inner: str) -> str:
        """Put parentheses around a term."""
        return f"\\left({inner}\\right)"

    def call(self, function: str, arguments: list[str]) -> str:
        """Write a function call."""
        if function == "sqrt":
            return f"\\sqrt{{{arguments[0]}}}"
        return f"\\operatorname{{{function}}}{self.group(', '.join(arguments))}"


class Typst:
    """Typst math mode; every name that is not a Greek letter is a string literal."""

    def _word(self, word: str) -> str:
        if word in GREEK:
            return GREEK[word]
        return word if len(word) == 1 and word.isalpha() else f'"{word}"'

    def number(self, text: str) -> str:
        """Write a constant."""
        return f'"{text}"'

    def name(self, head: str, tail: str) -> str:
        """Write a variable."""
        return self._word(head) + (f"_({self._word(tail)})" if tail else "")

    def operator(self, sign: str, left: str, right: str) -> str:
        """Write a sum, difference or product."""
        return f"{left} {'dot' if sign == '*' else sign} {right}"

    def fraction(self, top: str, bottom: str) -> str:
        """Write a quotient."""
        return f"frac({top}, {bottom})"

    def power(self, base: str, exponent: str) -> str:
        """Write a power."""
        return f"attach({base}, t: {exponent})"

    def minus(self, inner: str) -> str:
        """Write a negated term."""
        return f"- {inner}"

    def group(self, inner: str) -> str:
        """Put parentheses around a term."""
        return f"lr(({inner}))"

    def call(self, function: str, arguments: list[str]) -> str:
        """Write a function call."""
        if function == "sqrt":
            return f"sqrt({arguments[0]})"
        return f'op("{function}") {self.group(" , ".join(arguments))}'


@dataclass(frozen=True)
class _Piece:
    text: str
    rank: int


SIGNS: Mapping[type[ast.operator], tuple[str, int]] = {
    ast.Add: ("+", SUM),
    ast.Sub: ("-", SUM),
    ast.Mult: ("*", PRODUCT),
}


def write(node: ast.expr, dialect: Dialect) -> str:
    """Write an arithmetic tree in `dialect`, with no more parentheses than needed."""
    return _write(node, dialect).text


def _operand(node: ast.expr, dialect: Dialect, rank: int) -> str:
    piece = _write(node, dialect)
    return piece.text if piece.rank >= rank else dialect.group(piece.text)


def _constant(value: float, dialect: Dialect) -> _Piece:
    """Write a constant in full; very large and small ones as a multiple of a power of ten."""
    mantissa, _, exponent = f"{value:.15g}".partition("e")
    if not exponent:
        return _Piece(dialect.number(mantissa), ATOM)
    digits = dialect.number(str(abs(int(exponent))))
    ten = dialect.power(
        dialect.number("10"), dialect.minus(digits) if int(exponent) < 0 else digits
    )
    if mantissa == "1":
        return _Piece(ten, POWER)
    return _Piece(dialect.operator("*", dialect.number(mantissa), ten), PRODUCT)


def _write(node: ast.expr, dialect: Dialect) -> _Piece:
    match node:
        case ast.Constant(value=int() | float() as value):
            return _constant(value, dialect)
        case ast.Name(id=name):
            head, _, tail = name.partition("_")
            return _Piece(dialect.name(head, tail), ATOM)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _Piece(dialect.minus(_operand(operand, dialect, PRODUCT)), UNARY - 2)
        case ast.UnaryOp(operand=operand):
            return _write(operand, dialect)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            top, bottom = _write(left, dialect).text, _write(right, dialect).text
            return _Piece(dialect.fraction(top, bottom), UNARY)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            base = _operand(left, dialect, ATOM)
            return _Piece(dialect.power(base, _write(right, dialect).text), POWER)
        case ast.BinOp(left=left, op=op, right=right):
            sign, rank = SIGNS[type(op)]
            # a - (b - c): the right operand binds tighter than the sign does.
            right_rank = rank + 1 if isinstance(op, ast.Sub) else rank
            second = _operand(right, dialect, right_rank)
            return _Piece(dialect.operator(sign, _operand(left, dialect, rank), second), rank)
        case ast.Call(func=ast.Name(id=function), args=args):
            pieces = [_write(argument, dialect).text for argument in args]
            return _Piece(dialect.call(function, pieces), ATOM)
    raise ValueError(f"not arithmetic: {type(node).__name__}")


def formula(left: str | Expression, right: Expression) -> Formula:
    """Return ``left = right`` in every notation.

    Parameters
    ----------
    left : str or Expression
        Symbol of what the expression gives, for example ``"L"``, or the left side of an equation.
    right : Expression
        Checked by `scaling.expressions.parse`; arithmetic only.
    """
    side = parse(left, where="symbol") if isinstance(left, str) else left

    def equation(dialect: Dialect) -> str:
        return dialect.operator("=", write(side.tree, dialect), write(right.tree, dialect))

    return Formula(
        plain=f"{side.text} = {right.text}",
        mathml=f'<math display="block">{equation(MathML())}</math>',
        latex=equation(Latex()),
        typst=equation(Typst()),
    )


def of_law(law: Law) -> Formula | Paragraph:
    """Return a law as it is written: a formula, an equation, or plain text where it is neither."""
    if isinstance(law, Mixture):
        return Paragraph(law.formula)
    left, sign, right = law.formula.partition(" = ")
    try:
        if sign:
            return formula(parse(left, where="law"), parse(right, where="law"))
        return formula(RESPONSES.get(law.response, law.response), law.expression)
    except ConfigError:
        return Paragraph(law.formula)
