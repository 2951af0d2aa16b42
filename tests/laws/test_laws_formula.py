"""Formulas of users, installed laws, generated laws, and curves at the ends of their range."""

import builtins
import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.errors import ConfigError
from scaling.expressions import MAX_DEPTH, MAX_LENGTH, parse
from scaling.laws import LAWS, Law, Parameter, catalogue, get
from scaling.laws.architectures import mixture
from scaling.laws.curves import broken
from scaling.laws.formula import MAX_PARAMETERS, from_formula
from scaling.laws.schedules import annealing_areas

COLUMNS = ("run", "group", "N", "D", "r_1", "loss", "status")


def kinds(text):
    """Say how each parameter of a formula is taken: level, linear, exponent or shape."""
    law = from_formula(text, COLUMNS)
    found = {}
    for p in law.parameters:
        assert p.name in law.expression.names
        assert bool(p.starts) == (not p.enters_linearly)
        found[p.name] = "level" if p.role == "linear" and p.low == 0 else p.role
    return found


def refusal(text, columns=COLUMNS):
    """Return the fault of a formula that is refused."""
    with pytest.raises(ConfigError) as caught:
        from_formula(text, columns)
    (fault,) = caught.value.faults
    assert (fault.code, fault.where) == ("SC020", "--formula")
    assert fault.found
    assert len(caught.value.render().splitlines()) <= 6
    return fault


# -------------------------------------------------------------------------- what a name is taken as


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("E + A/N**alpha", {"E": "level", "A": "linear", "alpha": "exponent"}),
        ("A*N**-alpha + E", {"A": "linear", "alpha": "exponent", "E": "level"}),
        ("E + D + A*N", {"E": "level", "A": "linear"}),
        ("3 + E + A*N", {"E": "level", "A": "linear"}),
        ("A*N - E", {"A": "linear", "E": "linear"}),
        ("-E + A*N", {"E": "linear", "A": "linear"}),
        ("2*E + A*N", {"E": "linear", "A": "linear"}),
        ("a*N + b*D + c*r_1", {"a": "linear", "b": "linear", "c": "linear"}),
        ("(a + b*N)/D", {"a": "linear", "b": "linear"}),
        ("(a + b)*N", {"a": "linear", "b": "linear"}),
        ("a*log(N) + b*sqrt(D)", {"a": "linear", "b": "linear"}),
        ("a/3 - (-b)*N", {"a": "linear", "b": "linear"}),
    ],
)
def test_parameters_that_enter_linearly(text, expected):
    assert kinds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a*b*N", {"a": "linear", "b": "shape"}),
        ("b*a*N", {"b": "linear", "a": "shape"}),
        ("a*(b + N)", {"a": "linear", "b": "shape"}),
        ("(b + N)*a", {"b": "linear", "a": "shape"}),
        ("a*(b + c*N)", {"a": "linear", "b": "shape", "c": "shape"}),
        ("(a + b*N)*(c + D)", {"a": "linear", "b": "linear", "c": "shape"}),
        ("a*N + b*a*D + c", {"a": "linear", "b": "shape", "c": "level"}),
        ("a/b*N", {"a": "linear", "b": "shape"}),
        ("a*a*N", {"a": "shape"}),
    ],
)
def test_of_a_product_of_parameters_only_one_is_linear(text, expected):
    """Least squares could not solve for both at once."""
    assert kinds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("N**a", {"a": "exponent"}),
        ("2**a*N", {"a": "exponent"}),
        ("E*N**(-(a + b))", {"E": "linear", "a": "exponent", "b": "exponent"}),
        ("N**(a*D)", {"a": "exponent"}),
        ("N**exp(a)", {"a": "exponent"}),
        ("a*N**b + b", {"a": "linear", "b": "exponent"}),
        ("a*N**a", {"a": "exponent"}),
        ("(A/N)**alpha", {"A": "shape", "alpha": "exponent"}),
        ("k*(1/N + g)**c", {"k": "linear", "g": "shape", "c": "exponent"}),
    ],
)
def test_parameters_in_exponents(text, expected):
    assert kinds(text) == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a**N", "a"),
        ("a**2*N", "a"),
        ("N/a", "a"),
        ("N/(1 + a)", "a"),
        ("exp(a)*N", "a"),
        ("exp(-a*N)", "a"),
        ("log(N + a)", "a"),
        ("abs(a)*N", "a"),
        ("minimum(a, N)", "a"),
        ("maximum(N, a*D)", "a"),
        ("softplus(a - N)", "a"),
        ("(a + N)**0.5", "a"),
    ],
)
def test_all_others_are_positive_shapes(text, name):
    assert kinds(text) == {name: "shape"}
    p = from_formula(text, COLUMNS).parameter(name)
    assert p.in_log
    assert p.low > 0


def test_shapes_start_about_one_and_about_the_middle_of_the_variables():
    law = from_formula("E + A/(N + g)", COLUMNS)
    starts = law.parameter("g").grid({"N": np.geomspace(1e6, 1e10, 9)})
    assert starts == tuple(sorted(starts))
    assert {0.01, 1.0, 100.0} <= set(starts)
    assert min(abs(np.log(s / 1e8)) for s in starts) < 1e-6
    odd = law.parameter("g").grid({"N": np.array([-1.0, 0.0, -3.0])})
    assert odd == (0.01, 0.1, 1.0, 10.0, 100.0)


def test_exponents_start_with_both_signs():
    p = from_formula("E + A/N**alpha", COLUMNS).parameter("alpha")
    assert p.low == -p.high < 0
    assert {np.sign(s) for s in p.starts} == {1.0, -1.0}
    assert sorted(p.starts) == sorted(-s for s in p.starts)


def test_columns_are_variables_and_the_response_is_not():
    law = from_formula("E + A*N + D*r_1", COLUMNS)
    assert law.variables == ("N", "D", "r_1")
    assert law.names == ("E", "A")
    assert (law.formula, law.response) == ("E + A*N + D*r_1", "loss")
    values = law.loss({"E": 1.0, "A": 2.0}, {"N": 3.0, "D": 4.0, "r_1": [0.0, 1.0]})
    assert values == pytest.approx([7.0, 11.0])


def test_names_are_compared_as_python_compares_them():
    """A full-width N is the column N; a Cyrillic А is another name than a Latin A."""
    assert from_formula("E + A*\uff2e", COLUMNS).variables == ("N",)
    assert from_formula("A + \u0410*N", COLUMNS).names == ("A", "\u0410")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("E + A", "no variable"),
        ("3", "no variable"),
        ("N + D", "0 parameters"),
        ("N*(" + "+".join(f"p{i}" for i in range(MAX_PARAMETERS + 1)) + ")", "13 parameters"),
        ("E + A*(N > 3)", "N > 3"),
        ("E + A*(N and D)", "N and D"),
        ('E + A*source["N"]', "no variable"),
        ('E + D*source["N"]', "source"),
        ('E + N*"a"', "'a'"),
        ("E + A*N**", "cannot be parsed"),
        ("E + A*m(N)", "m(N)"),
        ("E + A*_N*N", "_N"),
    ],
)
def test_formulas_that_cannot_be_used(text, word):
    assert word in refusal(text).found


def test_as_many_parameters_as_are_allowed():
    names = [f"p{i}" for i in range(MAX_PARAMETERS)]
    assert from_formula("N*(" + "+".join(names) + ")", COLUMNS).names == tuple(names)


def test_a_negation_is_no_arithmetic():
    refusal("E + A*(not N)")


@pytest.mark.parametrize("text", ["E + A*loss*N", "A*N + run", "A*N + status", "group*N"])
def test_a_column_is_never_a_parameter(text):
    """The loss, or a text column, in a formula is a mistake that should be told."""
    refusal(text)


# ------------------------------------------------------------------------------- random formulas


POSITIVE = st.sampled_from(["N", "D", "a", "b", "c", "2", "0.5"])


def combined(inner):
    two = st.tuples(inner, inner)
    return st.one_of(
        two.map(lambda p: f"({p[0]} + {p[1]})"),
        two.map(lambda p: f"{p[0]}*{p[1]}"),
        two.map(lambda p: f"({p[0]})/({p[1]})"),
        st.tuples(inner, st.sampled_from(["a", "-b", "c", "0.5", "-1"])).map(
            lambda p: f"({p[0]})**{p[1]}"
        ),
        inner.map(lambda p: f"sqrt({p})"),
        inner.map(lambda p: f"log(1 + {p})"),
        two.map(lambda p: f"minimum({p[0]}, {p[1]})"),
        two.map(lambda p: f"maximum({p[0]}, {p[1]})"),
    )


FORMULAS = st.recursive(POSITIVE, combined, max_leaves=8)
DATA = {"N": np.array([1.5, 40.0, 7.0]), "D": np.array([3.0, 2.0, 600.0])}
LOGS = {name: np.log(values) for name, values in DATA.items()}
NUMPY = {"sqrt": np.sqrt, "log": np.log, "minimum": np.minimum, "maximum": np.maximum}
quiet = settings(deadline=None, max_examples=250, derandomize=True)


def made(make, *args, **options):
    """Return what a function makes of a text, or None where it refuses it with a code."""
    try:
        return make(*args, **options)
    except ConfigError as error:
        refused = error
    (fault,) = refused.faults
    assert fault.code == "SC020"
    assert fault.found
    assert len(refused.render().splitlines()) <= 6
    return None


def law_of(text, columns=COLUMNS):
    """Return the law of a text, or None where it is refused as it should be."""
    law = made(from_formula, text, columns)
    if law is None:
        return None
    assert isinstance(law, Law)
    assert law.variables
    assert 1 <= len(law.names) <= MAX_PARAMETERS
    return law


@quiet
@given(FORMULAS)
def test_random_formulas_have_the_values_that_python_gives_them(text):
    law = law_of(text)
    if law is None:
        names = set(re.findall(r"\b[a-zA-Z]\b", text))
        assert not names & {"a", "b", "c"} or not names & {"N", "D"}
        return
    params = {"a": 0.7, "b": 1.3, "c": 0.4}
    expected = eval(text, {"__builtins__": {}}, {**NUMPY, **DATA, **params})
    held = {name: params[name] for name in law.names}
    assert law.loss(held, DATA) == pytest.approx(expected, rel=1e-9)
    columns = {name: np.array([[value]]) for name, value in held.items()}
    value, gradient = law.value_and_gradient(columns, DATA, LOGS, law.names)
    assert np.broadcast_to(value, (1, 3))[0] == pytest.approx(
        np.broadcast_to(expected, 3), rel=1e-9
    )
    assert set(gradient) <= set(law.names)


@quiet
@given(FORMULAS)
def test_linear_parameters_are_linear_together(text):
    """Along any line in all of them at once, second differences vanish."""
    law = law_of(text)
    if law is None:
        return
    params = {name: v for name, v in {"a": 0.7, "b": 1.3, "c": 0.4}.items() if name in law.names}
    steps = {"a": 0.31, "b": 0.17, "c": 0.53}
    line = []
    for k in range(3):
        moved = {
            name: v + k * steps[name] if law.parameter(name).enters_linearly else v
            for name, v in params.items()
        }
        line.append(law.loss(moved, DATA))
    bend = line[0] - 2 * line[1] + line[2]
    assert (np.abs(bend) <= 1e-9 * np.max(line, axis=0)).all()


# ------------------------------------------------------------------------------- random text


VALID = [
    "E + A/N**alpha + B/D**beta",
    "E + (A/N**alpha + B/D**beta)**k",
    "a + b*N**(-c0)*exp(-c1*f1*softplus((log(N) - log(d1))/f1))",
    "c + k*exp(t_1*r_1)",
    "minimum(A*N**-0.5, E) + maximum(B, abs(D - 1e9))",
]
TOKENS = [
    *"NDEAab()+-*/.,:;=<>!~^%@&|[]{}\"'\\#_$?` \n\t\r\x00\x0c", "**", "//", "<<", ":=", "->", "...",
    "alpha", "loss", "exp", "log", "minimum", "softplus", "source", "__class__", "__import__",
    "lambda", "if", "else", "for", "in", "is", "and", "or", "await", "yield", "None", "True",
    "1", "1e400", "0x1f", "1j", "0777", "1_0", "9" * 30, "f'", "b'", "r'", '"""', "\u0410",
    "\uff2e", "\u2028", "\ud800", "\u200b", "é", "𝐍", "²", "½", "−", "×",
]  # fmt: skip


@st.composite
def mutated(draw):
    """Draw a valid formula with a few characters deleted, replaced, doubled or put in."""
    text = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 5))):
        first = draw(st.integers(0, len(text)))
        last = min(len(text), first + draw(st.integers(0, 4)))
        middle = draw(st.sampled_from(["", text[first:last] * 2, *TOKENS]))
        text = text[:first] + middle + text[last:]
    return text


TEXTS = st.one_of(
    mutated(),
    st.lists(st.sampled_from(TOKENS), max_size=12).map("".join),
    st.lists(st.sampled_from(TOKENS), max_size=12).map(" ".join),
    st.text(max_size=60),
    st.text(st.characters(), max_size=12).map(lambda s: f"E + A*N + {s}"),
)


@settings(quiet, max_examples=1000)
@given(TEXTS)
def test_any_text_is_a_law_or_refused(text):
    law = law_of(text)
    if law is None or "not" in text:
        return
    one = dict.fromkeys(law.names, 1.0)
    x = {name: np.array([1.5, 40.0]) for name in law.variables}
    assert np.broadcast_to(law.loss(one, x), (2,)).dtype == np.float64
    columns = {name: np.ones((1, 1)) for name in law.names}
    logs = {name: np.log(v) for name, v in x.items()}
    value, gradient = law.value_and_gradient(columns, x, logs, law.names)
    assert np.broadcast_shapes(np.shape(value), (1, 2)) == (1, 2)
    assert all(np.broadcast_shapes(np.shape(g), (1, 2)) == (1, 2) for g in gradient.values())


@settings(quiet, max_examples=1000)
@given(TEXTS)
def test_any_text_is_an_expression_or_refused(text):
    expression = made(parse, text, where="--where")
    if expression is not None:
        assert not any(name.startswith("_") for name in expression.names)


HOSTILE = [
    "touched(N)",
    "a*N + touched()",
    "a*N + [touched() for _ in (1,)][0]",
    "a*N + (lambda: touched())()",
    "a*N + (x := touched())",
    "a*N + f'{touched()}'",
    "a*N + (touched() if N else 1)",
    "a*N + {touched(): 1}[1]",
    "a*N + max(*[touched()])",
    "a*N + exp(*[touched()])",
    "a*N + exp(x=touched())",
    "a*N + exp(touched())",
    "a*N[touched()]",
    "a*N + source[touched()]",
    "a*N.__class__",
    "a*N.T",
    "a*().__class__.__bases__[0].__subclasses__()",
    "a*__import__('os').system('true')*N",
    "a*__builtins__*N",
    "a*exp.__self__*N",
    "a*N + '{0.__class__}'.format(N)",
    "a*N + 'x' % N",
    "eval('touched()')*N",
    "exec('touched()')*N",
    "a*N + b'touched'",
    "a*N, touched()",
    "*a*N",
    "(yield touched())*N",
    "(await touched())*N",
    "import os; a*N",
    "a = N",
    "a*N\ntouched()",
    "a*N; touched()",
    "a*N if touched() else N",
    "print(a*N)",
    "a*N + getattr(N, 'real')",
    "\uff45val('touched()')*N",
    "a*N + ｅｘｅｃ('touched()')",
    "a*N + __ｉｍｐｏｒｔ__('os')",
    "a*N + \uff3f\uff3fimport\uff3f\uff3f('os')",
    "a*N\x00",
    "\x00",
    "a*N\ud800",
    "a*\u200bN",
    "\u202ea*N",
    "a−N",
    "a×N",
    "½*a*N",
    "a*N²",
    "",
    " ",
    "\n",
    "#",
    "\ufeff",
    "a*N and touched()",
    "not touched()",
    "a*N // 2",
    "a @ N",
    "a*N < touched()",
    "a*N*1j",
    "a*N*True",
    "a*N + None",
    "a*N + ...",
    "(" * 450 + "a*N" + ")" * 450,
    "-" * 900 + "a*N",
    "[" * 450 + "]" * 450,
    "exp(" * 100 + "a*N" + ")" * 100,
    "a*N" + "+a" * 300,
    "a*N" + "**a" * 300,
    "not " * 200 + "N",
    "a*N" * 400,
    "N*" + "a" * 1000,
    "a*N if " * 100,
    "lambda " * 100,
    "a*N+0x" + "f" * 900 + "g",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_of_a_formula_is_ever_run(text, monkeypatch):
    def touched(*args, **options):
        raise AssertionError("a formula was run")

    monkeypatch.setattr(builtins, "touched", touched, raising=False)
    with monkeypatch.context() as patch:
        patch.setattr(builtins, "eval", touched)
        patch.setattr(builtins, "exec", touched)
        with pytest.raises(ConfigError) as caught:
            from_formula(text, COLUMNS)
    assert caught.value.code == "SC020"
    lines = caught.value.render().split("\n")
    assert len(lines) <= 6
    assert all(line.isprintable() for line in lines)


def test_depth_and_length_are_limited():
    deep = "exp(" * (MAX_DEPTH - 1) + "a*N" + ")" * (MAX_DEPTH - 1)
    assert from_formula(deep, COLUMNS).names == ("a",)
    assert "nested too deeply" in refusal(f"exp({deep})").found
    long = "a*N" + " " * (MAX_LENGTH - 3)
    assert from_formula(long, COLUMNS).names == ("a",)
    assert "characters long" in refusal(long + " ").found


def test_a_number_that_is_too_large_is_infinite_and_quick():
    law = from_formula("a*N + " + "9" * 900, COLUMNS)
    assert law.loss({"a": 1.0}, {"N": 1.0}) == np.inf
    towers = from_formula("a*N + 9**9**9**9**9", COLUMNS)
    assert towers.loss({"a": 1.0}, {"N": 1.0}) == np.inf


@pytest.mark.parametrize("text", ["1if N else a", "a*N + '\\d'", "0x1for x in N"])
def test_python_has_no_say_in_a_refusal(text):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        refusal(text)
    assert [str(w.message) for w in caught] == []


# ----------------------------------------------------------------------------- installed laws


def own(name="mine"):
    parts = (Parameter("E", "linear", 0, 9), Parameter("k", "scale", 1e-9, 9))
    return Law(name, "E + k/log(D)", parts, ("D",), "Someone (2026)")


@pytest.fixture
def install(monkeypatch):
    """Return a function that puts objects where installed packages would."""

    def put(**found):
        def entries(*, group):
            assert group == "scaling.laws"
            return [
                SimpleNamespace(name=name, load=lambda value=value: value)
                for name, value in found.items()
            ]

        monkeypatch.setattr(catalogue, "entry_points", entries)

    return put


def test_an_installed_law_is_found_by_its_own_name(install):
    law = own()
    install(entry=law)
    assert get("mine") is law
    assert get("chinchilla") is LAWS["chinchilla"]


def test_an_installed_law_may_be_a_function_that_returns_one(install):
    install(one=own, two=lambda: own("other"))
    assert get("mine") == own()
    assert get("other").name == "other"


@pytest.mark.parametrize("thing", [3, "E + A/N", None, dict, lambda: 3, lambda: None, {"a": 1}])
def test_what_is_installed_and_no_law_is_told(install, thing):
    install(broken=thing)
    with pytest.raises(ConfigError) as caught:
        get("mine")
    (fault,) = caught.value.faults
    assert fault.code == "SC004"
    assert "broken" in fault.where
    assert "scaling.laws" in fault.where
    assert "Law" in fault.expected


@pytest.mark.parametrize("error", [ImportError, AttributeError, TypeError, ZeroDivisionError])
def test_an_installed_law_that_cannot_be_loaded_is_told(monkeypatch, error):
    def load():
        raise error("nothing there")

    entry = SimpleNamespace(name="broken", load=load)
    monkeypatch.setattr(catalogue, "entry_points", lambda *, group: [entry])
    with pytest.raises(ConfigError) as caught:
        get("mine")
    assert caught.value.code == "SC004"
    assert "broken" in caught.value.render()


def test_a_broken_package_does_not_take_the_catalogue_away(install):
    install(broken=3)
    assert get("chinchilla") is LAWS["chinchilla"]


def test_a_name_of_the_catalogue_is_not_replaced(install):
    install(entry=own("chinchilla"))
    assert get("chinchilla") is LAWS["chinchilla"]


def test_installed_laws_are_among_the_nearest_names(install):
    install(entry=own("sigmoidal-mine"))
    with pytest.raises(ConfigError) as caught:
        get("sigmoidal-mime")
    assert "sigmoidal-mine" in caught.value.faults[0].mend


def test_without_installed_laws_a_name_is_unknown(install):
    install()
    with pytest.raises(ConfigError) as caught:
        get("qqqqqqq")
    assert caught.value.faults[0].mend == "scaling laws list names them all"


# ------------------------------------------------------------------------------- generated laws


@pytest.mark.parametrize(
    ("domains", "formula"),
    [
        (2, "c + k*exp(t_1*r_1)"),
        (3, "c + k*exp(t_1*r_1 + t_2*r_2)"),
        (5, "c + k*exp(t_1*r_1 + t_2*r_2 + t_3*r_3 + t_4*r_4)"),
    ],
)
def test_the_formula_of_a_mixture(domains, formula):
    law = mixture(domains)
    assert law.formula == formula
    assert law.name == f"mixture-{domains}"
    assert law.variables == tuple(f"r_{j}" for j in range(1, domains))
    assert law.names == ("c", "k", *(f"t_{j}" for j in range(1, domains)))
    assert get(law.name) == law


def test_a_mixture_of_all_shares_is_one_of_all_but_the_last():
    """c + k exp(Σ t_j r_j) over all domains, with shares that sum to 1 (Ye et al. 2024, eq. 1)."""
    rng = np.random.default_rng(0)
    r, t = rng.dirichlet(np.ones(4), 20), np.array([-1.2, 0.7, 2.0, -0.4])
    whole = 1.5 + 0.8 * np.exp(r @ t)
    params = {"c": 1.5, "k": 0.8 * np.exp(t[3]), **{f"t_{j + 1}": t[j] - t[3] for j in range(3)}}
    found = get("mixture-4").loss(params, {f"r_{j + 1}": r[:, j] for j in range(3)})
    assert found == pytest.approx(whole, rel=1e-13)


@pytest.mark.parametrize(
    ("variable", "breaks", "formula"),
    [
        ("D", 1, "a + b*D**(-c0)*exp(-c1*f1*softplus((log(D) - log(d1))/f1))"),
        (
            "N",
            2,
            "a + b*N**(-c0)*exp(-c1*f1*softplus((log(N) - log(d1))/f1))"
            "*exp(-c2*f2*softplus((log(N) - log(d2))/f2))",
        ),
    ],
)
def test_the_formula_of_a_broken_power_law(variable, breaks, formula):
    law = broken(variable, breaks)
    assert law.formula == formula
    assert law.name == f"bnsl{breaks}-{variable}"
    assert law.variables == (variable,)
    assert law.names == ("a", "b", "c0", "c1", "d1", "f1", "c2", "d2", "f2")[: 3 + 3 * breaks]
    assert law.title.endswith("1 break" if breaks == 1 else "2 breaks")


BROKEN = {
    "a": 0.5, "b": 20.0, "c0": 0.1, "c1": 0.2, "d1": 1e6, "f1": 0.3,
    "c2": -0.15, "d2": 1e8, "f2": 0.5, "c3": 0.4, "d3": 1e10, "f3": 0.1,
}  # fmt: skip


def at(breaks, **changes):
    names = broken("C", breaks).names
    return {name: {**BROKEN, **changes}[name] for name in names}


@pytest.mark.parametrize("breaks", [1, 2, 3])
def test_a_broken_power_law_is_that_of_the_paper(breaks):
    """a + b x^-c0 Π (1 + (x/d_i)^(1/f_i))^(-c_i f_i), Caballero et al. (2023), eq. 1."""
    p, x = at(breaks), np.geomspace(1e3, 1e13, 60)
    expected = p["b"] * x ** -p["c0"]
    for i in range(1, breaks + 1):
        c, d, f = (p[f"{n}{i}"] for n in "cdf")
        expected = expected * (1 + (x / d) ** (1 / f)) ** (-c * f)
    assert broken("C", breaks).loss(p, {"C": x}) == pytest.approx(p["a"] + expected, rel=1e-11)


@pytest.mark.parametrize("breaks", [1, 2, 3])
def test_sharp_breaks_and_huge_variables_do_not_overflow(breaks):
    """Away from its breaks the law is a chain of power laws that meet there."""
    law, p = broken("C", breaks), at(breaks, f1=1e-3, f2=1e-3, f3=1e-3)
    x = np.concatenate([np.geomspace(1e-300, 1e5, 40), [1.1e6, 1e7, 1.1e8, 1e9, 1.1e10],
                        np.geomspace(1e11, 1e300, 40)])  # fmt: skip
    log_term = np.log(p["b"]) - p["c0"] * np.log(x)
    for i in range(1, breaks + 1):
        log_term -= p[f"c{i}"] * np.maximum(np.log(x / p[f"d{i}"]), 0)
    columns = {name: np.array([[value]]) for name, value in p.items()}
    value, gradient = law.value_and_gradient(columns, {"C": x}, {"C": np.log(x)}, law.names)
    assert value[0] == pytest.approx(p["a"] + np.exp(log_term), rel=1e-9)
    assert law.loss(p, {"C": x}) == pytest.approx(value[0], rel=1e-11)
    assert all(np.isfinite(gradient[name]).all() for name in law.names)


# --------------------------------------------------------------------------- annealing, M4


def test_the_areas_of_a_schedule_by_hand():
    """Rates 1, 1/2, 1/2, 1/4; the momentum is 0, then 1/2, then half of it, then 1/8 + 1/4."""
    forward, annealed = annealing_areas([1.0, 0.5, 0.5, 0.25], decay=0.5)
    assert forward.tolist() == [1.0, 1.5, 2.0, 2.25]
    assert annealed.tolist() == [0.0, 0.5, 0.75, 1.125]


def test_areas_of_schedules_without_annealing():
    forward, annealed = annealing_areas(np.full(5, 0.2))
    assert forward == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert (annealed == 0).all()
    _, warming = annealing_areas([0.0, 0.1, 0.2], decay=1.0)
    assert warming == pytest.approx([0.0, -0.1, -0.3])
    assert [len(v) for v in annealing_areas([])] == [0, 0]


def test_the_annealing_area_is_the_double_sum_of_the_paper():
    """S_2 = Σ_i Σ_k≤i (η_(k-1) - η_k) λ^(i-k), Tissue et al. (2024), eq. 2."""
    lr = np.random.default_rng(0).uniform(0, 1, 12)
    drops = np.concatenate([[0.0], lr[:-1] - lr[1:]])
    expected = sum(drops[k] * 0.9 ** (i - k) for i in range(12) for k in range(i + 1))
    assert annealing_areas(lr, decay=0.9)[1][-1] == pytest.approx(expected, rel=1e-12)


CURVES = [
    {"E": floor, "E_0": floor + width, "alpha": alpha, "B": b, "c": c}
    for floor in (0.0, 0.5, 4.0)
    for width in (1e-3, 1.0, 300.0)
    for alpha in (0.01, 0.3, 1.0, 5.0)
    for b in (1e-4, 1.0, 1e8, 1e60)
    for c in (0.01, 0.3, 2.0, 5.0)
]


def test_m4_solves_its_own_equation():
    """(y - E)/(E_0 - y)^alpha = B/x^c, as far as y keeps the digits of both differences."""
    x = np.geomspace(1.0, 1e24, 33)
    law, checked = get("m4-D"), 0
    for p in CURVES:
        y = law.loss(p, {"D": x})
        assert np.isfinite(y).all()
        assert (y >= p["E"]).all()
        assert (y <= p["E_0"]).all()
        assert (np.diff(y) <= 0).all()
        above, below = y - p["E"], p["E_0"] - y
        held = (above > 1e-4 * y) & (below > 1e-4 * y)
        left = np.log(above[held]) - p["alpha"] * np.log(below[held])
        right = np.log(p["B"]) - p["c"] * np.log(x[held])
        assert left == pytest.approx(right, rel=0, abs=1e-10), p
        checked += held.sum()
    assert checked > 1000


def test_m4_begins_at_its_upper_level_and_ends_on_its_floor():
    law = get("m4-D")
    p = {"E": 1.5, "E_0": 9.0, "alpha": 0.7, "B": 1e6, "c": 0.5}
    assert law.loss(p, {"D": 1e-60}) == pytest.approx(9.0, rel=1e-12)
    assert law.loss(p, {"D": 1e80}) == pytest.approx(1.5, rel=1e-12)


def test_m4_far_from_its_upper_level_is_a_power_law():
    """For y far below E_0 the equation is y = E + B E_0^alpha / x^c."""
    law = get("m4-D")
    p = {"E": 0.0, "E_0": 1e3, "alpha": 0.7, "B": 5.0, "c": 0.5}
    x = np.geomspace(1e14, 1e20, 7)
    expected = 5.0 * 1e3**0.7 / x**0.5
    assert law.loss(p, {"D": x}) == pytest.approx(expected, rel=1e-7)
