"""Whether what is needed is installed here, and works; each is tried in a process of its own.

A broken package may do anything when it is imported, and end the process that does it.
"""

from __future__ import annotations

import json
import platform
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scaling.errors import TrainingError
from scaling.runs.provenance import package_version, versions
from scaling.training.engines.base import Check

LEAST = (3, 11)  # Python
CORE = {"numpy": "numpy", "scipy": "scipy.optimize", "pandas": "pandas"}
IMPORT_SECONDS = 180.0  # the first import from a network disk takes long
VERSION = """
import importlib, json, sys
importlib.import_module(sys.argv[2])
print(json.dumps({"version": str(sys.modules[sys.argv[1]].__version__)}))
"""
TORCH = """
import json
import torch

def tell(**said):
    print(json.dumps(said), flush=True)

def multiply(device):
    a = torch.full((8, 8), 0.5, device=device)
    return float((a @ a)[0, 0]) == 2.0

tell(version=str(torch.__version__), built=torch.version.cuda or torch.version.hip)
tell(multiplies=multiply("cpu"))
try:
    torch.cuda.init()
    count = torch.cuda.device_count()
    wrong = [i for i in range(count) if not multiply(f"cuda:{i}")]
    tell(gpus=[torch.cuda.get_device_name(i) for i in range(count)])
    tell(wrong=f"a wrong product on GPU {wrong[0]}" if wrong else "")
except Exception as error:
    tell(wrong=(str(error).strip() or type(error).__name__).splitlines()[0])
try:
    from scaling.training.vision import load
    tell(vision=str(load().__version__))
except Exception as error:
    tell(blind=f"{type(error).__name__}: {error}".splitlines()[0])
"""

FIGURES = """
import json, pathlib, tempfile
import matplotlib
from matplotlib import font_manager
have = {font.name for font in font_manager.fontManager.ttflist}
missing = [name for name in ("DejaVu Sans", "DejaVu Serif", "STIXGeneral") if name not in have]
folder = pathlib.Path(matplotlib.get_configdir())
lost = folder.parent == pathlib.Path(tempfile.gettempdir())
lost = lost and folder.name.startswith("matplotlib-")  # made for this process alone
print(json.dumps({"version": matplotlib.__version__, "missing": missing, "lost": lost}))
"""
TYPST = """
import json
import pikepdf, typst
print(json.dumps({"pdf": typst.compile(b"= A page")[:4] == b"%PDF"}))
"""


def installed(package: str) -> bool:
    """Whether a package is there; a mere folder of its name, such as ``./wandb``, is not it."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):  # of a package that is half there
        return False
    return spec is not None and spec.origin is not None


@dataclass(frozen=True)
class Torch:
    """What torch says of itself.

    Attributes
    ----------
    version : str
        Empty if it cannot be imported.
    built : str or None
        Version of CUDA or ROCm that it was built for.
    multiplies : bool
    gpus : tuple of str
        Names of the GPUs that it sees.
    wrong : str
        Why it cannot use them.
    vision : str
        Version of torchvision; empty if it cannot be imported.
    blind : str
        Why it cannot.
    why : str
        How its process ended, if it did before the end.
    """

    version: str = ""
    built: str | None = None
    multiplies: bool = False
    gpus: tuple[str, ...] = ()
    wrong: str = ""
    vision: str = ""
    blind: str = ""
    why: str = ""


@lru_cache(maxsize=1)
def torch_seen() -> Torch:
    """Let torch multiply on the CPU and on every GPU; asked once a process."""
    said, why = _said(TORCH)
    return Torch(**{**said, "gpus": tuple(said.get("gpus", ())), "why": why})


def _said(code: str, *words: str) -> tuple[dict[str, Any], str]:
    """Return the JSON that a Python of its own printed, and its last words if it failed."""
    return _asked(code, *words).result()


@lru_cache
def _asked(code: str, *words: str) -> Future[tuple[dict[str, Any], str]]:
    """Start a Python of its own, unless it runs already: several at a time take less long."""
    return _pool().submit(_run, code, *words)


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(8)


def _run(code: str, *words: str) -> tuple[dict[str, Any], str]:
    command = [sys.executable, "-c", code, *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=IMPORT_SECONDS, check=False
        )
        out, code_, last = done.stdout, done.returncode, done.stderr.strip().splitlines()[-1:]
    except subprocess.TimeoutExpired as error:
        out = (error.stdout or b"").decode(errors="replace")
        code_, last = 1, [f"no end after {IMPORT_SECONDS:.0f} s"]
    said: dict[str, Any] = {}
    for line in out.splitlines():
        if line.startswith("{"):
            said |= json.loads(line)
    if code_ < 0:
        last = [f"ended by {signal.Signals(-code_).name}"]
    return said, "" if code_ == 0 else "".join(last) or f"exit {code_}"


# ----------------------------------------------------------------------------------------- checks


def core_checks() -> Iterator[Check]:
    """Look at what every command needs."""
    python = platform.python_version()
    old = sys.version_info[:2] < LEAST
    mend = "make a virtual environment with Python 3.11 or newer"
    yield Check("Python", python, "SC319", mend) if old else Check("Python", python)
    version = package_version()
    yield Check("scaling", "from a checkout" if version == "unknown" else version)
    for name, module in CORE.items():
        _asked(VERSION, name, module)
    for name, module in CORE.items():
        said, why = _said(VERSION, name, module)
        yield broken(name, why) if why else Check(name, said["version"])


def begin() -> None:
    """Start what the checks below ask, so that none waits for another."""
    for package, code in (("torch", TORCH), ("typst", TYPST)):
        if installed(package):
            _asked(code)
    _asked(FIGURES)


def figure_checks() -> Iterator[Check]:
    """Look at what figures and PDFs need: fonts, a folder of settings, a page that compiles."""
    said, why = _said(FIGURES)
    if why:
        yield broken("matplotlib", why)
    elif said["missing"]:
        mend = "pip install --force-reinstall matplotlib"
        yield Check("fonts", f"{', '.join(said['missing'])} not found", "SC014", mend, True)
    elif said["lost"]:
        found = f"matplotlib {said['version']} cannot write its folder, and starts slowly"
        yield Check("fonts", found, "SC014", "export MPLCONFIGDIR=FOLDER, one to write", True)
    else:
        yield Check("fonts", f"DejaVu and STIX, by matplotlib {said['version']}")
    absent = _extra("typst", ["typst", "pikepdf"], "pdf")
    if not absent.ok:
        yield absent
        return
    said, why = _said(TYPST)
    if why or not said["pdf"]:
        yield broken("typst", why or "no PDF came out", "does not compile a page", optional=True)
    else:
        yield Check("typst", f"{absent.found}, compiles a page")


def torch_checks() -> Iterator[Check]:
    """Look at torch, and at its torchvision, which tasks with images need."""
    if not installed("torch"):
        yield _absent("torch", "train", optional=False)
        return
    seen = torch_seen()
    if not seen.version:
        yield broken("torch", seen.why)
        return
    if not seen.multiplies:
        yield broken("torch", seen.why or "a wrong product", f"{seen.version} does not multiply")
        return
    yield Check("torch", f"{seen.version}, multiplies")
    if not installed("torchvision"):
        yield _absent("torchvision", "train")
        return
    if seen.vision:
        yield Check("torchvision", seen.vision)
    else:
        yield broken("torchvision", seen.blind or seen.why, optional=True)


def extra_checks(track: Collection[str] = ()) -> Iterator[Check]:
    """Look at what is optional, but for the trackers that are asked for."""
    from scaling.training.trackers.base import NEEDS

    yield _extra("pyarrow", ["pyarrow"], "parquet")
    yield _extra("transformers", ["transformers", "datasets", "tokenizers"], "hf")
    for name, needs in NEEDS.items():
        yield _extra(name, needs, "trackers", name not in track)


def refuse_broken() -> None:
    """Say why torch cannot be used, where a process that needs it has just failed.

    Raises
    ------
    TrainingError
        SC319 if torch is installed and broken.
    """
    for check in torch_checks():
        if check.name == "torch" and check.code == "SC319":
            raise TrainingError(check.fault())


def _extra(name: str, needs: Sequence[str], extra: str, optional: bool = True) -> Check:
    missing = [package for package in needs if not installed(package)]
    if not missing:
        known = versions(name, f"{name}-skinny")
        return Check(name, known[name] or known[f"{name}-skinny"] or "installed")
    return _absent(name, extra, "" if missing[0] == name else missing[0], optional)


def _absent(name: str, extra: str, missing: str = "", optional: bool = True) -> Check:
    found = f"{missing} is not installed" if missing else "not installed"
    return Check(name, found, "SC001", f"pip install 'scaling-study[{extra}]'", optional)


def broken(name: str, why: str, found: str = "cannot be imported", optional: bool = False) -> Check:
    """Say that a package is there and does not work."""
    both = "torch torchvision"  # each torchvision needs one torch
    mend = f"pip install --force-reinstall {both if name in both else name}"
    spec = find_spec(name)
    if spec is not None and spec.origin is not None and not _of_pip(spec.origin):
        path = Path(spec.origin)
        there = path.parent if path.name == "__init__.py" else path
        mend = f"rename {there} or take it off PYTHONPATH, if it hides what pip has installed"
    return Check(name, f"{found}: {why}", "SC319", mend, optional)


def _of_pip(origin: str) -> bool:
    return bool({"site-packages", "dist-packages"} & set(Path(origin).parts))
