"""The families that come with the package, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from scaling.count.capacity import TABLE
from scaling.count.decoder import DECODER
from scaling.count.encoder import ENCODER
from scaling.count.family import Family
from scaling.count.mlp import MLP
from scaling.count.mobilenet import MOBILENET
from scaling.count.recommender import RECOMMENDER
from scaling.count.resnet import RESNET
from scaling.count.vgg import VGG
from scaling.count.vit import VIT
from scaling.errors import ConfigError, Fault, clip

_KNOWN: tuple[Family, ...] = (
    DECODER, ENCODER, VIT, RESNET, VGG, MOBILENET, MLP, RECOMMENDER, TABLE,
)  # fmt: skip
FAMILIES: Mapping[str, Family] = MappingProxyType({family.name: family for family in _KNOWN})


def get(name: str) -> Family:
    """Return the family called `name`.

    Raises
    ------
    ConfigError
        SC012 with the known names.
    """
    if name not in FAMILIES:
        expected = "one of " + ", ".join(FAMILIES)
        raise ConfigError(Fault("SC012", "[model] family", f'"{clip(name)}"', expected))
    return FAMILIES[name]
