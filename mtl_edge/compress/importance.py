"""What each channel is worth: by the gradients of each task on its own, by its weights, or by its norm's scale."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import torch
import torch_pruning
from torch import Tensor, nn

from mtl_edge.compress.dependencies import trace
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.nets.trunks.transformer import Attention

Measure = Literal["taylor", "magnitude", "bn-scale"]
Across = Literal["sum", "worst", "budget"]
Gradients = Mapping[str, Mapping[str, Tensor]]
"""Task -> name of a parameter -> the gradient of the task's loss."""


@dataclass(frozen=True)
class Ranking:
    """The channels of layers that must keep the same ones, or the heads of an attention.

    Attributes:
        scores: of each channel or head, what it is worth beside the others here.
        width: channels of each: 1, or those of a head.
        by_task: task -> the change of its loss without each, to first order.
    """

    scores: Tensor
    width: int = 1
    by_task: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """How many there are."""
        return len(self.scores) * self.width


def task_gradients(net: MultiTaskNet, losses: Iterable[Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """The gradient of each task's loss on its own, summed over batches; parameters that it does not reach are left out.

    Args:
        net: the network that gave the losses.
        losses: of each batch, task -> loss.
    """
    named = {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}
    found: dict[str, dict[str, Tensor]] = {}
    for batch in losses:
        for task, loss in batch.items():
            if not loss.requires_grad:  # no label of this task is in the batch
                continue
            gradients = torch.autograd.grad(loss, list(named.values()), retain_graph=True, allow_unused=True)
            sums = found.setdefault(task, {})
            for name, gradient in zip(named, gradients, strict=True):
                if gradient is not None:
                    sums[name] = sums[name] + gradient if name in sums else gradient
    return found


def rank(
    net: MultiTaskNet,
    example: Tensor,
    gradients: Gradients,
    *,
    measure: Measure = "taylor",
    across: Across = "sum",
    weights: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, Ranking]:
    """What the channels of each group of layers are worth, by the name of the group's first layer.

    ``taylor`` is the first-order term of the loss (Molchanov et al. 2019, arXiv:1906.10771), summed over the group
    (Fang et al. 2023, arXiv:2301.12900). ``sum`` takes it of all tasks' losses together, where a task with large
    gradients decides alone; ``worst`` and ``budget`` take it of each task's, as a multiple of its mean in the group.

    Args:
        net: the network; it stays as it is.
        example: one batch of inputs, to trace the dependencies.
        gradients: of each task.
        measure: ``taylor``, ``magnitude`` of the weights, or ``bn-scale`` of norms, magnitude where there are none.
        across: ``sum`` of the losses, the task for which a channel is worth most (``worst``), or a weighted mean over
            tasks (``budget``).
        weights: task -> its weight in ``sum`` and ``budget``, 1 where it has none.

    Raises:
        ModelError: its channels cannot be followed.
    """
    groups = trace(net, example).groups
    found: dict[str, Ranking] = {}
    with _kept_gradients(net):
        by_task = {task: _scores(net, groups, own) for task, own in gradients.items()}
        total = _weighted_sum(gradients, weights)
        match measure, across:
            case "taylor", "sum":
                scores = _scores(net, groups, total)
            case "taylor", _:
                scores = _combined(by_task, across, weights)
            case _:
                scores = _weight_scores(net, groups, measure)
    attentions = {name: module for name, module in net.named_modules() if isinstance(module, Attention)}
    for name, values in scores.items():
        own = {task: parts[name] for task, parts in by_task.items()}
        found[name] = Ranking(values, attentions[name].head_width if name in attentions else 1, own)
    return found


@contextmanager
def _kept_gradients(net: nn.Module) -> Iterator[None]:
    """Parameters have the gradients afterwards that they had before."""
    before = [(parameter, parameter.grad) for parameter in net.parameters()]
    try:
        yield
    finally:
        for parameter, gradient in before:
            parameter.grad = gradient


def _combined(
    by_task: Mapping[str, Mapping[str, Tensor]], across: Across, weights: Mapping[str, float]
) -> dict[str, Tensor]:
    """The tasks' scores as one, each task's relative to its mean in the group."""
    found = {}
    for name in next(iter(by_task.values()), {}):
        parts = {task: scores[name] / scores[name].mean().clamp_min(1e-30) for task, scores in by_task.items()}
        if across == "worst":
            found[name] = torch.stack(list(parts.values())).amax(0)
        else:
            found[name] = torch.stack([part * weights.get(task, 1.0) for task, part in parts.items()]).sum(0)
    return found


def _weighted_sum(gradients: Gradients, weights: Mapping[str, float]) -> dict[str, Tensor]:
    total: dict[str, Tensor] = {}
    for task, own in gradients.items():
        for name, gradient in own.items():
            part = gradient * weights.get(task, 1.0)
            total[name] = total[name] + part if name in total else part
    return total


def _scores(
    net: MultiTaskNet, groups: Mapping[str, torch_pruning.Group], gradients: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The Taylor term of each channel and each attention head."""
    for name, parameter in net.named_parameters():  # where torch-pruning looks for it
        parameter.grad = gradients[name] if name in gradients else torch.zeros_like(parameter)

    def taylor(layer: nn.Module) -> Tensor:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        assert weight.grad is not None
        return (weight.detach() * weight.grad).abs()

    importance = torch_pruning.importance.GroupTaylorImportance(normalizer=None)
    return _of_groups(groups, importance) | _of_heads(net, taylor)


def _weight_scores(net: MultiTaskNet, groups: Mapping[str, torch_pruning.Group], measure: Measure) -> dict[str, Tensor]:
    scores = _of_groups(groups, torch_pruning.importance.GroupMagnitudeImportance(p=2))
    if measure == "bn-scale":
        scores |= _of_groups(groups, torch_pruning.importance.BNScaleImportance())

    def squared(layer: nn.Module) -> Tensor:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        return weight.detach().square()

    return scores | _of_heads(net, squared)


def _of_groups(
    groups: Mapping[str, torch_pruning.Group], importance: Callable[[torch_pruning.Group], Tensor | None]
) -> dict[str, Tensor]:
    """Of the groups that an importance can tell something of."""
    found = {name: importance(group) for name, group in groups.items()}
    return {name: scores for name, scores in found.items() if scores is not None}


def _of_heads(net: MultiTaskNet, value: Callable[[nn.Module], Tensor]) -> dict[str, Tensor]:
    """Name of an attention -> what its heads are worth."""
    found = {}
    for name, module in net.named_modules():
        if isinstance(module, Attention):
            sides = ((module.query, 1), (module.key, 1), (module.value, 1), (module.output, 0))
            channels = torch.stack([value(layer).sum(axis) for layer, axis in sides]).sum(0)
            found[name] = channels.view(module.heads, module.head_width).sum(1)
    return found
