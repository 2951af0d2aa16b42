"""Expressions: what they compute, their derivatives, and what they refuse."""

import numpy as np
import pytest

from scaling.errors import ConfigError
from scaling.expressions import parse

N = np.array([1e3, 2.5e6, 7e9])
D = np.array([3e5, 1.0, 4e11])
ENV = {"N": N, "D": D, "kind": np.array(["a", "b", "a"]), "source": {"Model Size": N}}


def value(text):
    return parse(text, where="test").value(ENV)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("N + D*2 - N/D", N + D * 2 - N / D),
        ("-N**0.5", -(N**0.5)),
        ("2**-1**2", 0.5),
        ("(N + 1)**2 / +3", (N + 1) ** 2 / 3),
        ("exp(log(N)) + sqrt(D)", N + np.sqrt(D)),
        ("log10(N) * abs(-D)", np.log10(N) * D),
        ("minimum(N, D) - maximum(N, 5)", np.minimum(N, D) - np.maximum(N, 5)),
        ('source["Model Size"] * 2', N * 2),
        ("N > 1e4", N > 1e4),
        ("1e4 < N <= 7e9", (N > 1e4) & (N <= 7e9)),
        ("N > 1e4 and D > 2 or D == 1", ((N > 1e4) & (D > 2)) | (D == 1)),
        ("not N >= 1e4", N < 1e4),
        ('kind == "a"', [True, False, True]),
        ('kind != "a"', [False, True, False]),
    ],
)
def test_values(text, expected):
    assert np.asarray(value(text)) == pytest.approx(np.asarray(expected), rel=1e-13)


@pytest.mark.parametrize(
    "text",
    [
        "p*N + q/N",
        "p - q*p/N",
        "-p/q**2",
        "p**q",
        "N**p",
        "(N + p)**q",
        "p*N**(q + 1)",
        "exp(p*q)",
        "log(p + N) + log10(q)",
        "sqrt(p*q + N)",
        "abs(p - 9) + abs(q)",
        "minimum(p, q)*maximum(p, q**2)",
        "(p*N**-q + 1/N**0.3)**p",
    ],
)
@pytest.mark.parametrize("stored", [True, False])
def test_derivatives(text, stored):
    data = {"N": np.array([1.5, 40.0, 900.0])}
    at = {"p": 0.7, "q": 1.3}
    logs = {"N": np.log(data["N"])} if stored else {}
    expression = parse(text, where="test", names=("p", "q", "N"))
    got, gradient = expression.value_and_gradient({**data, **at}, ("p", "q"), logs)
    assert got == pytest.approx(expression.value({**data, **at}), rel=1e-13)
    for name in at:
        h = 6e-6
        ends = [expression.value({**data, **at, name: at[name] + s * h}) for s in (1, -1)]
        numeric = (ends[0] - ends[1]) / (2 * h)
        assert gradient.get(name, 0.0) + 0 * data["N"] == pytest.approx(
            numeric + 0 * data["N"], rel=2e-7, abs=1e-10 * np.abs(got).max()
        )


def test_names_and_columns_that_are_read():
    expression = parse('exp(N) + source["x y"] * N > D', where="test")
    assert set(expression.names) == {"N", "source", "D"}
    assert expression.source_columns == ("x y",)


REFUSED = [
    "__import__('os').system('true')",
    "().__class__.__bases__",
    "N.__class__",
    "N.real",
    "__builtins__",
    "_N",
    "eval('1')",
    "exec('1')",
    "open('x')",
    "getattr(N, 'real')",
    "print(N)",
    "exp.__self__",
    "exp(N)(N)",
    "(exp)(N, D)",
    "exp()",
    "exp(x=N)",
    "exp(*N)",
    "exp(**N)",
    "minimum(N)",
    "lambda: 1",
    "[x for x in (1,)]",
    "[N]",
    "(N, D)",
    "{N}",
    "{'a': N}",
    "f'{N}'",
    "N if D else 1",
    "(N := 3)",
    "N @ D",
    "N // D",
    "N % D",
    "N << 2",
    "N & D",
    "N | D",
    "N ^ D",
    "~N",
    "N is D",
    "N in D",
    "N not in D",
    "N[0]",
    "N[0:1]",
    "source[0]",
    "source[N]",
    "source['a':'b']",
    "source['a']['b']['c']",
    "other['a']",
    "source.a",
    "True",
    "None",
    "...",
    "1j",
    "b'a'",
    "await N",
    "yield",
    "import os",
    "N; D",
    "N = 3",
    "",
    "N +",
    "(" * 300 + "N" + ")" * 300,
    "-" * 500 + "N",
    "+".join(["N"] * 600),
    "N\0",
    "\ud800",
]


@pytest.mark.parametrize("text", REFUSED)
def test_everything_else_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        parse(text, where="--where")
    fault = caught.value.faults[0]
    assert (fault.code, fault.where) == ("SC020", "--where")
    assert fault.found
    assert len(caught.value.render().splitlines()) <= 6


def test_names_outside_the_list_are_refused():
    with pytest.raises(ConfigError) as caught:
        parse("E + A/N**alfa", where="law x", names=("E", "A", "alpha", "N"))
    assert '"alfa"' in caught.value.faults[0].found
    assert "alpha" in caught.value.faults[0].expected


def test_unknown_names_and_columns_are_refused_at_evaluation():
    for text in ("nothing + 1", 'source["nothing"]'):
        with pytest.raises(ConfigError) as caught:
            value(text)
        assert caught.value.code == "SC020"
        assert "nothing" in caught.value.render()


@pytest.mark.parametrize(
    "text", ['"a" * 3', 'exp("a")', '-"a"', 'N < "a"', "kind > 1", '"a" and N']
)
def test_text_in_arithmetic_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        value(text)
    assert caught.value.code == "SC020"


@pytest.mark.parametrize(("text", "expected"), [("9**9**9**9", np.inf), ("1/0", np.inf)])
def test_overflow_is_infinite_and_quick(text, expected):
    assert value(text) == expected


def test_large_powers_of_data_do_not_overflow():
    expression = parse("A/N**alpha", where="test")
    big = {"N": np.array([1e300]), "A": 1.0, "alpha": 0.5}
    got, gradient = expression.value_and_gradient(big, ("alpha",), {"N": np.log(big["N"])})
    assert got == pytest.approx([1e-150])
    assert gradient["alpha"] == pytest.approx([-1e-150 * np.log(1e300)])
