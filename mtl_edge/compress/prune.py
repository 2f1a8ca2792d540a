"""Structured channel pruning: whole channels leave, so every runtime is faster without sparse kernels."""

import copy
from collections.abc import Iterable

import torch
import torch_pruning
from torch import Tensor, nn

from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.nets.sharing.cross_stitch import Stitch
from mtl_edge.nets.sharing.mixing import Gates, GateWeights
from mtl_edge.nets.trunks.transformer import Attention, Positions


def prune_channels(
    net: MultiTaskNet, example: Tensor, losses: Iterable[Tensor], *, ratio: float, round_to: int
) -> MultiTaskNet:
    """Remove the channels whose loss would change least, in every group of layers that depend on each other.

    The importance is the first-order Taylor term of the loss, summed over each group of the dependency graph
    (Molchanov et al. 2019, arXiv:1906.10771; Fang et al. 2023, arXiv:2301.12900). Attention loses whole heads. The
    tasks' outputs are left alone.

    Args:
        net: the trained network; its gradients are overwritten, its weights stay.
        example: one batch of inputs, to trace the dependencies.
        losses: losses of ``net`` on batches of training samples; each is back-propagated once.
        ratio: the share of channels to remove from every group, in [0, 1).
        round_to: what the number of channels left is a multiple of. Kernels of ONNX Runtime work on blocks of 8 or 16
            channels, and a network with other counts may be slower than its parent.

    Returns:
        A smaller copy, to be fine-tuned.
    """
    net.eval()
    net.zero_grad()
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
    pruned = copy.deepcopy(net)
    for mine, theirs in zip(pruned.parameters(), net.parameters(), strict=True):
        # deepcopy leaves gradients behind; what no loss depends on has none
        mine.grad = torch.zeros_like(theirs) if theirs.grad is None else theirs.grad
    net.zero_grad()
    _prune_groups(pruned, example, ratio, round_to)
    _prune_heads(pruned, ratio, round_to)
    pruned.zero_grad()
    return pruned


def _prune_groups(net: MultiTaskNet, example: Tensor, ratio: float, round_to: int) -> None:
    """Narrow every group of layers that must keep the same channels."""
    positions = [module.table for module in net.modules() if isinstance(module, Positions)]
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
    importance = torch_pruning.importance.GroupTaylorImportance()
    gates = [layer for module in net.modules() if isinstance(module, Gates) for layer in module.layers]
    fixed = [*_output_layers(graph), *_inside_attention(net), *gates]
    ranked = [(group, importance(group)) for group in graph.get_all_groups(fixed)]  # all of them before any shrinks
    for group, scores in ranked:
        excess = len(scores) - _kept(len(scores), ratio, round_to)
        if excess > 0 and not _is_grouped(group):
            layer, prune = group[0].dep.target.module, group[0].dep.handler
            smaller = graph.get_pruning_group(layer, prune, scores.argsort()[:excess].tolist())
            if graph.check_pruning_group(smaller):  # leaves something of every layer
                smaller.prune()


def _prune_heads(net: MultiTaskNet, ratio: float, round_to: int) -> None:
    """Take whole heads from every attention; what is left of them computes as before."""
    for module in net.modules():
        if isinstance(module, Attention):
            sides = ((module.query, 1), (module.key, 1), (module.value, 1), (module.output, 0))
            channels = torch.stack([_taylor(layer.weight).sum(axis) for layer, axis in sides]).sum(0)
            scores = channels.view(module.heads, module.head_width).sum(1)
            kept = max(_kept(len(channels), ratio, round_to) // module.head_width, 1)
            module.keep_heads(sorted(scores.argsort(descending=True)[:kept].tolist()))


def _taylor(weight: Tensor) -> Tensor:
    """How much the loss would change without each weight, to first order."""
    assert weight.grad is not None
    return (weight.detach() * weight.grad).abs()


def _kept(channels: int, ratio: float, round_to: int) -> int:
    """How many channels stay: a multiple of ``round_to``, never none, and all where there are no more than that.

    A ratio of 0 takes none away.
    """
    if ratio == 0:
        return channels
    wanted = int(channels * (1 - ratio))
    return max(wanted - wanted % round_to, min(round_to, channels))


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
