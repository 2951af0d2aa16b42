"""Goes through a page of the documentation, and does all that it shows."""

import contextlib
import re
import shutil
import tomllib

import pytest

from scaling.planning.study import changed, check_study
from tests.docs import blocks, figures, program
from tests.docs.blocks import DOCS, PART, ROOT
from tests.docs.prepared import QUICKSTART

PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
SHOWN = {"", "text", "bibtex", "dockerfile", "jinja", "csv"}  # displays: nothing to run


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
    """Compare what a page shows with what was printed; ``…`` stands for anything.

    A long line with a ``…`` may be broken at other words, up to the end of its sentence, since
    what the ``…`` stands for is wider on one machine than on another.
    """
    pattern = r"\s*"
    free = False
    for line in map(str.rstrip, shown.rstrip("\n").splitlines()):
        if line.strip() == "…":
            pattern, free = pattern + r"(?:.*\n)*?", False
            continue
        words = re.escape(line).replace("…", ".*?")
        free = free or ("…" in line and len(line) > 60)
        pattern += re.sub(r"(?:\\ )+", r"\\s+", words) if free else words
        free = free and not line.endswith((".", "]"))
        pattern += r"\s*" if free else r"[ \t]*\n"
    ends = "" if shown.rstrip().endswith("\n…") else r"\s*"
    whole = re.fullmatch(pattern + ends, printed.rstrip("\n") + "\n")
    assert whole, f"the page shows\n{shown}\nbut there was printed\n{printed}"


def places(path):
    return path.relative_to(ROOT).as_posix()


def pages(*folders):
    """Return the pages of folders of the docs; "" for those at its root, and the README."""
    inside = [path for path in PAGES if places(path).split("/")[1:-1][:1] in [[f] for f in folders]]
    root = [path for path in PAGES if len(places(path).split("/")) < 3] if "" in folders else []
    return pytest.mark.parametrize("path", root + inside, ids=places)


def go_through(path, prepared, tmp_path, monkeypatch):
    """Run a page in an empty folder, which holds what the page names."""
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
