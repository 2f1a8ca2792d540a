"""A moving average of the weights, which is often better than the last of them."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def make_average(net: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of parameters and batch norm statistics.

    The decay rises to its value as (1 + n) / (10 + n) over the first n steps, so that the untrained weights are soon
    forgotten.
    """

    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        passed = float(count)
        at_work = min(decay, (1 + passed) / (10 + passed))
        get_ema_multi_avg_fn(at_work)(averaged, current, count)  # type: ignore[no-untyped-call]

    return AveragedModel(net, multi_avg_fn=update, use_buffers=True)
