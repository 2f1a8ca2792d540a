"""Structured channel pruning: whole channels leave, so every runtime is faster without sparse kernels."""

import copy
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from torch import Tensor

from mtl_edge.compress.dependencies import trace
from mtl_edge.compress.importance import Ranking, rank, task_gradients
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.nets.trunks.transformer import Attention

_ALL = "all"


def prune_channels(
    net: MultiTaskNet, example: Tensor, losses: Iterable[Tensor], *, ratio: float, round_to: int
) -> MultiTaskNet:
    """Remove the channels whose loss would change least, in every group of layers that depend on each other.

    Attention loses whole heads. The tasks' outputs are left alone. :func:`mtl_edge.compress.importance.rank` and
    :func:`keep_channels` are its two halves, for other importances and other shares in each group.

    Args:
        net: the trained network, which is put into evaluation mode.
        example: one batch of inputs, to trace the dependencies.
        losses: losses of ``net`` on batches of training samples; each is back-propagated once.
        ratio: the share of channels to remove from every group, in [0, 1).
        round_to: what the number of channels left is a multiple of. Kernels of ONNX Runtime work on blocks of 8 or 16
            channels, and a network with other counts may be slower than its parent.

    Returns:
        A smaller copy, to be fine-tuned.

    Raises:
        ModelError: its channels cannot be followed.
    """
    net.eval()
    rankings = rank(net, example, task_gradients(net, ({_ALL: loss} for loss in losses)))
    return keep_channels(net, example, rankings, uniform(rankings, ratio=ratio, round_to=round_to))


def uniform(
    rankings: Mapping[str, Ranking], *, ratio: float, round_to: int, dense: Mapping[str, int] = MappingProxyType({})
) -> dict[str, int]:
    """How many channels stay in each group, where each loses the same share, as far as ``round_to`` allows.

    Args:
        rankings: the groups.
        ratio: the share to remove.
        round_to: what the number of channels left is a multiple of.
        dense: name of a group -> what the share is of, where some of its channels have left before.
    """
    return {
        name: min(channels_kept(dense.get(name, ranking.channels), ratio, round_to), ranking.channels)
        for name, ranking in rankings.items()
    }


def keep_channels(
    net: MultiTaskNet, example: Tensor, rankings: Mapping[str, Ranking], kept: Mapping[str, int]
) -> MultiTaskNet:
    """A copy with that many channels in each group, those that are worth most; of an attention, as many whole heads.

    Args:
        net: the network that was ranked.
        example: one batch of inputs, to trace the dependencies.
        rankings: of :func:`mtl_edge.compress.importance.rank`.
        kept: name of a group -> how many of its channels stay; all where it is not named.
    """
    smaller = copy.deepcopy(net).eval()
    smaller.zero_grad()
    if not rankings:
        return smaller
    traced = trace(smaller, example)
    for name, group in traced.groups.items():
        ranking = rankings.get(name)
        excess = ranking.channels - kept.get(name, ranking.channels) if ranking is not None else 0
        if ranking is None or excess <= 0:
            continue
        layer, prune = group[0].dep.target.module, group[0].dep.handler
        leaving = traced.graph.get_pruning_group(layer, prune, ranking.scores.argsort()[:excess].tolist())
        if traced.graph.check_pruning_group(leaving):  # leaves something of every layer
            leaving.prune()
    for name, module in smaller.named_modules():
        if isinstance(module, Attention) and name in kept:
            heads = max(kept[name] // module.head_width, 1)
            module.keep_heads(sorted(rankings[name].scores.argsort(descending=True)[:heads].tolist()))
    return smaller


def channels_kept(channels: int, ratio: float, round_to: int) -> int:
    """How many channels stay: a multiple of ``round_to``, never none, and all where there are no more than that.

    A ratio of 0 takes none away.
    """
    if ratio == 0:
        return channels
    wanted = int(channels * (1 - ratio))
    return max(wanted - wanted % round_to, min(round_to, channels))
