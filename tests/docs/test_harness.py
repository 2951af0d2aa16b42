"""The harness sees what is wrong with a page, and no page is left out."""

import pytest

from tests.docs import blocks, figures, program
from tests.docs.blocks import DOCS, ROOT
from tests.docs.reader import PAGES, compare

LONG = "  A sentence which is longer than sixty characters, all in all,"


def test_every_page_is_gone_through():
    folders = {path.parent.relative_to(DOCS).parts[:1] for path in PAGES if path.parent != ROOT}
    assert folders == {(), ("tutorials",), ("how-to",), ("reference",), ("explanation",)}


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("a\n", "a\n"),
        ("a\n…\n", "a\nb\nc\n"),
        ("…\nc", "a\nb\nc\n"),
        ("N* 3…", "N* 3.14 (2 to 4)\n"),
        ("a\n…\nc\n", "a\nc\n"),
        (f"{LONG} … of\n  it. [SC1]\nb", f"{LONG} 14 of it.\n  [SC1]\nb\n"),
    ],
)
def test_what_is_shown_is_recognised(shown, printed):
    compare(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("a\n", "b\n"),
        ("a\n", "a\nb\n"),
        ("a\n…\nc", "a\n"),
        (f"{LONG} of\n  it.", f"{LONG} of it.\n"),
        (f"{LONG} … of\n  it.\nb c", f"{LONG} 14 of it.\nb\nc\n"),
    ],
)
def test_a_difference_is_seen(shown, printed):
    with pytest.raises(AssertionError, match="the page shows"):
        compare(shown, printed)


def test_figures_are_the_same_within_half_a_point():
    drawn = '<path id="p1a2" d="M 7.25 10.0 L 8 -1e-3" clip-path="url(#p1a2)"/>'
    assert figures.same(drawn, drawn.replace("7.25", "7.4").replace("p1a2", "q"))
    assert not figures.same(drawn, drawn.replace("7.25", "7.9"))
    assert not figures.same(drawn, drawn.replace("path id", "line id"))


def test_no_figure_is_left_over():
    text = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    unused = [path.name for path in figures.SHOWN.iterdir() if f"figures/{path.name}" not in text]
    assert unused == []


def test_a_page_is_taken_apart():
    text = (
        "<!-- here: a.csv out -->\n\n<!-- elsewhere: gpu -->\n```sh\nscaling doctor\n```\n\n"
        '    ```python title="x.py"\n    pass\n    ```\n\n```sh\nls  # exit code 3\n```\n\n'
        '```text title="output"\nno\n```\n<!-- before: true -->\n'
    )
    page = blocks.page_of(DOCS / "x.md", text)
    assert page.here == ("a.csv", "out")
    assert [(b.lang, b.title, b.elsewhere, b.output) for b in page.blocks] == [
        ("sh", "", "gpu", None), ("python", "x.py", "", None), ("sh", "", "", "no\n"),
        ("sh", "", "", None),
    ]  # fmt: skip
    assert page.blocks[1].code == "pass\n"
    assert program.expected_code(program.commands(page.blocks[2].code)[0]) == 3


@pytest.mark.parametrize("command", ["scaling ftt", "scaling fit x.csv --lw chinchilla"])
def test_a_misspelt_command_is_seen_without_running_it(command):
    with pytest.raises(Exception, match=r"[Nn]o such"):
        program.parse(command)
    program.parse("scaling sweep run study.toml -o out --engine ray")
