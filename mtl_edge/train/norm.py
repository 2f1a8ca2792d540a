"""Batch norm over a batch that is spread over processes; torch's own refuses CPUs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mtl_edge.train.distributed import Ranks


class _Total(torch.autograd.Function):
    """The sum over all processes; so is its gradient, because every process's loss depends on it."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class _SyncedNorm(_BatchNorm):
    """A batch norm that shares parameters and statistics with the one that it stands in for."""

    def __init__(self, norm: _BatchNorm) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(norm.__dict__)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's name
        """The module that this one stands in for has the same inputs."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """``(N, C, …)`` normalised by the statistics of all processes."""
        if not self.training:
            return super().forward(input)
        axes = [axis for axis in range(input.ndim) if axis != 1]
        shape = [1, -1] + [1] * (input.ndim - 2)
        x = input.float()
        # In float64, sums of squares lose nothing that float32 would show.
        wide = x.double() if x.device.type != "mps" else x
        own = wide.new_tensor([x.numel() / max(x.shape[1], 1)])
        sums = _Total.apply(torch.cat([wide.sum(axes), (wide * wide).sum(axes), own]))  # type: ignore[no-untyped-call]
        channels = x.shape[1]
        count = sums[-1].detach()
        mean = sums[:channels] / count
        variance = (sums[channels:-1] / count - mean**2).clamp(min=0.0)
        scale = (variance + self.eps).rsqrt().float()
        out = (x - mean.float().reshape(shape)) * scale.reshape(shape)
        if self.weight is not None:
            out = out * self.weight.reshape(shape) + self.bias.reshape(shape)
        self._remember(mean.detach(), variance.detach(), count)
        normalised: Tensor = out.to(input.dtype)
        return normalised

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        part = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        unbiased = variance * (count / (count - 1).clamp(min=1.0))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), part)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), part)


@contextmanager
def synced_norms(net: nn.Module, ranks: Ranks) -> Iterator[None]:
    """Within, the batch norms of a network see the whole batch; parameters and names stay."""
    if ranks.alone:
        yield
        return
    places = [
        (parent, name, child)
        for parent in net.modules()
        for name, child in parent.named_children()
        if isinstance(child, _BatchNorm)
    ]
    for parent, name, child in places:
        setattr(parent, name, _SyncedNorm(child))
    try:
        yield
    finally:
        for parent, name, child in places:
            setattr(parent, name, child)
