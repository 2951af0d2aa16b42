"""``scaling predict``: what is refused, and options that must not be passed over."""

import json
import re

import numpy as np
import pytest

from tests.cli.stored_fits import text_of


@pytest.fixture
def unanswered(write, refused):
    """Ask what must be refused."""

    def run(name, *options, code, exit_code=2):
        write(f"{name}.json", text_of(name))
        return refused("predict", f"{name}.json", *options, code=code, exit_code=exit_code).stderr

    return run


@pytest.mark.parametrize(
    ("name", "options", "code", "text"),
    [
        ("fit", [], "SC004", "--flops"),
        ("fit", ["--flops", "-1"], "SC004", "above 0"),
        ("fit", ["--flops", "nan"], "SC004", "above 0"),
        ("fit", ["--flops", "1e21 FLOP"], "SC004", "--flops"),
        ("fit", ["--flops", "1e22:1e20:3"], "SC004", "LOW:HIGH:COUNT"),
        ("fit", ["--flops", "1e21", "--params", "1e9", "--data", "1e11"], "SC004", "two of"),
        ("fit", ["--flops", "1e21", "--target-loss", "2.2"], "SC004", "one of them"),
        ("fit", ["--params", "1e9,2e9", "--data", "1e9,2e9,3e9"], "SC004", "one length"),
        ("fit", ["--off", "2", "--params", "1e9"], "SC004", "--flops C --off K"),
        ("fit", ["--flops", "1e21", "--off", "-2"], "SC004", "above 0"),
        ("fit", ["--flops", "1e21", "--interval", "1.5"], "SC004", "--interval"),
        ("fit", ["--flops", "1e21", "--inference-tokens", "-1"], "SC004", "0 or more"),
        ("fit", ["--flops", "1e21", "--unique-data", "-1"], "SC004", "above 0"),
        ("fit", ["--flops", "1e21", "--cost", "6*D"], "SC004", "--cost"),
        ("fit", ["--flops", "1e21", "--cost", "6*N*X"], "SC020", "--cost"),
        ("fit", ["--flops", "1e21", "--set", "experts"], "SC004", "NAME=VALUE"),
        ("fit", ["--flops", "1e21", "--set", "experts=x"], "SC004", "a number"),
        ("fit", ["--flops", "1e21", "--set", "experts=8"], "SC430", "experts"),
        ("fit", ["--flops", "1e21", "--law", "kaplan"], "SC004", "laws chinchilla"),
        ("two", ["--flops", "1e21", "--group", "C"], "SC004", "groups A, B"),
        ("two", ["--flops", "1e21", "--group", "C", "--law", "chinchilla"], "SC004", "group C"),
        ("fit", ["--params", "1e9"], "SC430", "--data"),
        ("fit", ["--target-loss", "1.2"], "SC431", "ask for a loss above it"),
        ("fit", ["--target-loss", "2.2", "--params", "1e7"], "SC431", "raise N"),
        (
            "fit",
            ["--params", "1e9", "--data", "1e11", "--unique-data", "1e10"],
            "SC432",
            "repeated",
        ),
        ("fit", ["--target-loss", "2.3", "--params", "1e9", "--unique-data", "1e10"], "SC432", "D"),
        ("fit", ["--target-loss", "2.3", "--data", "1e11", "--unique-data", "1e10"], "SC432", "D"),
        ("data-constrained", ["--flops", "1e21"], "SC430", "--unique-data VALUE"),
        ("data-constrained", ["--flops", "1e20", "--set", "D_unique=-1"], "SC004", "D_unique"),
        ("power-D", ["--flops", "1e21"], "SC430", "--data VALUE"),
        ("power-D", ["--data", "-1"], "SC004", "above 0"),
        ("moe-clark", ["--params", "1e9"], "SC430", "--set experts"),
        ("iso", ["--target-loss", "2.2"], "SC430", "--flops"),
        ("iso", ["--flops", "-1"], "SC004", "above 0"),
        ("iso", ["--flops", "1e22", "--interval", "1.5"], "SC004", "--interval"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else x,
)
def test_questions_that_are_refused(unanswered, name, options, code, text):
    assert text in unanswered(name, *options, code=code)


def test_a_condition_is_no_cost(predict):
    out = predict("fit", "--flops", "1e21", "--cost", "N < D")
    assert out.returncode == 2
    assert re.match(r"error\[(SC004|SC020)\] --cost", out.stderr)


def test_a_fit_that_is_not_identified(unanswered):
    for options in (["--flops", "1e21"], ["--params", "1e9", "--data", "1e10"],
                    ["--target-loss", "2.2"]):  # fmt: skip
        assert "not-identified" in unanswered("ray", *options, code="SC405", exit_code=4)


@pytest.mark.parametrize("content", ["", "{}", '{"schema": "scaling/plan@1"}', "N,D,loss\n1,2,3\n"])
def test_what_is_no_fit(write, refused, content):
    write("fit.json", content)
    refused("predict", "fit.json", "--flops", "1e21", code="SC101")
    refused("predict", "nowhere.json", "--flops", "1e21", code="SC005")


@pytest.mark.parametrize(
    ("name", "options", "extra"),
    [
        ("fit", ["--flops", "1e21", "--off", "2"], ["--cost", "6*N*D + 2*N*1e12"]),
        ("fit", ["--flops", "1e21", "--off", "2"], ["--inference-tokens", "1e12"]),
        ("fit", ["--flops", "1e21", "--off", "2"], ["--unique-data", "1e9"]),
        ("fit", ["--target-loss", "2.3", "--params", "7e9"], ["--cost", "100*N*D"]),
        ("fit", ["--target-loss", "2.3", "--params", "7e9"], ["--inference-tokens", "1e12"]),
        ("fit", ["--params", "1e9", "--data", "1e10"], ["--inference-tokens", "1e12"]),
        ("power-D", ["--data", "1e12"], ["--unique-data", "1e9"]),
        ("power-D", ["--data", "1e12"], ["--inference-tokens", "1e12"]),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else x,
)
def test_an_option_is_heeded_or_refused(predict, name, options, extra):
    """The numbers change with it, or it is said that they cannot."""
    plain, asked = (json.loads(out.stdout)["rows"] if out.returncode == 0 else out.returncode
                    for out in (predict(name, *options, "--json"),
                                predict(name, *options, *extra, "--json")))  # fmt: skip
    assert asked != plain


def test_every_compute_has_its_price(predict):
    out = predict("fit", "--flops", "1e20,1e22", "--off", "0.5,2", "--json")
    if out.returncode == 0:
        seen = {round(np.log10(r["C"]), 9) for r in json.loads(out.stdout)["rows"]}
        assert seen == {20.0, 22.0}
    else:
        assert "SC004" in out.stderr


def test_the_price_where_data_repeat(predict):
    out = [predict("data-constrained", "--flops", "1e20", "--off", "2", "--json", *options)
           for options in (["--set", "D_unique=1e9"], ["--unique-data", "1e9"])]  # fmt: skip
    assert [o.returncode for o in out] == [0, 0], out[1].stderr
    one, two = (json.loads(o.stdout)["rows"][0]["excess"] for o in out)
    assert one == pytest.approx(two, rel=1e-9)
