"""Parameters and FLOPs of a model shape, by group and convention, without torch."""

from scaling.count.decoder import DECODER, DecoderShape
from scaling.count.family import FAMILIES, Counts, Family, get, solve_dial

__all__ = ["DECODER", "FAMILIES", "Counts", "DecoderShape", "Family", "get", "solve_dial"]
