"""A recipe: one TOML file that says everything about a run, one module per table.

Every value has a sensible default except the data, the tasks and the trunk.
"""

from mtl_edge.recipe.bench import BenchSpec
from mtl_edge.recipe.compress import CompressSpec, DistillSpec, PruneSpec, QuantizeSpec, SparsifySpec, StudentSpec
from mtl_edge.recipe.data import DataSpec, SourceSpec, TargetSpec
from mtl_edge.recipe.load import load_recipe
from mtl_edge.recipe.net import (
    CrossStitchSpec,
    CustomNetSpec,
    CustomTrunkSpec,
    HardSpec,
    LeNetSpec,
    MLPSpec,
    MMoESpec,
    MobileNetSpec,
    MTANSpec,
    NetSpec,
    PlainSpec,
    PLESpec,
    ResNetSpec,
    SharingSpec,
    TCNSpec,
    TextCNNSpec,
    TransformerSpec,
)
from mtl_edge.recipe.recipe import Recipe
from mtl_edge.recipe.train import AugmentSpec, TrainSpec

__all__ = [
    "AugmentSpec",
    "BenchSpec",
    "CompressSpec",
    "CrossStitchSpec",
    "CustomNetSpec",
    "CustomTrunkSpec",
    "DataSpec",
    "DistillSpec",
    "HardSpec",
    "LeNetSpec",
    "MLPSpec",
    "MMoESpec",
    "MTANSpec",
    "MobileNetSpec",
    "NetSpec",
    "PLESpec",
    "PlainSpec",
    "PruneSpec",
    "QuantizeSpec",
    "Recipe",
    "ResNetSpec",
    "SharingSpec",
    "SourceSpec",
    "SparsifySpec",
    "StudentSpec",
    "TCNSpec",
    "TargetSpec",
    "TextCNNSpec",
    "TrainSpec",
    "TransformerSpec",
    "load_recipe",
]
