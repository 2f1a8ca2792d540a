"""From a recipe to an untrained network, and from a checkpoint to the network that it was saved from."""

from collections.abc import Mapping, Sequence
from typing import assert_never

from torch import Tensor, nn

from mtl_edge.artifact import ModelInput
from mtl_edge.errors import RecipeError
from mtl_edge.nets.heads import Head
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.nets.sharing.hard import HardSharing
from mtl_edge.nets.trunks.resnet import resnet
from mtl_edge.recipe import NetSpec
from mtl_edge.tasks import TargetStatistics, Task


def build_net(
    spec: NetSpec, tasks: Sequence[Task], source: ModelInput, statistics: Mapping[str, TargetStatistics]
) -> MultiTaskNet:
    """The recipe's network with fresh weights.

    Args:
        spec: trunk, sharing scheme and heads.
        tasks: one head for each.
        source: what the network reads: shape and preprocessing.
        statistics: task name -> what its head must undo.

    Raises:
        RecipeError: the trunk cannot read such inputs.
    """
    shape = source.shape[1:]
    match spec.trunk:
        case "resnet":
            if len(shape) != 3 or not isinstance(shape[0], int):
                raise RecipeError(f"net.trunk: 'resnet' reads images (C, H, W), found inputs of shape {shape}")
            trunk = resnet(shape[0], spec.width, spec.depth)
        case _:
            assert_never(spec.trunk)
    heads = {task.name: Head(trunk.features, spec.head_hidden, task.width, statistics[task.name]) for task in tasks}
    return MultiTaskNet(HardSharing(trunk, len(heads)), heads)


def load_weights(net: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load a checkpoint, first narrowing each layer to the channels that the checkpoint has.

    So a pruned network needs no description beside its weights: their shapes are the description.
    """
    for name, layer in net.named_modules():
        weight = weights.get(f"{name}.weight")
        if weight is None:
            continue
        match layer:
            case nn.Conv2d():
                layer.out_channels, layer.in_channels = weight.shape[0], weight.shape[1] * layer.groups
            case nn.Linear():
                layer.out_features, layer.in_features = weight.shape[0], weight.shape[1]
            case nn.BatchNorm2d():
                layer.num_features = len(weight)
        for key, value in (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)):
            value.data = value.data.new_empty(weights[f"{name}.{key}"].shape)
    net.load_state_dict(dict(weights))
