"""How points are trained: named rules, and the tuning of their learning rate."""

from scaling.planning.recipes.recipe import Recipe, Settings, get, known

__all__ = ["Recipe", "Settings", "get", "known"]
