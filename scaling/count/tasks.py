"""What planning needs to know of a task: which data it reads and which families it trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from scaling.errors import Fault, listed
from scaling.options import Option

# The keys of the decoder's shape that are trained; a shape with more is counted alone.
DECODER = frozenset({"vocabulary", "context", "layers", "width", "heads", "ffn"})


@dataclass(frozen=True)
class TaskKind:
    """A task without its training.

    Attributes
    ----------
    name : str
        Name in study files.
    reads : tuple of str
        Kinds of data source; see `scaling.runs.sources.base.Source`.
    families : tuple of str
        Families whose shapes it trains.
    options : tuple of Option
        What ``[task]`` of a study may set.
    more : int
        Values of a token that the task adds to those of the data, such as a mask.
    computed : bool
        Whether losses are computed, so that no recipe has a part in them.
    """

    name: str
    reads: tuple[str, ...]
    families: tuple[str, ...]
    options: tuple[Option, ...] = ()
    more: int = 0
    computed: bool = False


AUGMENT = (
    Option("augment", "choice", "none", "what is done to training images",
           choices=("none", "crop-flip", "randaugment", "mixup")),
    Option("crops", "switch", True, "randaugment and mixup come after crops and flips"),
    Option("padding", "integer", 4, "largest shift of a crop [pixels]", 0, 64),
    Option("flips", "switch", True, "half of the images are mirrored"),
    Option("operations", "integer", 2, "of randaugment on each image", 1, 14),
    Option("magnitude", "integer", 9, "of randaugment", 0, 30),
    Option("alpha", "number", 0.2, "of mixup: shares are drawn from Beta(alpha, alpha)", 0.01, 100),
)  # fmt: skip
IMAGES = ("vit", "resnet", "vgg", "mobilenet")
BATCH_NORM = ("resnet", "vgg", "mobilenet")  # images of a batch see each other
MASKED = (
    Option("share", "number", 0.15, "share of the positions of a window that are chosen, and "
           "predicted", low=0.001, high=1),
    Option("masked", "number", 0.8, "share of the chosen that the mask replaces", low=0, high=1),
    Option("random", "number", 0.1, "share of the chosen that a random token replaces", low=0,
           high=1),
)  # fmt: skip
RECOMMENDATION = (
    Option("target", "choice", "implicit", "whether (nats), or how much (squared error)",
           choices=("implicit", "rating")),
    Option("positive", "number", 0.5, "ratings from which on an example is a positive",
           low=-1e6, high=1e6),
    Option("negatives", "integer", 0, "drawn for each example; 0 where the data hold both",
           low=0, high=1000),
    Option("drawn", "choice", "uniform", "how negatives are drawn from the items of training",
           choices=("uniform", "popular")),
    Option("order", "choice", "shuffled", "order of the examples of the training period",
           choices=("shuffled", "time")),
)  # fmt: skip

_KNOWN = (
    TaskKind("text", ("tokens",), ("decoder",)),
    TaskKind("masked", ("tokens",), ("encoder",), MASKED, more=1),
    TaskKind("classify", ("labelled",), ("encoder",), more=1),
    TaskKind("truth", ("truth",), ("table",), computed=True),
    TaskKind("examples", ("examples",), ("mlp",)),
    TaskKind("images", ("images",), IMAGES, AUGMENT),
    TaskKind("recommendation", ("ratings",), ("recommender",), RECOMMENDATION),
)
TASKS: Mapping[str, TaskKind] = MappingProxyType({task.name: task for task in _KNOWN})
HF = "hf:"  # begins the family of a model type of Hugging Face transformers
LANGUAGE = ("text", "masked")  # tasks that train such a family
EXTERNAL = "external"  # the source of data that another trainer reads


def foreign(task: str) -> bool:
    """Whether a task is not one of ours: a user's ``module:class``, or another package's."""
    return task not in TASKS


def untrained(point: Mapping[str, Any]) -> Fault | None:
    """Say why a planned point cannot be trained here; None if it can.

    Parameters
    ----------
    point : mapping
        A line of ``plan.jsonl``.
    """
    mend = "train the points of plan.jsonl with your own program and fit its results"
    where, task, family = f"point {point['id']}", str(point["task"]), str(point["family"])
    extra = sorted(set(point["shape"]) - DECODER) if family == "decoder" else []
    shown = f"family {family}" + (f" with {', '.join(extra)}" if extra else "")
    if point["data"]["source"] == EXTERNAL:
        expected = "a source that is read here: `scaling data sources` lists them"
        return Fault("SC308", where, f'"external" data for {shown}', expected, mend)
    if foreign(task):
        return None
    if extra:
        expected = "a decoder of " + ", ".join(sorted(DECODER))
        return Fault("SC308", where, shown, expected, mend)
    if family.startswith(HF) and task in LANGUAGE:
        return None
    if family not in TASKS[task].families:
        expected = f"{listed(TASKS[task].families)}, which task {task} trains"
        return Fault("SC308", where, shown, expected, mend)
    return None
