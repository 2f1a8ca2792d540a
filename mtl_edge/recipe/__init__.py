"""A recipe: one TOML file that says everything about a run, one module per table.

Every value has a sensible default except the data, the tasks and the trunk.
"""

from mtl_edge.recipe.bench import BenchSpec
from mtl_edge.recipe.compress import CompressSpec, DistillSpec, PruneSpec, QuantizeSpec
from mtl_edge.recipe.data import DataSpec, SourceSpec, TargetSpec
from mtl_edge.recipe.load import load_recipe
from mtl_edge.recipe.net import NetSpec
from mtl_edge.recipe.recipe import Recipe
from mtl_edge.recipe.train import TrainSpec

__all__ = [
    "BenchSpec",
    "CompressSpec",
    "DataSpec",
    "DistillSpec",
    "NetSpec",
    "PruneSpec",
    "QuantizeSpec",
    "Recipe",
    "SourceSpec",
    "TargetSpec",
    "TrainSpec",
    "load_recipe",
]
