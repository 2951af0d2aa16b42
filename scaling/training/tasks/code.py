"""The code of a user's own task: its module and the files beside it that it imports."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

CODE = "code"  # folder of a sweep that holds the modules of a user's own tasks
SKIPPED = {"__pycache__"}
ELSEWHERE = {"scaling", *sys.stdlib_module_names}  # nobody's own, whatever lies beside


def own_code(task: str, base: Path) -> tuple[dict[str, str], Path]:
    """Texts of a task ``module:class``, and the folder that they lie in.

    That is `base`, or its folder of code, where `base` is a sweep that goes on as it was planned;
    an installed task has no texts.
    """
    module, _, member = task.partition(":")
    for folder in (base, base / CODE) if member else ():
        if found := code_of(module, folder):
            return found, folder
    return {}, base


def code_of(module: str, folder: Path) -> dict[str, str]:
    """Texts of a module of a folder and of all that it imports from there, by file name.

    Parameters
    ----------
    module : str
        As it is imported; of ``package.module`` the whole package is taken.
    folder : Path
        In which modules are looked for.

    Returns
    -------
    dict of str to str
        In the order of the names; empty where the module does not lie in the folder.
    """
    found: dict[str, str] = {}
    left = [module.partition(".")[0]]
    while left:
        for path in _files(left.pop(), folder):
            name = path.relative_to(folder).as_posix()
            if name not in found:
                found[name] = path.read_text(encoding="utf-8")
                left += _imported(found[name])
    return dict(sorted(found.items()))


def _files(root: str, folder: Path) -> list[Path]:
    """Files of a module or package of this name."""
    if root in ELSEWHERE:
        return []
    package = folder / root
    if (package / "__init__.py").is_file():
        return [p for p in sorted(package.rglob("*.py")) if not SKIPPED & set(p.parts)]
    path = folder / f"{root}.py"
    return [path] if path.is_file() else []


def _imported(text: str) -> Iterator[str]:
    """Names of the modules and packages that a text imports, from wherever."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except SyntaxError:  # importing it will say so
        return
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def load(module: str, folder: Path | None) -> ModuleType:
    """Import a module, from a folder first.

    What this process has imported under the same name before, from a file of another text, is
    forgotten: another study, or the study before its code was changed.
    """
    if folder is None or not (code := code_of(module, folder)):
        return importlib.import_module(module)
    if any(_stale(name, text) for name, text in code.items()):
        for name in code:
            sys.modules.pop(_module(name), None)
        importlib.invalidate_caches()
    with _importable(folder):
        found = importlib.import_module(module)
    _texts.update({_module(name): text for name, text in code.items()})
    return found


_texts: dict[str, str] = {}  # what this process has imported, by module


def _stale(name: str, text: str) -> bool:
    """Whether what is imported under a file's name came from another text."""
    module = _module(name)
    there = sys.modules.get(module)
    if there is None:
        return False
    if module in _texts:
        return _texts[module] != text
    try:
        return Path(str(there.__file__)).read_text(encoding="utf-8") != text
    except OSError:
        return True


def _module(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    place, kept = str(folder.resolve()), sys.dont_write_bytecode
    sys.path.insert(0, place)
    sys.dont_write_bytecode = True  # a cache by the second would hide a change
    try:
        yield
    finally:
        sys.dont_write_bytecode = kept
        sys.path.remove(place)


def joined(code: Mapping[str, str]) -> str:
    """All texts as one, which enters the hash of a task's data."""
    return "".join(code.values())
