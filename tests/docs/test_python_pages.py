"""The Python reference: every public name stands in it and says what it takes; examples run."""

import doctest
import importlib
import logging
import re
from pathlib import Path

import pytest

import scaling as sc
from scaling import errors
from tests.docs.blocks import DOCS, read_page

griffe = pytest.importorskip("griffe", reason="reads docstrings as the site does")

FOLDER = DOCS / "reference" / "python"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))}
DIRECTIVE = re.compile(r"^::: (scaling[\w.]+)$", re.M)
DOCUMENTED = [path for text in PAGES.values() for path in DIRECTIVE.findall(text)]
# Tasks need torch, and have their example, which is trained, in docs/how-to/own-task.md.
IMPORTED = [path for path in DOCUMENTED if not path.startswith("scaling.training.tasks")]
# Classes that a result holds and that are explained elsewhere, or that nobody needs by name.
ELSEWHERE = {
    "scaling.expressions.Expression": "a law's formula, checked; laws are evaluated by `loss`",
    "scaling.planning.choosing.truths.Prior": "docs/reference/planning.md: belief of the law",
    "scaling.planning.sections.Study": "docs/reference/study.md: every key",
    "scaling.reporting.document.Document": "docs/reference/json.md: scaling/report@1",
}


@pytest.fixture(scope="module")
def package():
    return griffe.load("scaling", search_paths=[str(Path(errors.__file__).parents[1])])


@pytest.fixture(scope="module")
def examples():
    """What the examples of docstrings find: the names that the page makes."""
    block = read_page(FOLDER / "index.md").blocks[-1]
    names = {}
    exec(block.code, names)
    return names


def object_at(path):
    """Import what stands at a dotted path."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def member(package, path):
    return package[path.removeprefix("scaling.")]


def public(cls):
    """Members of a class without underscore, as they are defined."""
    for name, item in cls.members.items():
        if not name.startswith("_"):
            yield name, item.final_target if item.is_alias else item


def described(item):
    """Names in the sections of a docstring that list parameters or attributes."""
    sections = item.docstring.parse("numpy") if item.docstring else []
    return {
        name.lstrip("*")
        for section in sections
        if section.kind.value in ("parameters", "attributes")
        for entry in section.value
        for name in entry.name.split(", ")
    }


def undocumented(cls):
    """Names of a class that no docstring explains: its own, a base's, the class's or a base's."""
    if not cls.docstring:
        yield cls.path
    bases = cls.mro()
    known = described(cls).union(*map(described, bases))
    known |= {name for base in bases for name, item in public(base) if item.docstring}
    for name, item in public(cls):
        if not item.docstring and name not in known:
            yield item.path


def parameters(function):
    """Parameters of a function that its docstring does not explain."""
    names = {p.name.lstrip("*") for p in function.parameters} - {"self", "cls"}
    return sorted(names - described(function))


def test_every_public_name_has_a_place():
    homes = {
        object_at(path) for path in DOCUMENTED if not path.startswith("scaling.training.tasks")
    }
    assert [name for name in sc.__all__ if getattr(sc, name) not in homes] == []
    index = PAGES["index.md"]
    assert [name for name in sc.__all__ if f"`sc.{name}`" not in index] == []
    assert len(DOCUMENTED) == len(set(DOCUMENTED))


def returned(package, path):
    """Yield the classes of ours that annotations of a function or of a class's members name."""
    item = member(package, path)
    held = [item] if item.is_function else [m for _, m in public(item)]
    for one in held:
        annotation = one.returns if one.is_function else one.annotation
        for part in annotation.iterate(flat=True) if hasattr(annotation, "iterate") else ():
            found = getattr(part, "canonical_path", "")
            if found.startswith("scaling."):
                found = member(package, found)
                found = found.final_target if found.is_alias else found
                if found.is_class:
                    yield found.path


def test_every_class_that_is_given_back_has_a_place(package):
    given = {cls for path in DOCUMENTED for cls in returned(package, path)}
    assert sorted(given - set(DOCUMENTED) - set(ELSEWHERE)) == []
    assert sorted(set(ELSEWHERE) - given) == [], "an exception that is none"


@pytest.mark.parametrize("path", DOCUMENTED)
def test_it_is_documented(package, path):
    item = member(package, path)
    if item.is_class:
        assert list(undocumented(item)) == []
    else:
        assert item.docstring
        assert parameters(item) == []


def test_what_lacks_a_docstring_is_found():
    code = '"""M."""\nclass A:\n    """A.\n\n    Attributes\n    ----------\n    x : int\n    """\n'
    code += "    x: int = 0\n    y: int = 0\n    def f(self): ...\n    def _g(self): ...\n"
    code += 'def h(a, *, b):\n    """H.\n\n    Parameters\n    ----------\n    a : int\n    """\n'
    with griffe.temporary_visited_module(code) as module:
        assert list(undocumented(module["A"])) == ["module.A.y", "module.A.f"]
        assert parameters(module["h"]) == ["b"]


@pytest.mark.parametrize("path", DOCUMENTED)
def test_docstrings_can_be_read(package, path, caplog):
    """The site is built with warnings as errors; griffe warns of names that are no parameters."""
    caplog.set_level(logging.WARNING)
    item = member(package, path)
    for one in [item, *([m for _, m in public(item)] if item.is_class else [])]:
        if one.docstring:
            one.docstring.parse("numpy")
    assert [record.getMessage() for record in caplog.records] == []


def test_every_figure_is_listed():
    from scaling.reporting.figures.kinds import KINDS
    from scaling.reporting.figures.plotting import Plots

    assert re.findall(r"^    ``(\w+)``$", Plots.__doc__, flags=re.M) == [k.name for k in KINDS]


FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


@pytest.mark.parametrize("path", IMPORTED)
def test_the_examples_run(path, examples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tests = doctest.DocTestFinder(exclude_empty=True).find(
        object_at(path), path, extraglobs=dict(examples), globs={}
    )
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in tests:
        assert runner.run(test, clear_globs=False).failed == 0


def test_examples_stand_where_people_begin():
    without = [
        name
        for name in sc.__all__
        if not doctest.DocTestFinder().find(getattr(sc, name), name)[0].examples and name != "run"
    ]
    assert without in ([], ["Plan"])
