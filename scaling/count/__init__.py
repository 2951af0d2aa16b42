"""Parameters and FLOPs of a model shape, by group and convention, and what devices are rated at.

Without torch.
"""

from scaling.count.decoder import DECODER, DecoderShape
from scaling.count.encoder import ENCODER, EncoderShape
from scaling.count.family import Counts, Family
from scaling.count.registry import FAMILIES, get
from scaling.count.resnet import RESNET, ResNetShape
from scaling.count.rules import Rule
from scaling.count.solve import Size, Sizes, nearest, sizes, solve, solve_dial, unmet
from scaling.count.tasks import TASKS, TaskKind
from scaling.count.user import UserFamily
from scaling.count.vit import VIT, ViTShape
from scaling.options import Option

__all__ = [
    "DECODER",
    "ENCODER",
    "FAMILIES",
    "RESNET",
    "TASKS",
    "VIT",
    "Counts",
    "DecoderShape",
    "EncoderShape",
    "Family",
    "Option",
    "ResNetShape",
    "Rule",
    "Size",
    "Sizes",
    "TaskKind",
    "UserFamily",
    "ViTShape",
    "get",
    "nearest",
    "sizes",
    "solve",
    "solve_dial",
    "unmet",
]
