"""What a stranger's column is, by its name: role, unit, convention, and how sure that is.

The words of a header (see `scaling.runs.words`) are held against what researchers call their
columns, and the role gets points out of 100: 100 for the symbol itself, 90 for a plain name, less
where words narrow the meaning. `detect` picks a role only where one header leads clearly.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from scaling.runs.words import RATES, Words, take_apart

# Words that make a column something else: bounds, spreads, rates, logarithms, predictions.
_NEVER = frozenset(
    "min max upper lower std stdev sd stderr se sem var variance ci lo hi low high approx rounded "
    "ratio rate rank log log10 ln log2 pct percent percentage diff delta gap slope relative rel "
    "norm fit fitted pred predicted prediction forecast expected optimal opt speed throughput mfu "
    "time seconds hours usage utilization scale coef residual per mult".split()
)
_FILLER = frozenset(
    "n num number of count total the a in so far all model full used actual "
    "realized realised".split()
)
_HELDOUT = frozenset("val valid validation eval evaluation test dev heldout held".split())


@dataclass(frozen=True)
class Guess:
    """What one header may be.

    Attributes
    ----------
    header : str
        As the source has it.
    role : str
        Column of the runs table.
    points : int
        How sure, out of 100; below `PICK` it is not picked.
    scale : float
        What the values are multiplied by.
    transform : {"", "ln"}
        What is done to them first.
    unit : str
        Unit after that; the column's own where empty.
    convention : str
        What N counts, by the name; empty where the name does not say.
    part : bool
        Whether it counts only a part of the model, or is no quantity by itself.
    """

    header: str
    role: str
    points: int
    scale: float = 1.0
    transform: str = ""
    unit: str = ""
    convention: str = ""
    part: bool = False


PICK = 60
LEAD = 8


def guesses(header: str) -> list[Guess]:
    """All roles that a header may have, with points."""
    name = take_apart(header)
    if not name.words:
        return []
    found = (_loss(header, name), _parameters(header, name), _data(header, name),
             _compute(header, name), _labels(header, name))  # fmt: skip
    return [guess for guess in found if guess is not None]


# --------------------------------------------------------------------------------------------- N

_OF_SYMBOLS = (1e3, 1e6, 1e9)  # N_B; but N_T is a total, and D_T what is transferred
_NOUNS_N = frozenset("params param parameters parameter nparams nparameters numparams".split())
_TOWERS = frozenset("image text visual vision audio encoder decoder tower teacher student draft "
                    "reference proxy small large base".split())  # fmt: skip
_PARTS = frozenset(
    "embedding embeddings embed emb wte wpe vocab head lm unembed unembedding transformer body "
    "backbone scalars scalar expert experts layer layers block blocks mlp ffn attn attention "
    "value ve router lora adapter shared matrix norm norms bigram".split()
)


def _parameters(header: str, name: Words) -> Guess | None:
    if name.symbol in ("N", "n"):
        return Guess(header, "N", 100 if name.symbol == "N" else 92, name.multiple)
    if name.words == ("n",) and name.multiple in _OF_SYMBOLS:
        return Guess(header, "N", 92, name.multiple)
    if header.strip() in ("Na", "N_a", "N_act"):
        return Guess(header, "N", 84, convention="active")
    words = name.words
    counts = bool(_NOUNS_N.intersection(words)) or words[0] == "n"
    size = set(words) <= {"model", "size", "network"} and len(words) > 1 and "size" in words
    size = size or set(words) == {"modelsize"}
    if not (counts or size) or _NEVER.intersection(words) or RATES & set(words) - _NOUNS_N:
        return None
    convention, rest = _convention(words)
    rest -= _FILLER | _NOUNS_N | {"size", "modelsize", "network", "trainable", "precise", "exact"}
    if words[0] == "n" and not _NOUNS_N.intersection(words) and not convention:
        return None  # n_layers, n_embd, n_heads
    if rest & _PARTS:
        return Guess(header, "N", 40, name.multiple, convention=convention, part=True)
    if rest & _TOWERS:
        return Guess(header, "N", 30, name.multiple)
    if rest & {"budget", "target", "nominal", "planned"}:
        return Guess(header, "N", 55, name.multiple)
    points = 84 if convention and convention != "total" else 88 if size and not counts else 90
    points -= 14 if rest else 0
    return Guess(header, "N", points, name.multiple, convention=convention)


def _convention(words: tuple[str, ...]) -> tuple[str, set[str]]:
    """What the words say about which parameters are counted, and the words that are left."""
    text, rest = " ".join(words), set(words)
    embedding = r"(embeddings?|embed|emb|embd|embds|vocab|vocabulary)"
    if re.search(rf"\b(non|no|not|without|w o|wo|excl|excluding|minus) {embedding}\b", text) or (
        rest & {"nonembedding", "nonemb", "noembed", "noemb"}
    ):
        gone = "non no not without w o wo excl excluding minus embedding embeddings embed emb embd "
        gone += "embds nonembedding nonemb noembed noemb vocab vocabulary"
        return "without embeddings", rest - set(gone.split())
    if re.search(rf"\b(w|with|incl|including) {embedding}\b", text):
        gone = "w with incl including embedding embeddings embed emb embd embds"
        return "with embeddings", rest - set(gone.split())
    if rest & {"active", "activated"}:
        return "active", rest - {"active", "activated"}
    if "total" in rest:
        return "total", rest - {"total"}
    return "", rest


# --------------------------------------------------------------------------------------------- D

_NOUNS_D = frozenset("tokens token samples sample examples example datapoints images pairs "
                     "ntokens numtokens characters chars".split())  # fmt: skip
_SEEN = frozenset("seen trained train training processed consumed pretraining pretrain pre "
                  "input ingested cumulative observed".split())  # fmt: skip
_NOT_SEEN = frozenset(
    "batch context window vocab warmup epoch special generated prompt step micro global "
    "sequence length world active dropped masked tokenizer tokenizers few shot prompts evaluated "
    "scored visual".split()
)


def _data(header: str, name: Words) -> Guess | None:
    if name.symbol in ("D", "d"):
        return Guess(header, "D", 100 if name.symbol == "D" else 92, name.multiple)
    if name.words == ("d",) and name.multiple in _OF_SYMBOLS:
        return Guess(header, "D", 92, name.multiple)
    words = set(name.words)
    if _NEVER & words or _NOT_SEEN & words or _HELDOUT & words:
        return None
    if words & {"gb", "tb", "mb", "bytes", "gib", "tib"}:
        return None
    nouns = words & _NOUNS_D
    size = {"data", "size"} <= words
    if words & {"unique", "distinct"} and (nouns or words & {"data"}):
        return Guess(header, "D_unique", 90, name.multiple)
    if words & {"dataset", "corpus"} and words & {"size", "tokens"}:
        return Guess(header, "D_unique", 78, name.multiple)  # how often it was seen is not said
    if not nouns and not size:
        return None
    rest = words - _NOUNS_D - _SEEN - _FILLER - {"d", "data", "dataset", "corpus", "size", "path"}
    if rest & {"budget", "target", "planned", "nominal"}:
        return Guess(header, "D", 55, name.multiple)  # not what was seen
    counted = {"tokens", "ntokens", "numtokens", "characters", "chars"}
    known = bool(words & counted) or bool(words & _SEEN)
    points = 90 if nouns and known else 82 if size or "datapoints" in words else 58
    if {"token", "sample", "example"} >= nouns and nouns and not words & _FILLER:
        points = 30  # a single token is a text, not a count
    return Guess(header, "D", points - (32 if rest else 0), name.multiple)


# --------------------------------------------------------------------------------------------- C

_WHOLE = frozenset("total train training trained pretraining cumulative budget used seen actual "
                   "realized realised consumed".split())  # fmt: skip
_NOT_TRAINING = frozenset(
    "forward fwd inference peak achieved hardware token sample attn attention step batch gpu "
    "device promised bf16 fp16 fp8 embedding iter".split()
)


def _factor(name: Words) -> float:
    """FLOP that one unit of the column is worth: a unit of compute times a multiple of it."""
    return (name.compute or 1.0) * name.multiple


def _compute(header: str, name: Words) -> Guess | None:
    if name.symbol in ("C", "c"):
        return Guess(header, "C", 100 if name.symbol == "C" else 92, _factor(name))
    words = set(name.words)
    if name.words[0] == "c" and len(words) > 1 and _convention(name.words)[0]:
        return Guess(header, "C", 84, name.multiple, convention=_convention(name.words)[0])
    if name.words[:1] == ("c",) and "".join(name.words[1:]) == "6nd":
        return Guess(header, "C", 75, unit="FLOP, 6 N D")
    if "budget" in words and words <= {"budget", "compute", "flop", "isoflop", "isoflops", "c"}:
        return Guess(header, "budget", 90, _factor(name))
    if not ("flop" in words or "compute" in words) or _NEVER & words or _NOT_TRAINING & words:
        return None
    factor = _factor(name)
    if words & {"target", "planned", "nominal"}:
        return Guess(header, "budget", 80, factor)
    rest = words - _WHOLE - _FILLER - {"c", "flop", "compute", "model", "est", "estimated", "6nd"}
    whole = bool(words & _WHOLE)
    points = 90 if whole or factor == 1.0 else 85 if factor >= 1e18 else 45
    if "flop" not in words:
        points = 84 if whole else 80
    if name.macs:
        points = 85 if whole else 45  # MACs alone are those of one example
    unit = "FLOP, 2 a MAC" if name.macs else "FLOP"
    return Guess(header, "C", points - (32 if rest else 0), factor, unit=unit)


# ------------------------------------------------------------------------------------------ loss

_AUXILIARY = frozenset(
    "aux auxiliary router routing balance balancing load kl commitment regularization reg grad "
    "gradient gradients scaler count lossless delta mse mae distill distillation "
    "weight weights z zloss reward policy value q penalty entropyloss dropout tolerance "
    "packet".split()
)
_NOT_THE_LOSS = frozenset(
    "reduction improvement excess irreducible reducible initial init first target sqrt exp".split()
)
_LOSS_NOUNS = frozenset("loss losses nll xent crossentropy ce logloss".split())
_LOSS_ANY = _LOSS_NOUNS | {"perplexity", "ppl", "bpb", "bpc", "entropy", "bits"}


def _loss(header: str, name: Words) -> Guess | None:
    if name.symbol in ("L", "l"):
        return Guess(header, "loss", 96 if name.symbol == "L" else 90)
    words, around = set(name.words), set(name.words) | set(name.context)
    if words & {"log", "ln"} and words & {"loss", "perplexity", "ppl", "likelihood"}:
        if "loss" in words and name.words[-2:] != ("log", "loss"):
            return None  # the logarithm of a loss, not a log-loss
        words = words - {"log", "ln"} | {"loss"}  # log-loss and log-perplexity are losses
        around = words | set(name.context)
        if "negative" not in around and "likelihood" in words:
            return None
        words -= {"perplexity", "ppl", "likelihood"}
    if not words & _LOSS_ANY and set(name.context) & _LOSS_ANY:
        words = around  # loss/val, eval/ppl/c4
    joined = "_".join(name.words)
    bits = bool(words & {"bpb", "bpc", "bpt", "bits"})
    perplexity = bool(words & {"perplexity", "ppl"})
    entropy = "cross_entropy" in joined
    plain = bool(words & _LOSS_NOUNS) or entropy
    bits = bits and (plain or "bits" not in words or "per" in words)
    if not (bits or perplexity or plain):
        return None
    checked = words - ({"per"} if bits or "per_token" in joined or "per_byte" in joined else set())
    if (checked & (_NEVER - {"low"})) | (words & (_AUXILIARY | _NOT_THE_LOSS)):
        return None
    points = 100 if joined == "loss" and not name.context else _loss_points(words, around)
    if bits:
        per = "byte" if words & {"bpb", "byte", "bytes"} else "token"
        per = "character" if words & {"bpc", "character", "char"} else per
        unit = f"nats per {per}"
        return Guess(header, "loss", min(points, 92) - 12, math.log(2.0), "", unit)
    if perplexity and not plain:
        return Guess(header, "loss", min(points, 92) - 12, 1.0, "ln")
    ends = {
        "byte": "nats per byte",
        "char": "nats per character",
        "character": "nats per character",
    }
    unit = next((said for word, said in ends.items() if word in words), "")
    return Guess(header, "loss", points, unit=unit)


def _loss_points(words: set[str], around: set[str]) -> int:
    """Held-out losses before final and named ones, and those before training losses."""
    rest = words - _LOSS_NOUNS - _HELDOUT - {"cross", "entropy", "bits", "perplexity", "ppl", "bpb",
                                             "per", "token", "byte"}  # fmt: skip
    if around & {"train", "training"} and not around & _HELDOUT:
        return 66
    if around & {"hparam", "hparams"}:  # a copy that a tracker keeps beside the settings
        return 70
    if around & _HELDOUT:
        return 92 if rest <= {"final", "last", "end", "mean", "avg", "average"} else 86
    if rest <= {"final", "last", "end", "smooth", "smoothed", "mean", "avg", "average", "model"}:
        return 90
    return 80


# ---------------------------------------------------------------------------------------- labels

_LABELS: dict[str, tuple[str, int]] = {
    "run": ("run", 90), "run id": ("run", 95), "run uid": ("run", 95), "point id": ("run", 92),
    "id": ("run", 84), "uid": ("run", 84), "uuid": ("run", 84), "run name": ("run", 80),
    "name": ("run", 76), "model name": ("run", 66), "experiment id": ("run", 66),
    "run uuid": ("run", 95),
    "group": ("group", 100), "recipe": ("group", 90), "experiment": ("group", 84),
    "experiment name": ("group", 80), "setup": ("group", 80), "sweep": ("group", 76),
    "seed": ("seed", 100), "random seed": ("seed", 92), "rng seed": ("seed", 92),
    "model seed": ("seed", 80), "data seed": ("seed", 80), "init seed": ("seed", 80),
    "step": ("steps", 96), "steps": ("steps", 96), "global step": ("steps", 95),
    "train steps": ("steps", 90), "training steps": ("steps", 90), "num steps": ("steps", 90),
    "n steps": ("steps", 90), "total steps": ("steps", 90), "num iterations": ("steps", 90),
    "iteration": ("steps", 90), "iterations": ("steps", 90), "iter": ("steps", 90),
    "iters": ("steps", 90), "trainer global step": ("steps", 95), "checkpoint": ("steps", 62),
    "epochs": ("epochs", 92), "num epochs": ("epochs", 90), "n epochs": ("epochs", 90),
    "lr": ("lr", 92), "learning rate": ("lr", 92), "peak lr": ("lr", 92), "max lr": ("lr", 90),
    "status": ("status", 92), "state": ("status", 84), "run state": ("status", 90),
}  # fmt: skip


def _labels(header: str, name: Words) -> Guess | None:
    found = _LABELS.get(" ".join(name.words))
    if found is None or name.multiple != 1.0:
        return None
    role, points = found
    return Guess(header, role, points - (4 if name.context else 0))
