"""A recipe: one TOML file that says everything about a run, one module per table.

Every value has a sensible default except the data, the tasks and the trunk.
"""

from mtl_edge.recipe.bench import BenchSpec
from mtl_edge.recipe.compress import CompressSpec, DistillSpec, PruneSpec, QuantizeSpec
from mtl_edge.recipe.data import DataSpec
from mtl_edge.recipe.load import load_recipe
from mtl_edge.recipe.net import NetSpec
from mtl_edge.recipe.recipe import Recipe
from mtl_edge.recipe.train import AugmentSpec, TrainSpec

__all__ = [
    "AugmentSpec",
    "BenchSpec",
    "CompressSpec",
    "DataSpec",
    "DistillSpec",
    "NetSpec",
    "PruneSpec",
    "QuantizeSpec",
    "Recipe",
    "TrainSpec",
    "load_recipe",
]
