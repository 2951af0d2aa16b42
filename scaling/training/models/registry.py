"""From the name of a family and a shape to the model in torch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from torch import nn

from scaling.errors import ConfigError, Fault, clip

# Family to the module of its builder and the builder's name; modules are imported when asked for.
BUILDERS: Mapping[str, tuple[str, str]] = {
    "encoder": ("encoder", "build"),
    "vit": ("images", "vit"),
    "resnet": ("images", "resnet"),
    "vgg": ("images", "vgg"),
    "mobilenet": ("images", "mobilenet"),
    "mlp": ("mlp", "build"),
    "recommender": ("recommender", "build"),
}


def build(family: str, shape: Mapping[str, int], **init: Any) -> nn.Module:
    """Return a model of a family, freshly initialised from torch's generator.

    Parameters
    ----------
    family : str
        A key of `BUILDERS`.
    shape : mapping of str to int
        As ``scaling.count.get(family).shape`` gives it.
    **init
        What the family's builder takes besides.

    Returns
    -------
    nn.Module
        With ``counts(shape).total`` parameters.

    Raises
    ------
    ConfigError
        SC012 for a family that has no model here.
    """
    if family not in BUILDERS:
        expected = "one of " + ", ".join(BUILDERS)
        raise ConfigError(Fault("SC012", "[model] family", f'"{clip(family)}"', expected))
    module, name = BUILDERS[family]
    builder = getattr(importlib.import_module(f"scaling.training.models.{module}"), name)
    model: nn.Module = builder(shape, **init)
    return model
