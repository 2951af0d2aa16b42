"""Models of Hugging Face transformers, from their configuration class alone, scaled by one dial.

``[model] family = "hf:gpt2"`` names a model type of `transformers.AutoConfig`; the dial is its
hidden size. Weights are random: nothing is downloaded, and no checkpoint is read.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from scaling.count.tasks import HF
from scaling.errors import ConfigError, Fault, MissingExtraError, clip
from scaling.options import Option, read, whole
from scaling.training.counting import count_made
from scaling.training.installation import installed
from scaling.training.vision import torchvision

MORE_POSITIONS = 8  # some types begin to count positions after a few that are reserved
OPTIONS = (
    Option("context", "integer", 32, "length T of a sequence [tokens]"),
    Option("layers", "integer", 2, "depth", high=10_000),
    Option("head_width", "integer", 16, "heads are this wide; it divides every dial", high=65_536),
    Option("ffn_ratio", "number", 4, "feed-forward width over width", low=0.01, high=1000),
)
FFN = ("intermediate_size", "n_inner", "ffn_dim")  # its name differs from type to type


class Logits(nn.Module):
    """A model of transformers as a map from tokens to logits."""

    def __init__(self, model: nn.Module, causal: bool) -> None:
        super().__init__()
        self.model, self.causal = model, causal

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V)."""
        try:
            logits: Tensor = self.model(input_ids=tokens).logits
        except RuntimeError:
            if not tokens.is_meta or not self.causal:
                raise
            # Most types look at the values of tokens before any block, unless a mask is given.
            length = tokens.shape[1]
            mask = torch.zeros((1, 1, length, length), device="meta")
            logits = self.model(input_ids=tokens, attention_mask=mask).logits
        return logits


def count_config(
    family: str, options: Mapping[str, Any], vocabulary: int, task: str
) -> dict[str, Any]:
    """Count the models of a type at each value of the dial, on torch's meta device.

    Parameters
    ----------
    family : str
        ``hf:`` and a model type of transformers.
    options : mapping
        ``dials``, a list of hidden sizes, and `OPTIONS`.
    vocabulary : int
        V, what the task adds included.
    task : str
        ``text`` or ``masked``.

    Returns
    -------
    dict
        As `scaling.training.counting.count_made` returns it; each row with its ``shape``.

    Raises
    ------
    ConfigError
        SC011 or SC012 for options, SC005 for a type that is not known, SC240 for one that cannot be
        built or called so.
    """
    own = {k: v for k, v in options.items() if k != "dials"}
    chosen = read(OPTIONS, whole(OPTIONS, own), "[model.options]", f'family "{family}"')
    dials = options.get("dials")
    head = chosen["head_width"]
    for dial in dials if isinstance(dials, list) else []:
        if isinstance(dial, int) and dial % head:
            found, expected = str(dial), f"multiples of head_width = {head}"
            raise ConfigError(Fault("SC012", "[model.options] dials", found, expected))
    _config_class(family)

    def shape(dial: int) -> dict[str, int]:
        return {
            "vocabulary": vocabulary, "context": chosen["context"], "layers": chosen["layers"],
            "width": dial, "heads": dial // head, "ffn": max(1, round(dial * chosen["ffn_ratio"])),
        }  # fmt: skip

    def make(dial: int) -> tuple[nn.Module, Tensor]:
        tokens = torch.zeros((1, chosen["context"]), dtype=torch.long)
        return build(family, shape(dial), task), tokens

    asked = {"dials": dials} if dials is not None else {}
    asked |= {"unit": "token", "per_sequence": chosen["context"]}
    if isinstance(dials, list) and dials:
        asked["head"] = _head(make, dials[0])
    counted = count_made(make, family, asked)
    rows = [{**row, "shape": shape(row["dial"])} for row in counted["sizes"]]
    return {**counted, "sizes": rows}


def build(family: str, shape: Mapping[str, int], task: str, dropout: float = 0.0) -> Logits:
    """Build a model from torch's global generator.

    It starts as its own configuration says; every rate of dropout is `dropout`.

    Parameters
    ----------
    family : str
    shape : mapping
        ``vocabulary, context, layers, width, heads, ffn``.
    task : str
        ``text`` for a causal model, ``masked`` for one with a head for masked tokens.
    dropout : float
    """
    transformers = _library()
    config = configured(family, shape, dropout)
    causal = task == "text"
    auto = transformers.AutoModelForCausalLM if causal else transformers.AutoModelForMaskedLM
    return Logits(auto.from_config(config, attn_implementation="sdpa"), causal)


def configured(family: str, shape: Mapping[str, int], dropout: float) -> Any:
    """Configuration of a type at a shape; what the shape does not say is the type's default."""
    known = _config_class(family)()
    wanted = {
        "vocab_size": shape["vocabulary"],
        "hidden_size": shape["width"],
        "word_embed_proj_dim": shape["width"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["heads"],
        "head_dim": shape["width"] // shape["heads"],
        "max_position_embeddings": shape["context"] + MORE_POSITIONS,
        **dict.fromkeys(FFN, shape["ffn"]),
        **{name: dropout for name, value in known.to_dict().items()
           if "drop" in name and isinstance(value, float) and name != "layerdrop"},
        "layerdrop": 0.0,
        "use_cache": False,
    }  # fmt: skip
    own = {name: value for name, value in wanted.items() if hasattr(known, name)}
    # Ids of special tokens belong to another vocabulary; padding would also freeze an embedding.
    return type(known)(**own, bos_token_id=None, eos_token_id=None, pad_token_id=None)


def _head(make: Any, dial: int) -> str:
    """Name of the layer that gives the logits."""
    try:
        with torch.device("meta"):
            model = make(dial)[0]
        out = model.model.get_output_embeddings()
        return str(next(name for name, layer in model.named_modules() if layer is out))
    except Exception:  # noqa: BLE001 - counting says what is wrong
        return ""


def _config_class(family: str) -> Any:
    known, name = _library().models.auto.configuration_auto.CONFIG_MAPPING, family[len(HF) :]
    if name not in known:
        expected = "a model type of transformers, such as gpt2, llama or bert"
        raise ConfigError(Fault("SC005", "[model] family", f'"{clip(family)}"', expected))
    return known[name]


def _library() -> Any:
    if not installed("transformers"):
        raise MissingExtraError.of("transformers", "hf", "build a model of Hugging Face")
    torchvision()  # transformers imports it, and may need its schemas
    library: Any = importlib.import_module("transformers")
    library.logging.set_verbosity_error()
    return library
