"""From a recipe to an untrained network, and from a checkpoint to the network that it was saved from."""

from collections.abc import Mapping
from typing import assert_never

from torch import Tensor, nn

from mtl_edge.errors import RecipeError
from mtl_edge.nets.multitask import Head, MultiTaskNet
from mtl_edge.nets.resnet import ResNetTrunk
from mtl_edge.recipe import Recipe
from mtl_edge.tasks import Standardisation


def build_net(recipe: Recipe, input_shape: tuple[int, ...], scales: Mapping[str, Standardisation]) -> MultiTaskNet:
    """The recipe's network with fresh weights.

    Args:
        recipe: its ``net`` and ``tasks``.
        input_shape: of one sample, such as ``(1, 36, 36)``.
        scales: task name -> what its head must undo.

    Raises:
        RecipeError: the trunk cannot read inputs of this shape.
    """
    spec = recipe.net
    match spec.trunk:
        case "resnet":
            if len(input_shape) != 3:
                raise RecipeError(f"net.trunk: 'resnet' reads images (C, H, W), found inputs of shape {input_shape}")
            trunk = ResNetTrunk(input_shape[0], spec.width, spec.depth)
        case _:
            assert_never(spec.trunk)
    heads = {task.name: Head(trunk.features, spec.head_hidden, task.width, scales[task.name]) for task in recipe.tasks}
    return MultiTaskNet(trunk, heads)


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
