"""Errors of the Python functions say which keywords the options in their mends are."""

import inspect
import re
import traceback
from pathlib import Path

import pytest

import scaling as sc
from scaling.api.words import KEYWORDS, in_keywords, with_keywords
from scaling.errors import ConfigError, Fault, ScalingError

DECORATED = [sc.read, sc.fit, sc.isoflop, sc.envelope, sc.effective, sc.compare, sc.report, sc.plan]


def raised(function, *args, **kwargs):
    with pytest.raises(ScalingError) as caught:
        function(*args, **kwargs)
    return "".join(traceback.format_exception_only(caught.value)).splitlines()


def test_an_option_is_said_as_a_keyword(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("params_total,params_transformer,tokens,loss\n1e6,9e5,1e8,3\n2e6,1e6,1e8,2\n")
    lines = raised(sc.read, path)
    assert "--map N=params_total" in lines[-2]
    assert lines[-1] == '  from Python: --map is maps={"N": "params"}'


def test_what_is_typed_then_is_taken(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("params_total,params_transformer,tokens,loss\n1e6,9e5,1e8,3\n2e6,1e6,1e8,2\n")
    frame = sc.read(path, maps={"N": "params_total"}, quiet=True)
    assert frame["N"].tolist() == [1e6, 2e6]


def test_an_error_without_options_has_no_such_line(tmp_path):
    lines = raised(sc.read, tmp_path / "nowhere.csv")
    assert not any("from Python" in line for line in lines)


def test_it_is_said_once_by_a_function_that_calls_another():
    @with_keywords
    def inner(where=None):
        raise ConfigError(Fault("SC004", "--where", "x", "a condition"))

    @with_keywords
    def outer(where=None):
        inner(where)

    assert sum("from Python" in line for line in raised(outer)) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mend: --where 'loss > 0' and --where 'D > 1'", "  from Python: --where is where=..."),
        ("mend: --final-only, or --where x", "  from Python: --final-only is final=True; "
         "--where is where=..."),
        ("mend: --bootstrap 1000", ""),  # no keyword of this one
        ("mend: a--where b, ---where", ""),
    ],
)  # fmt: skip
def test_which_options_are_said(text, said):
    assert in_keywords(text, {"where", "final"}) == said


def test_the_table_names_keywords_and_options_that_there_are():
    keywords = set().union(*(inspect.signature(f).parameters for f in DECORATED))
    assert {shape.partition("=")[0] for shape in KEYWORDS.values()} <= keywords
    page = Path(__file__).parents[1] / "docs" / "reference" / "commands.md"
    assert set(KEYWORDS) <= set(re.findall(r"--([a-z][a-z-]*)", page.read_text(encoding="utf-8")))
