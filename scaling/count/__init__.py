"""Parameters and FLOPs of a model shape, by group and convention, and what devices are rated at.

Without torch.
"""

from scaling.count.capacity import TABLE
from scaling.count.decoder import DECODER, DecoderShape
from scaling.count.encoder import ENCODER, EncoderShape
from scaling.count.family import Counts, Family
from scaling.count.mlp import MLP, MLPShape
from scaling.count.mobilenet import MOBILENET, MobileNetShape
from scaling.count.recommender import RECOMMENDER, RecommenderShape
from scaling.count.registry import FAMILIES, get
from scaling.count.resnet import RESNET, ResNetShape
from scaling.count.rules import Rule
from scaling.count.solve import Size, Sizes, nearest, sizes, solve, solve_dial
from scaling.count.tasks import TASKS, TaskKind
from scaling.count.user import UserFamily
from scaling.count.vgg import VGG, VGGShape
from scaling.count.vit import VIT, ViTShape
from scaling.options import Option

__all__ = [
    "DECODER",
    "ENCODER",
    "FAMILIES",
    "MLP",
    "MOBILENET",
    "RECOMMENDER",
    "RESNET",
    "TABLE",
    "TASKS",
    "VGG",
    "VIT",
    "Counts",
    "DecoderShape",
    "EncoderShape",
    "Family",
    "MLPShape",
    "MobileNetShape",
    "Option",
    "RecommenderShape",
    "ResNetShape",
    "Rule",
    "Size",
    "Sizes",
    "TaskKind",
    "UserFamily",
    "VGGShape",
    "ViTShape",
    "get",
    "nearest",
    "sizes",
    "solve",
    "solve_dial",
]
