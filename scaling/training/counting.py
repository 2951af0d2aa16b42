"""Counting a user's own model, without allocating it: torch's meta device and its FLOP counter.

A user names ``module:function``. The function takes a value of the dial and returns the model and
the inputs of one sequence (or example); ``example`` below is all that is needed::

    def make(width):
        model = torch.nn.Sequential(torch.nn.Linear(784, width), torch.nn.Linear(width, 10))
        return model, torch.zeros(1, 784)
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from scaling.errors import ConfigError, Fault

MOST = 10_000
OPTIONS = ("dials", "head", "unit", "per_sequence")


def count_models(name: str, options: Mapping[str, Any], base: Path | None = None) -> dict[str, Any]:
    """Count the model that ``module:function`` makes at each value of its dial; see `count_made`.

    The module is looked for in `base` too.
    """
    _check(options)
    return count_made(_function(name, base), name, options)


def count_made(make: Callable[[int], Any], name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Count the model that a function makes at each value of its dial.

    Parameters
    ----------
    make : callable
        Gives the model of a dial and the inputs of one sequence (or example).
    name : str
        How it is called in plans.
    options : mapping
        ``dials`` (list of int, needed), ``head`` (name of the output layer; its parameters are
        N_head), ``unit`` (``token`` or ``example``), ``per_sequence`` (units of D in one input).
    base : Path, optional

    Returns
    -------
    dict
        ``name, unit, per_sequence, sizes``: a row of counts for each dial. Parameters of
        `torch.nn.Embedding` are embeddings; the forward pass is counted as torch counts it, with
        attention by its products.

    Raises
    ------
    ConfigError
        SC011 or SC012 for options, SC005 for a function that is not there, SC240 for one that
        does not return what it should.
    """
    dials = _check(options)
    head, unit = str(options.get("head", "")), str(options.get("unit", "example"))
    if unit == "token" and "per_sequence" not in options:
        where = "[model.options] per_sequence"
        expected = "how many tokens the inputs of one sequence hold"
        raise ConfigError(Fault("SC012", where, "missing; D counts tokens", expected))
    per_sequence = options.get("per_sequence", 1)
    if not isinstance(per_sequence, int) or isinstance(per_sequence, bool) or per_sequence < 1:
        where, found = "[model.options] per_sequence", repr(per_sequence)[:40]
        raise ConfigError(Fault("SC012", where, found, "a whole number from 1"))
    rows = [_row(make, name, dial, head, per_sequence) for dial in dials]
    return {"name": name, "unit": unit, "per_sequence": per_sequence, "sizes": rows}


def _check(options: Mapping[str, Any]) -> list[int]:
    """Refuse options that are not known; return the dials."""
    unknown = [key for key in options if key not in OPTIONS]
    if unknown:
        where = f"[model.options] {unknown[0]}"
        raise ConfigError(Fault("SC011", where, "unknown", ", ".join(OPTIONS)))
    given = options.get("dials")
    dials = given if isinstance(given, list) else []
    sound = 0 < len(dials) <= MOST
    if not sound or not all(isinstance(d, int) and not isinstance(d, bool) for d in dials):
        found = "missing" if given is None else repr(given)[:40]
        raise ConfigError(
            Fault("SC012", "[model.options] dials", found, "a list of whole numbers, one a size")
        )
    return dials


def _function(name: str, base: Path | None) -> Callable[[int], Any]:
    module, _, function = name.partition(":")
    folder = str((base or Path()).resolve())
    sys.path.insert(0, folder)
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # noqa: BLE001 - importing runs the user's own code
        found = f"{name}: {error.__class__.__name__}: {error}"
        raise ConfigError(
            Fault("SC005", "[model] family", found, "module:function of your own")
        ) from None
    finally:
        sys.path.remove(folder)
    if not callable(found):
        raise ConfigError(Fault("SC005", "[model] family", f"{name} is not a function"))
    return found  # type: ignore[no-any-return]


def _row(
    make: Callable[[int], Any], name: str, dial: int, head: str, per_sequence: int
) -> dict[str, Any]:
    """Parameters by part, and FLOP of one forward pass over one sequence."""
    where = f"{name}({dial})"
    try:
        with torch.device("meta"):
            model, inputs = make(dial)
        several = inputs if isinstance(inputs, tuple) else (inputs,)
        model = model.to("meta").eval()
        moved = [x.to("meta") for x in several]
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            model(*moved)
    except Exception as error:  # noqa: BLE001 - whatever a user's function raises is told
        raise ConfigError(
            Fault(
                "SC240",
                where,
                f"{error.__class__.__name__}: {error}",
                "a function that returns a torch module and the inputs of one sequence",
            )
        ) from None
    groups = {"body": 0, "head": 0, "embedding": 0}
    layers = dict(model.named_modules())
    if head and head not in layers:
        known = ", ".join(list(layers)[1:9])
        raise ConfigError(Fault("SC012", "[model.options] head", f'"{head}"', f"one of {known}, …"))
    kept = {id(p) for p in layers[head].parameters()} if head else set()
    tables = {
        id(p) for layer in layers.values() if isinstance(layer, nn.Embedding)
        for p in layer.parameters()
    }  # fmt: skip
    for parameter in model.parameters():
        key = id(parameter)
        part = "head" if key in kept else "embedding" if key in tables else "body"
        groups[part] += parameter.numel()
    return {"dial": dial, **groups, "forward": counter.get_total_flops() / per_sequence}
