"""What can be fitted: laws as declarations, their catalogue and published values."""

from scaling.laws.catalogue import LAWS, PROCEDURES, default_for, get, installed
from scaling.laws.law import Frontier, Law, Parameter, Published

__all__ = [
    "LAWS",
    "PROCEDURES",
    "Frontier",
    "Law",
    "Parameter",
    "Published",
    "default_for",
    "get",
    "installed",
]
