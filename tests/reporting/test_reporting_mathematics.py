"""Formulas: what MathML says is what the law computes; LaTeX and Typst are as they should be."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from scaling.expressions import parse
from scaling.laws import LAWS, Law
from scaling.laws.schedules import MultiPowerLaw
from scaling.reporting import Report
from scaling.reporting.document import Document, Section, Verdict
from scaling.reporting.mathematics import GREEK, formula, of_law, symbol

FORMULAS = [
    *(law.formula for law in LAWS.values() if type(law) is Law),
    "x - (y - z)",
    "x - y - z",
    "x - (y + z)",
    "x + (y - z)",
    "x*(y + z)",
    "(x + y)*z",
    "-x**2",
    "(-x)**2",
    "-(x + y)",
    "x - -y",
    "x*-y",
    "-x*y",
    "x**y**z",
    "(x**y)**z",
    "x**-y",
    "(x*y)**z",
    "(x/y)**z",
    "x/y/z",
    "x/(y/z)",
    "x/y*z",
    "x*y/z",
    "x/(y*z)",
    "-x/y",
    "2*x + 3.5*y - 0.25",
    "exp(-x) + log(y)*log10(z)",
    "sqrt(x + y)*2",
    "sqrt(x)**3",
    "minimum(x, y) + maximum(x, -z)",
    "abs(x - y)**2",
    "E + (A*N**-alpha + B*D**-beta)**kappa",
    "E + exp(a_1*log(N) + b_N)/D**beta_2",
    "+x + y",
]
CONSTANTS = ["1234567*x", "1e6*x + 1e-7", "3.14159265*x", "8.64e19/x", "0.1234567890123*x"]
FUNCTIONS = {
    "exp": np.exp, "log": np.log, "log10": np.log10, "abs": np.abs, "minimum": min, "maximum": max,
    "softplus": lambda x: np.logaddexp(0.0, x),
    "expm1": np.expm1,
}  # fmt: skip
BACK = {letter: name for name, letter in GREEK.items()}


def values(text):
    """Return a value for every name of a formula."""
    names = parse(text, where="test").names
    rng = np.random.default_rng(len(text))
    found = {name: float(v) for name, v in zip(names, rng.uniform(1.1, 2.5, 20), strict=False)}
    return found | ({"sparsity": 0.3} if "sparsity" in found else {})


class Reader:
    """Evaluates presentation MathML as a person reads it: by precedence and parentheses."""

    def __init__(self, names):
        self.names = names

    def read(self, element):
        tag, children = element.tag, list(element)
        if tag == "mn":
            return float(element.text)
        if tag == "mi":
            return self.names[BACK.get(element.text, element.text)]
        if tag == "msub":
            head, tail = (BACK.get(c.text, c.text) for c in children)
            return self.names[f"{head}_{tail}"]
        if tag == "mfrac":
            return self.read(children[0]) / self.read(children[1])
        if tag == "msup":
            return self.read(children[0]) ** self.read(children[1])
        if tag == "msqrt":
            return np.sqrt(self.row(children))
        return self.row(children)

    def row(self, children):
        """Evaluate a sequence of terms and signs, which rows without parentheses continue."""
        tokens = self.sum(self.flat(children))
        assert not tokens[1]
        return tokens[0]

    def flat(self, children):
        """Spread rows out, as they look: only a visible parenthesis groups."""
        out = []
        for child in children:
            if child.tag == "mrow":
                out += self.flat(list(child))
            elif child.tag == "mo":
                out.append(child.text)
            elif child.tag == "mi" and child.text in FUNCTIONS:
                out.append(FUNCTIONS[child.text])
            else:
                out.append(self.read(child))
        return out

    def sum(self, tokens):
        sign = 1.0
        if tokens[0] == "−":
            sign, tokens = -1.0, tokens[1:]
        value, tokens = self.product(tokens)
        value *= sign
        while tokens and tokens[0] in ("+", "−"):
            term, rest = self.product(self.unsigned(tokens[1:]))
            value = value + term if tokens[0] == "+" else value - term
            tokens = rest
        return value, tokens

    def unsigned(self, tokens):
        assert tokens[0] not in ("+", "−"), "two signs in a row"
        return tokens

    def product(self, tokens):
        value, tokens = self.atom(tokens)
        while tokens and tokens[0] == "·":
            factor, tokens = self.atom(self.unsigned(tokens[1:]))
            value *= factor
        return value, tokens

    def atom(self, tokens):
        head, rest = tokens[0], tokens[1:]
        if callable(head):
            assert rest[0] == "("
            arguments, rest = [], rest
            while rest[0] in ("(", ","):
                value, rest = self.sum(rest[1:])
                arguments.append(value)
            assert rest[0] == ")"
            return head(*arguments), rest[1:]
        if head == "(":
            value, rest = self.sum(rest)
            assert rest[0] == ")"
            return value, rest[1:]
        assert isinstance(head, float), head
        return head, rest


def mathml(text):
    made = formula("L", parse(text, where="test"))
    root = ElementTree.fromstring(made.mathml)
    assert (root.tag, root.get("display")) == ("math", "block")
    (row,) = root
    left, equals, *right = list(row)
    assert (left.text, equals.text) == ("L", "=")
    return right


@pytest.mark.parametrize("text", FORMULAS)
def test_mathml_reads_as_the_law_computes(text):
    names = values(text)
    expected = float(parse(text, where="test").value(names))
    assert Reader(names).row(mathml(text)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("text", CONSTANTS)
def test_constants_are_shown_in_full(text):
    names = values(text)
    expected = float(parse(text, where="test").value(names))
    assert Reader(names).row(mathml(text)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("text", CONSTANTS)
def test_latex_writes_no_computer_notation(text):
    """In LaTeX 1e+06 reads as one times e plus six."""
    assert not re.search(r"\de[+-]?\d", formula("L", parse(text, where="test")).latex)


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        (
            "E + A/N**alpha + B/D**beta",
            r"L = E + \frac{A}{{N}^{\alpha}} + \frac{B}{{D}^{\beta}}",
        ),
        ("x*(y + z)", r"L = x \cdot \left(y + z\right)"),
        ("x - (y - z)", r"L = x - \left(y - z\right)"),
        ("-x**2", r"L = -{x}^{2}"),
        ("(-x)**2", r"L = {\left(-x\right)}^{2}"),
        ("sqrt(x)*exp(y)", r"L = \sqrt{x} \cdot \operatorname{exp}\left(y\right)"),
        ("minimum(x, y)", r"L = \operatorname{minimum}\left(x, y\right)"),
        ("N_body**beta_2", r"L = {N_{\mathrm{body}}}^{\beta_{2}}"),
        ("loss/2", r"L = \frac{\mathrm{loss}}{2}"),
        ("x**y**z", r"L = {x}^{{y}^{z}}"),
        ("x_a_b", r"L = x_{\mathrm{a\_b}}"),
    ],
)
def test_latex(text, latex):
    assert formula("L", parse(text, where="test")).latex == latex


@pytest.mark.parametrize("text", FORMULAS)
def test_braces_match(text):
    latex = formula("L", parse(text, where="test")).latex
    depth = 0
    for sign in re.findall(r"[{}]", latex):
        depth += 1 if sign == "{" else -1
        assert depth >= 0
    assert depth == 0
    assert latex.count(r"\left(") == latex.count(r"\right)")


def test_typst_takes_every_formula():
    pytest.importorskip("typst", reason="typst is needed to render PDF")
    blocks = tuple(formula("L", parse(text, where="test")) for text in (*FORMULAS, *CONSTANTS))
    verdict = Verdict("weak", "", "h", "s")
    made = Report(Document("t", "s", "q", (verdict,), (Section("x", blocks),))).pdf()
    assert made.startswith(b"%PDF")


def test_names_that_typst_knows_are_letters_here():
    """A parameter called ``sum`` or ``infinity`` must not become Typst's symbol."""
    made = formula("L", parse("sum + infinity*pi_x", where="test")).typst
    assert made == '"L" = "sum" + "infinity" dot "pi"_(x)'.replace('"L"', "L")


def test_the_plain_form_is_the_users():
    assert formula("L", parse("E+A/N**alpha", where="test")).plain == "L = E+A/N**alpha"


def test_laws_that_are_equations_or_neither():
    made = of_law(LAWS["m4-D"])
    assert made.plain == "(loss - E)/(E_0 - loss)**alpha = B/D**c"
    assert made.latex.count("=") == 1
    assert of_law(MultiPowerLaw.of([1e-3, 1e-4])).text.startswith("L_0 + A")
    assert of_law(LAWS["lr-compute"]).plain == "lr = k/C**a"


def test_left_sides_may_have_a_subscript():
    made = formula("L_opt", parse("x", where="test"))
    assert made.latex == r"L_{\mathrm{opt}} = x"
    assert "<msub><mi>L</mi><mi>opt</mi></msub>" in made.mathml


@pytest.mark.parametrize("text", ["x < y", 'source["a"]', "x and y"])
def test_only_arithmetic_is_written(text):
    with pytest.raises(ValueError, match="not arithmetic"):
        formula("L", parse(text, where="test"))


@pytest.mark.parametrize(
    ("name", "text"), [("alpha", "α"), ("N", "N"), ("beta_2", "β_2"), ("kappa", "κ")]
)
def test_symbols(name, text):
    assert symbol(name) == text
