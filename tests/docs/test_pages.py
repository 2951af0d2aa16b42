"""Every snippet of the documentation is run, top to bottom, in an empty folder of its page."""

import contextlib
import re
import shutil
import tomllib

import pytest

pytest.importorskip("torch", reason="pages train")

from scaling.planning.study import changed, check_study
from tests.docs import blocks, figures, program
from tests.docs.blocks import DOCS, PART, ROOT
from tests.docs.prepared import QUICKSTART, Prepared

PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
SHOWN = {"", "text", "bibtex", "dockerfile", "jinja", "csv"}  # displays: nothing to run


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return Prepared(tmp_path_factory.mktemp("prepared"))


class Reader:
    """Goes through a page as a reader would."""

    def __init__(self, page, folder, stand_ins):
        self.page, self.folder, self.stand_ins = page, folder, stand_ins
        self.names = {"__name__": "__main__"}

    def take(self, block):
        """Run, write or check one block."""
        if block.elsewhere:
            assert block.elsewhere in blocks.ELSEWHERE, f"no such reason: {block.elsewhere}"
            self.parse(block)
        elif block.title and not block.title.startswith(PART):
            target = self.folder / block.title
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.code, encoding="utf-8")
        elif block.lang not in SHOWN:
            printed = getattr(self, block.lang)(block)
            if block.output is not None:
                compare(block.output, printed)

    def parse(self, block):
        for command in program.commands(block.code) if block.lang == "sh" else ():
            if program.words(command)[1][:1] == ["scaling"]:
                program.parse(command)

    def sh(self, block):
        printed = ""
        for command in program.commands(block.code):
            done = program.run(command, self.folder, self.stand_ins)
            printed += done.text
            wanted = program.expected_code(command)
            assert done.code == wanted, f"{command}: exit code {done.code}\n{done.text}"
        return printed

    def python(self, block):
        import io
        import sys

        out = io.StringIO()
        code = compile("\n" * block.line + block.code, str(self.page), "exec")
        sys.path.insert(0, str(self.folder))
        try:
            with (
                contextlib.chdir(self.folder),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(out),
            ):
                exec(code, self.names)
        finally:
            sys.path.remove(str(self.folder))
        return out.getvalue()

    def toml(self, block):
        """Check a fragment of a study, laid over the page's study or the quickstart."""
        fragment = tomllib.loads(block.code)
        if "project" in fragment:  # of somebody's pyproject.toml
            return ""
        study = self.folder / "study.toml"
        below = (study if study.exists() else QUICKSTART).read_text(encoding="utf-8")
        whole = fragment if "schema" in fragment else changed(tomllib.loads(below), fragment)
        if "kind" in fragment.get("design", {}):
            whole["design"] = fragment["design"]
        check_study(whole, name=self.page.name, text=block.code)
        return ""

    def yaml(self, block):
        import yaml

        assert all(isinstance(part, dict) for part in yaml.safe_load_all(block.code))
        return ""

    def json(self, block):
        import json

        json.loads(block.code)
        return ""


def compare(shown, printed):
    """Compare what a page shows with what was printed; ``…`` stands for anything."""
    pattern = r"\s*"
    for line in shown.rstrip("\n").splitlines():
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += re.escape(line.rstrip()).replace("…", ".*?") + r"[ \t]*\n"
    ends = "" if shown.rstrip().endswith("\n…") else r"\s*"
    whole = re.fullmatch(pattern + ends, printed.rstrip("\n") + "\n")
    assert whole, f"the page shows\n{shown}\nbut there was printed\n{printed}"


def places(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PAGES, ids=places)
def test_a_page_does_what_it_shows(path, prepared, tmp_path, monkeypatch):
    page = blocks.read_page(path)
    if any("import wandb" in block.code for block in page.blocks):
        pytest.importorskip("wandb")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "page"
    folder.mkdir()
    for name in page.here:
        prepared.lay(name, folder)
    stand_ins = prepared.stand_ins() if {"out", "out/quickstart"} & set(page.here) else {}
    reader = Reader(path, folder, stand_ins)
    for block in page.blocks:
        try:
            reader.take(block)
        except BaseException as error:
            error.add_note(f"{places(path)}:{block.line} [{block.lang}]")
            raise
    figures.hold(folder)
    if "matplotlib" in __import__("sys").modules:
        from matplotlib import pyplot

        pyplot.close("all")
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("a\n", "a\n"),
        ("a\n…\n", "a\nb\nc\n"),
        ("…\nc", "a\nb\nc\n"),
        ("N* 3…", "N* 3.14 (2 to 4)\n"),
        ("a\n…\nc\n", "a\nc\n"),
    ],
)
def test_what_is_shown_is_recognised(shown, printed):
    compare(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"), [("a\n", "b\n"), ("a\n", "a\nb\n"), ("a\n…\nc", "a\n")]
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
