"""Structured channel pruning: whole channels leave, so every runtime is faster without sparse kernels."""

import copy
from collections.abc import Iterable

import torch_pruning
from torch import Tensor

from mtl_edge.nets.heads import Head
from mtl_edge.nets.multitask import MultiTaskNet


def prune_channels(
    net: MultiTaskNet, example: Tensor, losses: Iterable[Tensor], *, ratio: float, round_to: int
) -> MultiTaskNet:
    """Remove the channels whose loss would change least, in every group of layers that depend on each other.

    The importance is the first-order Taylor term of the loss, summed over each group of the dependency graph
    (Molchanov et al. 2019, arXiv:1906.10771; Fang et al. 2023, arXiv:2301.12900). The tasks' outputs are left alone.

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
        mine.grad = theirs.grad  # deepcopy leaves gradients behind
    net.zero_grad()
    torch_pruning.pruner.BasePruner(
        pruned,
        example,
        importance=torch_pruning.importance.GroupTaylorImportance(),
        pruning_ratio=ratio,
        round_to=round_to,
        ignored_layers=[head.output for head in pruned.heads if isinstance(head, Head)],
    ).step()
    pruned.zero_grad()
    return pruned
