"""The reference recipes, and the data that they are trained on.

Nothing here reaches for the network but :mod:`mtl_edge.zoo.fetch`, which ``mtl-edge zoo fetch`` calls.
"""

from mtl_edge.zoo.find import find_recipe

__all__ = ["find_recipe"]
