"""The direction of imports, held as a literal table."""

import ast
import re
from pathlib import Path

import pytest

import scaling

ROOT = Path(scaling.__file__).parent
BASE = {"errors", "expressions", "options"}
LIBRARY = {"fitting", "laws", "runs", "planning", "training", "reporting", "count"}

# What each package or top-level module may import, inside functions and for types alike.
MAY_IMPORT = {
    "codes": set(),
    "errors": set(),
    "expressions": {"errors"},
    "options": {"errors"},
    "laws": BASE,
    "count": BASE,
    "runs": BASE,
    "fitting": BASE | {"laws", "runs"},
    "planning": BASE | {"fitting", "laws", "count", "runs"},
    "training": BASE | {"count", "runs"},
    "reporting": BASE | {"fitting", "laws", "runs"},
    "plans": BASE | LIBRARY - {"reporting"},
    "api": BASE | LIBRARY | {"plans"},
    "cli": BASE | LIBRARY | {"api", "plans", "codes"},
    "__init__": {"api", "fitting", "laws", "planning", "reporting"},
    "__main__": {"cli"},
}
# Where a dependency may be imported: a folder (with its slash) or the start of a file's name.
ONLY_IN = {
    "torch": ("training/",),
    "torchvision": ("training/vision.py",),
    "matplotlib": ("reporting/figures/",),
    "seaborn": ("reporting/figures/",),
    "typer": ("cli/",),
    "click": ("cli/",),
    "rich": ("cli/",),
    "jinja2": ("reporting/renderers/html.py",),
    "typst": ("reporting/renderers/pdf.py",),
    "pikepdf": ("reporting/renderers/pdf.py",),
    "pooch": ("runs/public.py",),
    "PIL": ("runs/sources/decoding.py",),
    "pyarrow": ("runs/formats/columnar.py",),
    "tensorboard": ("runs/importers/events.py", "training/trackers/tensorboard.py"),
    "wandb": ("runs/importers/wandb.py", "training/trackers/wandb.py"),
    "google": ("runs/importers/events.py", "runs/importers/wandb.py"),
    "mlflow": ("training/trackers/mlflow.py",),
    "ray": ("training/engines/ray",),
    "submitit": ("training/engines/slurm",),
    "tokenizers": ("runs/sources/tokenizer.py",),
    "datasets": ("runs/sources/huggingface.py",),
    "transformers": ("training/tasks/huggingface.py",),
    "sqlalchemy": (),
    "tensorflow": (),
}
# Who may not import a dependency.
NEVER_IN = {"pandas": ("fitting/solve.py", "laws/", "count/")}
FILES = sorted(p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*.py"))


def imported(source):
    """Yield the line and full name of all that a source imports, at any depth."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{a.name}") for a in node.names)
            if node.level:
                yield node.lineno, "a relative import"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from ((node.lineno, c) for c in _constants(node.args[:1]))


def _constants(nodes):
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def violations(where, source):
    """Say what `source` at `where` imports against the tables."""
    here = where.split("/")[0].removesuffix(".py")
    for line, name in imported(source):
        top, _, rest = name.partition(".")
        target = rest.split(".")[0]
        if name == "a relative import":
            yield f"{where}:{line} has a relative import"
        elif top == "scaling" and target != here:
            if target in MAY_IMPORT and target not in MAY_IMPORT[here]:
                yield f"{where}:{line} {here} must not import {name}"
            elif target not in MAY_IMPORT and here != "cli":
                yield f"{where}:{line} imports {name}, a public name: import its home instead"
        elif top in ONLY_IN and not where.startswith(ONLY_IN[top]):
            yield f"{where}:{line} {name} only in {', '.join(ONLY_IN[top])}"
        elif top in NEVER_IN and where.startswith(NEVER_IN[top]):
            yield f"{where}:{line} must not import {name}"


def test_every_module_stands_in_the_table():
    rooms = {name.split("/")[0].removesuffix(".py") for name in FILES}
    assert rooms <= set(MAY_IMPORT)


@pytest.mark.parametrize("where", FILES)
def test_imports_follow_the_table(where):
    assert list(violations(where, (ROOT / where).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("planning/x.py", "from scaling.training import loop"),
        ("planning/x.py", "def f():\n    from scaling import training"),
        ("laws/x.py", "import scaling.runs.read"),
        ("runs/x.py", "if TYPE_CHECKING:\n    from scaling.laws import Law"),
        ("reporting/x.py", "importlib.import_module('scaling.training.loop')"),
        ("reporting/x.py", "import scaling as sc\nfrom scaling import fit"),
        ("fitting/x.py", "import torch.nn"),
        ("fitting/solve.py", "def f():\n    import pandas as pd"),
        ("reporting/html.py", "from matplotlib import pyplot"),
        ("reporting/report.py", "import jinja2"),
        ("runs/x.py", "from . import columns"),
    ],
)
def test_the_guard_sees_violations(where, source):
    assert list(violations(where, source))


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("cli/x.py", "from scaling.training import loop\nimport typer, rich.table"),
        (
            "reporting/figures/frontier.py",
            "import matplotlib.style\nfrom scaling.runs import table",
        ),
        ("training/tasks/x.py", "import torch\nfrom scaling.training.loop import run"),
        ("laws/x.py", "from scaling import errors\nfrom scaling.expressions import parse"),
    ],
)
def test_the_guard_lets_the_rest_pass(where, source):
    assert list(violations(where, source)) == []


@pytest.mark.parametrize(
    "where",
    [
        f
        for f in FILES
        if re.match(r"training/(driver|lock|summary|engines/\w+|pace|trackers/\w+|__init__)\.py", f)
    ],
)
def test_the_driver_does_not_load_torch(where):
    tree = ast.parse((ROOT / where).read_text(encoding="utf-8"))
    top = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    assert not any("torch" in ast.unparse(n) for n in top)


def test_files_stay_short():
    lengths = {f: len((ROOT / f).read_text(encoding="utf-8").splitlines()) for f in FILES}
    assert {f: n for f, n in lengths.items() if n > 520} == {}
