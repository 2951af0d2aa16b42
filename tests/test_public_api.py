"""The public names stay what they are after every submodule has been imported."""

import importlib
import pkgutil

import pytest

import scaling as sc

NAMES = (
    "Law",
    "compare",
    "effective",
    "envelope",
    "fit",
    "isoflop",
    "law",
    "load",
    "plan",
    "preflight",
    "read",
    "report",
    "run",
    "suggest",
)
NOT_IMPORTED = ("scaling.__main__",)  # runs the program


def submodules():
    return [
        m.name for m in pkgutil.walk_packages(sc.__path__, "scaling.") if m.name not in NOT_IMPORTED
    ]


def test_names_survive_importing_everything():
    pytest.importorskip("torch", reason="torch is needed to import scaling.training")
    for _ in range(2):
        for module in submodules():
            importlib.import_module(module)
        for name in NAMES:
            assert callable(getattr(sc, name)), name
        table = sc.law("chinchilla")
        assert table.name == "chinchilla"


def test_no_module_bears_a_public_name():
    tops = {m.name for m in pkgutil.iter_modules(sc.__path__)}
    assert tops & set(sc.__all__) == set()


def test_all_is_true():
    assert set(NAMES) <= set(sc.__all__)
    for name in sc.__all__:
        assert getattr(sc, name) is not None
    assert set(sc.__all__) <= set(dir(sc))


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sc.nothing
