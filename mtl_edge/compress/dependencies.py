"""Which channels leave together: torch-pruning's dependency graph of a network, and what must stay as it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType

import torch_pruning
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from mtl_edge.errors import ModelError
from mtl_edge.export.explain import reason, user_line
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.nets.sharing.cross_stitch import Stitch
from mtl_edge.nets.sharing.mixing import Gates, GateWeights
from mtl_edge.nets.trunks.transformer import Attention, Positions


@dataclass(frozen=True)
class Traced:
    """A network's dependencies.

    Attributes:
        graph: of the network.
        groups: name of a group's first layer -> the layers that must keep the same channels.
    """

    graph: torch_pruning.DependencyGraph
    groups: dict[str, torch_pruning.Group]


def trace(net: MultiTaskNet, example: Tensor) -> Traced:
    """Follow a network's channels from layer to layer, all but those of outputs, gates and attention heads.

    Args:
        net: the network, in evaluation mode.
        example: one batch of inputs.

    Raises:
        ModelError: its code computes what cannot be followed.
    """
    positions = [module.table for module in net.modules() if isinstance(module, Positions)]
    try:
        graph = torch_pruning.DependencyGraph().build_dependency(
            net,
            (example,),
            unwrapped_parameters=[(table, 1) for table in positions],
            # What follows from their matrices is not for the graph to see: those have no channels.
            customized_pruners=dict.fromkeys((GateWeights, Stitch), torch_pruning.ops.ElementWisePruner()),
            verbose=False,
        )
        for node in graph.module2node.values():
            if isinstance(node.module, GateWeights):  # what it gives weighs whole branches: here channels end
                node.dependencies = []
        gates = [layer for module in net.modules() if isinstance(module, Gates) for layer in module.layers]
        found = list(graph.get_all_groups([*_output_layers(graph), *_inside_attention(net), *gates]))
    except Exception as error:  # anything: it runs the user's code, and libraries that follow it
        first: BaseException = error
        while first.__context__ is not None:  # torch-pruning tries another way to call what has failed
            first = first.__context__
        raise ModelError(_explained(net, first)) from error
    names = {module: name for name, module in net.named_modules()}
    groups = {names[group[0].dep.target.module]: group for group in found if not _is_grouped(group)}
    return Traced(graph, groups)


def group_channels(net: MultiTaskNet, names: Iterable[str]) -> dict[str, int]:
    """How many channels each group has, by the name of its first layer; an attention's by its own.

    Names that the network does not have are left out.
    """
    modules = dict(net.named_modules())
    found: dict[str, int] = {}
    for name in names:
        match modules.get(name):
            case Attention() as attention:
                found[name] = attention.heads * attention.head_width
            case nn.Linear() as layer:
                found[name] = layer.out_features
            case _ConvNd() as layer:
                found[name] = layer.out_channels
    return found


def _explained(net: nn.Module, error: BaseException) -> str:
    """Why a network cannot be followed, in one line: module, line of the user's code, reason, what to do."""
    module, line = _innermost(net, error.__traceback__), user_line(error)
    where = (f" in {module}" if module else "") + (f" at {line}" if line else "")
    return (
        f"compress.prune: the network's channels cannot be followed{where}: {reason(error)}; forward must be a plain "
        "computation of tensors, without detach, no_grad or numpy; or do without pruning: ratio = 0"
    )


def _innermost(net: nn.Module, traceback: TracebackType | None) -> str:
    """The name of the last module of a network that was running when an error was raised, empty where none was."""
    names = {module: name for name, module in net.named_modules()}
    found = ""
    while traceback is not None:
        running = traceback.tb_frame.f_locals.get("self")
        if isinstance(running, nn.Module):
            found = names.get(running) or found
        traceback = traceback.tb_next
    return found


def _inside_attention(net: MultiTaskNet) -> list[nn.Module]:
    return [
        layer
        for module in net.modules()
        if isinstance(module, Attention)
        for layer in (module.query, module.key, module.value)
    ]


def _is_grouped(group: Iterable[torch_pruning.Dependency]) -> bool:
    """Whether a convolution works on groups of channels, other than one by one: those must stay as they are."""
    layers = [dependency.target.module for dependency, _ in group]
    return any(isinstance(layer, nn.Conv1d | nn.Conv2d) and 1 < layer.groups < layer.in_channels for layer in layers)


def _output_layers(graph: torch_pruning.DependencyGraph) -> list[nn.Module]:
    """The layers whose channels are the network's outputs: back from each output to the first layers with weights."""
    nodes = [node for node in graph.module2node.values() if not node.outputs]
    layers: list[nn.Module] = []
    while nodes:
        node = nodes.pop()
        if isinstance(node.module, nn.Conv1d | nn.Conv2d | nn.Linear):
            layers.append(node.module)
        else:
            nodes.extend(node.inputs)
    return layers
