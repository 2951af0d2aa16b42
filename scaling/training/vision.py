"""torchvision, imported on demand, also where its compiled operators cannot be loaded.

A torchvision built for CUDA does not load its operators beside a torch for the CPU, and then fails
while it is imported, as it describes two operators that are not there. With their schemas declared
it imports; its models, transforms and data sets need neither of them.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any

from scaling.errors import MissingExtraError, TrainingError
from scaling.training.installation import broken, installed

MISSING = "operator torchvision::nms does not exist"
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@lru_cache(maxsize=1)
def torchvision() -> Any:
    """Return torchvision with its ``models``, ``datasets`` and ``transforms.v2``.

    No other module imports it.

    Raises
    ------
    MissingExtraError
        SC001 if torch or torchvision is not installed.
    TrainingError
        SC319 if it is installed and cannot be imported, for any reason but that its operators
        are missing.
    """
    for package in ("torch", "torchvision"):
        if not installed(package):
            raise MissingExtraError.of(package, "train", "train on images")
    try:
        found = load()
        importlib.import_module("torchvision.transforms.v2")
        return found
    except Exception as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        check = broken("torchvision", f"{type(error).__name__}: {why}")
        raise TrainingError(check.fault()) from error


def load() -> Any:
    """Import torchvision and let errors pass, but for the one that two schemas mend."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if str(error) != MISSING:
            raise
    _declare()
    return importlib.import_module("torchvision")


@lru_cache(maxsize=1)
def _declare() -> Any:
    """Declare the schemas; they last as long as the library that is returned, which is kept."""
    from torch.library import Library

    library = Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in SCHEMAS:
        library.define(schema)  # type: ignore[no-untyped-call]
    return library
