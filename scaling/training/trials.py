"""What a measured trial decides: whether compiling a pass pays, and whether stacking points does.

A choice is made once for a shape and kept in the sweep folder, so that every point of the shape
and every restart is trained in the same way. A trial takes steps on a copy of the state and puts
it back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from scaling.errors import Fault, TrainingError
from scaling.runs.files import canonical_json, commit_once, sha256_text
from scaling.training.loop import NeedsSmaller, TooBig, is_memory_error, shrink, take
from scaling.training.trainer import Trainer

WARM_UP = 3  # steps that are not timed
LEAST_STEPS = 10
SECONDS = 0.5  # of timed steps
WORTH = 120.0  # seconds of training below which no compiler is tried
GAIN = 0.97  # a choice must save 3%, or it is noise
MODES = {"inductor": "default", "graphs": "reduce-overhead"}

_compiled_for: list[str] = []  # what the compiled code of this process belongs to
_short: dict[str, float] = {}  # seconds of an eager step, of shapes not worth a trial


def settle(trainer: Trainer, out: Path, horizon: Callable[[], int]) -> None:
    """Compile the pass of a trainer, if that was asked for or if a trial finds that it pays.

    Parameters
    ----------
    trainer : Trainer
    out : Path
        Sweep folder, which keeps what trials found.
    horizon : callable
        Asked for the steps that will be taken at this shape, if a trial is due.

    Raises
    ------
    TrainingError
        SC311 if the pass cannot be compiled although that was asked for.
    """
    wish = trainer.setup.compile
    if wish in MODES:
        began = time.monotonic()
        try:
            use(trainer, wish)
            _dry(trainer, 1)
        except (TooBig, NeedsSmaller):
            raise
        except Exception as error:
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise TrainingError(
                Fault("SC311", "[engine] compile", f'"{wish}": {said[0][:120]}', mend='"off"')
            ) from error
        trainer.effort.compile += time.monotonic() - began
    elif trainer.setup.tries(trainer.device) and trainer.ranks == 1:  # clocks of ranks differ
        began = time.monotonic()
        found = _kept(_file(out, "compile", trainer)) or _try(trainer, out, horizon())
        use(trainer, found["choice"])
        if trainer.compiled is not None:
            _dry(trainer, 1)  # so that compiling is not taken for training
        trainer.effort.compile += time.monotonic() - began


def use(trainer: Trainer, choice: str) -> None:
    """Let the passes of a trainer run as a choice says."""
    if choice == "off":
        trainer.compiled, trainer.passed = None, trainer.eager
        if _compiled_for:  # graphs would keep their memory
            torch.compiler.reset()
            _compiled_for.clear()
            if trainer.device.type == "cuda":
                torch.cuda.empty_cache()
        return
    key = _key(trainer) + choice
    if _compiled_for != [key]:  # another shape: code for both would be slow code for any shape
        torch.compiler.reset()
        _compiled_for[:] = [key]
    compiled = torch.compile(trainer.function, mode=MODES[choice], dynamic=False)
    trainer.compiled, trainer.passed = choice, partial(compiled, trainer.called)


def _try(trainer: Trainer, out: Path, horizon: int) -> dict[str, Any]:
    """Time the ways to run a pass, and keep the one that ends first."""
    key = _key(trainer)
    eager = _short.get(key) or _seconds(trainer)  # once a process, not at every short point
    if eager * horizon < WORTH:
        _short[key] = eager
        return {"choice": "off"}
    found: dict[str, Any] = {"horizon": horizon, "seconds": {"off": eager}, "compile": {}}
    best, least = "off", eager * horizon * GAIN
    for choice in MODES if trainer.device.type == "cuda" else ("inductor",):
        began, micro = time.monotonic(), trainer.micro
        try:
            use(trainer, choice)
            _dry(trainer, 1)
            spent = time.monotonic() - began
            each = _seconds(trainer)
        except Exception as error:  # noqa: BLE001 - a compiler that fails is not used
            found.setdefault("failed", {})[choice] = str(error).strip()[:200]
            take(trainer, micro)
            continue
        if trainer.micro != micro:  # it needs more memory: passes would not be the same
            found.setdefault("failed", {})[choice] = "needs smaller passes"
            take(trainer, micro)
            continue
        found["seconds"][choice], found["compile"][choice] = each, spent
        if spent + each * horizon < least:
            best, least = choice, spent + each * horizon
    found["choice"] = best
    return _keep(_file(out, "compile", trainer), found)


def stack_pays(one: Trainer, several: Trainer, out: Path) -> bool:
    """Whether a stack takes its steps sooner than its points would one after another."""
    path = _file(out, "stack", several)
    found = _kept(path)
    if found is None:
        alone, together = _seconds(one), _seconds(several)
        pays = together < GAIN * alone * len(several.points)
        seconds = {"alone": alone, "stacked": together, "points": len(several.points)}
        found = _keep(path, {"choice": pays, "seconds": seconds})
    return bool(found["choice"])


def _seconds(trainer: Trainer) -> float:
    """Seconds of a step, on a copy of the state."""
    return _dry(trainer, None)


def _dry(trainer: Trainer, steps: int | None) -> float:
    """Take steps and put the state back; return the seconds of one, the first few left out."""
    kept = trainer.snapshot(), trainer.effort.active
    try:
        if steps is not None:
            _steps(trainer, steps)
            return 0.0
        _steps(trainer, WARM_UP)
        began, count = _now(trainer), 0
        while count < LEAST_STEPS or time.monotonic() - began < SECONDS:
            _steps(trainer, 1)
            count += 1
        return (_now(trainer) - began) / count
    finally:
        trainer.restore(kept[0])
        trainer.effort.active = kept[1]


def _steps(trainer: Trainer, count: int) -> None:
    while count:
        try:
            trainer.train_step()
            count -= 1
        except RuntimeError as error:
            if not is_memory_error(error):
                raise
            shrink(trainer)


def _now(trainer: Trainer) -> float:
    if trainer.device.type == "cuda":
        torch.cuda.synchronize(trainer.device)
    return time.monotonic()


# -------------------------------------------------------------------------------------- on disk


def _key(trainer: Trainer) -> str:
    point, cuda = trainer.point, trainer.device.type == "cuda"
    name = torch.cuda.get_device_name(trainer.device) if cuda else "cpu"
    conditions = [name, torch.__version__, str(trainer.dtype), trainer.ranks, len(trainer.points)]
    return canonical_json([point["shape"], point["sequences"], *conditions])


def _file(out: Path, kind: str, trainer: Trainer) -> Path:
    return out / "trials" / f"{kind}-{sha256_text(_key(trainer))[:16]}.json"


def _kept(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "choice" in found else None


def _keep(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Keep a finding, unless another process has kept its own meanwhile: then that one holds."""
    commit_once(path, json.dumps(found, indent=1) + "\n")
    return _kept(path) or found
