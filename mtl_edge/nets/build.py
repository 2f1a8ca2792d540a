"""From a recipe to an untrained network, and from a checkpoint to the network that it was saved from."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from mtl_edge.artifact import ModelInput
from mtl_edge.errors import ModelError, RecipeError
from mtl_edge.nets.bypass import bypass_as_in
from mtl_edge.nets.custom import custom_net, custom_trunk, find_factory
from mtl_edge.nets.encoders import TableEncoder, TokenEncoder
from mtl_edge.nets.heads import Head, dense_head, pooled_head
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.nets.sharing.build import build_sharing
from mtl_edge.nets.trunks.base import Features, Trunk
from mtl_edge.nets.trunks.lenet import lenet
from mtl_edge.nets.trunks.mlp import mlp
from mtl_edge.nets.trunks.mobilenet import mobilenet
from mtl_edge.nets.trunks.plain import plain
from mtl_edge.nets.trunks.resnet import resnet
from mtl_edge.nets.trunks.tcn import tcn
from mtl_edge.nets.trunks.textcnn import textcnn
from mtl_edge.nets.trunks.transformer import transformer
from mtl_edge.preprocessing import Pixels, Table, Tokens
from mtl_edge.recipe import (
    CustomNetSpec,
    CustomTrunkSpec,
    LeNetSpec,
    MLPSpec,
    MobileNetSpec,
    NetSpec,
    PlainSpec,
    ResNetSpec,
    TCNSpec,
    TextCNNSpec,
    TransformerSpec,
)
from mtl_edge.recipe.net import NetSection
from mtl_edge.tasks import TargetStatistics, Task


def build_net(
    spec: NetSpec,
    tasks: Sequence[Task],
    source: ModelInput,
    statistics: Mapping[str, TargetStatistics],
    folder: Path = Path(),
) -> MultiTaskNet:
    """The recipe's network with fresh weights.

    Args:
        spec: trunk, sharing scheme and heads.
        tasks: one head for each.
        source: what the network reads: shape and preprocessing.
        statistics: task name -> what its head must undo.
        folder: the recipe's, where modules of the user's are looked for first.

    Raises:
        RecipeError: the trunk cannot read such inputs or serve such tasks, or a module of the user's fails.
    """
    example = torch.zeros((2, *_known(source.shape[1:])), dtype=getattr(torch, source.dtype))
    if isinstance(spec, CustomNetSpec):
        factory = find_factory("net.module", spec.factory, folder)
        return custom_net(spec.factory, factory, example, tasks, statistics)
    sharing = build_sharing(spec.sharing, partial(_trunk, spec, source, folder, example), tasks=len(tasks))
    with torch.no_grad():
        features: list[Features] = sharing.eval()(example)
    sharing.train()
    heads = {
        task.name: _head(spec, task, found, example, statistics[task.name])
        for task, found in zip(tasks, features, strict=True)
    }
    return MultiTaskNet(sharing, heads)


def _trunk(spec: NetSection, source: ModelInput, folder: Path, example: Tensor) -> Trunk:
    match spec, source.preprocessing, tuple(example.shape[1:]):
        case MLPSpec(), Table() as table, _:
            encoder = TableEncoder(table, spec.embedding)
            return mlp(encoder, encoder.features, spec.widths, spec.dropout)
        case MLPSpec(), Pixels(), (features,):
            return mlp(nn.Identity(), features, spec.widths, spec.dropout)
        case LeNetSpec(), Pixels(), (channels, height, width) if min(height, width) >= 4:
            return lenet(channels, (height, width), spec.widths)
        case PlainSpec(), Pixels(), (channels, _, _):
            return plain(channels, spec.width, spec.depth)
        case ResNetSpec(), Pixels(), (channels, _, _):
            return resnet(channels, spec.width, spec.depth)
        case MobileNetSpec(), Pixels(), (channels, _, _):
            return mobilenet(channels, spec.width, spec.depth, spec.expansion)
        case TextCNNSpec(), Tokens() as tokens, _:
            words = TokenEncoder(tokens.ids, spec.embedding)
            return textcnn(words, spec.embedding, spec.width, spec.kernels, spec.dropout)
        case ((TransformerSpec() | TCNSpec()), Tokens() as tokens, (length,)):
            return _sequence_trunk(spec, TokenEncoder(tokens.ids, spec.width), length)
        case ((TransformerSpec() | TCNSpec()), Pixels(), (channels, length)):
            return _sequence_trunk(spec, nn.Conv1d(channels, spec.width, 1), length)
        case CustomTrunkSpec(), _, _:
            return custom_trunk(spec.factory, find_factory("net.trunk", spec.factory, folder), example)
    name = str(spec.__struct_config__.tag)
    raise RecipeError(f"net.trunk: {name!r} reads {_READS[name]}, found {_described(source)}")


_READS = {
    "mlp": "tables and vectors (F,)",
    "lenet": "images (C, H, W) of at least 4 x 4",
    "plain": "images (C, H, W)",
    "resnet": "images (C, H, W)",
    "mobilenet": "images (C, H, W)",
    "textcnn": "text",
    "transformer": "text and sequences (C, L)",
    "tcn": "text and sequences (C, L)",
}


def _sequence_trunk(spec: TransformerSpec | TCNSpec, stem: nn.Module, length: int) -> Trunk:
    if isinstance(spec, TCNSpec):
        return tcn(stem, spec.width, spec.depth, spec.kernel, spec.dropout)
    options = {"depth": spec.depth, "heads": spec.heads, "hidden": spec.hidden}
    return transformer(stem, length, width=spec.width, dropout=spec.dropout, **options)


def _head(spec: NetSection, task: Task, features: Features, example: Tensor, statistics: TargetStatistics) -> Head:
    if not task.dense:
        return pooled_head(features.pooled.shape[1], spec.head_hidden, task.width, statistics)
    if example.ndim != 4 or not features.maps or any(found.ndim != 4 for found in features.maps):
        raise RecipeError(
            f"tasks.{task.name}: a task with one label per pixel needs an image and a trunk that keeps maps of it, "
            f"found inputs of shape {tuple(example.shape[1:])} and maps of the shapes "
            f"{[tuple(found.shape[1:]) for found in features.maps]}"
        )
    channels = tuple(found.shape[1] for found in features.maps)
    size = (example.shape[2], example.shape[3])
    return dense_head(channels, spec.head_hidden, task.width, size, statistics)


def _known(shape: Sequence[int | str]) -> list[int]:
    """The sizes of a sample; a network is made for one size."""
    sizes = [size for size in shape if isinstance(size, int)]
    if len(sizes) != len(shape):
        raise RecipeError(f"net: inputs must have one size, found the shape {tuple(shape)}")
    return sizes


def _described(source: ModelInput) -> str:
    match source.preprocessing:
        case Table() as table:
            return f"a table of {len(table.columns)} columns"
        case Tokens() as tokens:
            return f"text of {tokens.length} words"
        case _:
            return f"inputs of shape {source.shape[1:]}"


def load_weights(net: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load a checkpoint, once blocks that it lacks are dropped, and each layer narrowed to the channels that it has.

    So a pruned network needs no description beside its weights: their names and shapes are the description.

    Raises:
        ModelError: the checkpoint is that of another network.
    """
    bypass_as_in(net, weights)
    for name, layer in net.named_modules():
        prefix = f"{name}." if name else ""
        for key, value in (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)):
            wanted = weights.get(prefix + key)
            if wanted is not None and wanted.shape != value.shape:
                value.data = value.data.new_empty(wanted.shape)
        _describe(layer)
    try:
        net.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise ModelError(f"checkpoint: is that of another network: {' '.join(str(error).split())[:300]}") from error


def _describe(layer: nn.Module) -> None:
    """Bring what a layer says of its channels in line with its weights."""
    match layer:
        case nn.Conv1d() | nn.Conv2d():
            if 1 < layer.groups == layer.in_channels:  # depthwise: one filter for each channel
                layer.groups = len(layer.weight) // (layer.out_channels // layer.in_channels)
            layer.out_channels, layer.in_channels = len(layer.weight), layer.weight.shape[1] * layer.groups
        case nn.Linear():
            layer.out_features, layer.in_features = layer.weight.shape
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            layer.num_features = len(layer.running_mean) if layer.running_mean is not None else layer.num_features
        case nn.LayerNorm() if layer.elementwise_affine:
            layer.normalized_shape = tuple(layer.weight.shape)
        case nn.Embedding():
            layer.num_embeddings, layer.embedding_dim = layer.weight.shape
