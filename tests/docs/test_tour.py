"""The notebook tour is executed anew, and says what it said: ``python tests/docs/test_tour.py``."""

import html
import os
import re
import sys
import tempfile
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="reads the notebook")
pytest.importorskip("nbclient", reason="runs the notebook")
pytest.importorskip("ipykernel", reason="runs the notebook")

ROOT = Path(__file__).parents[2]
TOUR = ROOT / "docs" / "tutorials" / "tour.ipynb"
LARGEST = 600_000  # bytes of the notebook with its outputs
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e[+-]\d+)?")
# What differs between machines and runs of pandas, and is no answer.
LOOSE = re.compile(r"T_[0-9a-f]{5}|<style.*?</style>", re.S)


def executed(folder):
    """Run the notebook in an empty folder, with what it says of itself left out."""
    from nbclient import NotebookClient

    notebook = nbformat.read(TOUR, as_version=4)
    for cell in notebook.cells:
        cell["metadata"] = {}
        if cell.cell_type == "code":
            cell["outputs"], cell["execution_count"] = [], None
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "COLUMNS": "80"}
    env.pop("MPLBACKEND", None)  # a notebook has a backend of its own, which shows figures
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )  # fmt: skip
    client.execute(env=env)
    return notebook


def texts(cell):
    """What a cell said, in order, as text; images by their kind."""
    found = []
    for output in cell.get("outputs", ()):
        if output.output_type == "stream":
            found.append((output.name, output.text))
        for kind, value in sorted(output.get("data", {}).items()):
            shown = "" if kind.startswith("image/") else LOOSE.sub("", value)
            found.append((kind, re.sub(r"0x[0-9a-f]+", "0x", shown)))
    return found


def alike(one, two):
    """Whether texts are the same, with numbers to one unit in the last digit that is printed."""
    if NUMBER.sub("#", one) != NUMBER.sub("#", two):
        return False
    pairs = zip(NUMBER.findall(one), NUMBER.findall(two), strict=True)
    return all(
        a == b or abs(float(a) - float(b)) <= 1.001 * max(unit(a), unit(b)) for a, b in pairs
    )


def unit(number):
    """One unit in the last printed digit."""
    digits, _, exponent = number.partition("e")
    return 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))


@pytest.fixture(scope="module")
def committed():
    return nbformat.read(TOUR, as_version=4)


@pytest.fixture(scope="module")
def anew(tmp_path_factory):
    return executed(tmp_path_factory.mktemp("tour"))


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_says_what_it_said(committed, anew):
    for old, new in zip(code_cells(committed), code_cells(anew), strict=True):
        was, now = texts(old), texts(new)
        assert [kind for kind, _ in was] == [kind for kind, _ in now], old.source
        for (_, a), (_, b) in zip(was, now, strict=True):
            assert alike(html.unescape(a), html.unescape(b)), f"{old.source}\n{a}\n{b}"


def test_nothing_is_warned_of(committed):
    """Standard error has what `sc.read` says of a table, and nothing else."""
    for cell in code_cells(committed):
        told = "".join(text for kind, text in texts(cell) if kind == "stderr")
        assert not told or "sc.read(" in cell.source
        assert "Warning" not in told


def test_it_is_whole_and_small(committed):
    assert TOUR.stat().st_size < LARGEST
    counts = [cell.execution_count for cell in code_cells(committed)]
    assert counts == list(range(1, len(counts) + 1))
    kinds = [kind for cell in code_cells(committed) for kind, _ in texts(cell)]
    assert kinds.count("image/png") >= 3
    assert str(ROOT) not in TOUR.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("a 1.23", "a 1.24", True),
        ("a 1.23", "a 1.25", False),
        ("a 1.2e+09", "a 1.3e+09", True),
        ("a 1.2e+09", "a 1.4e+09", False),
        ("35 rows", "35 runs", False),
        ("SC405", "SC406", False),
    ],
)
def test_texts_are_compared_to_printed_digits(one, two, same):
    assert alike(one, two) is same


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        found = executed(Path(folder))
    found.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(found, TOUR)
    sys.stdout.write(f"{TOUR.stat().st_size} bytes\n")
