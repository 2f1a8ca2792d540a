"""Rounding that gradients pass through, and ranges that learn from what rounding and clipping cost."""

from typing import Any

import torch
from torch import Tensor


class _FakeQuantize(torch.autograd.Function):
    """Quantize and dequantize one tensor, with one scale and one zero point.

    Backwards, values within the range pass as they are, values beyond it do not pass, and the scale is told of both:
    of rounding errors within, of what was cut off at the ends (Esser et al. 2020, arXiv:1902.08153).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero: int, low: int, high: int) -> Tensor:
        ctx.save_for_backward(x, scale)
        ctx.ends = low - zero, high - zero
        return (x / scale).round_().clamp_(*ctx.ends).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, scale = ctx.saved_tensors
        low, high = ctx.ends
        steps = x / scale
        rounded = steps.round()
        within = (rounded >= low) & (rounded <= high)
        of_scale = None
        if ctx.needs_input_grad[1]:
            error = torch.where(within, rounded - steps, rounded.clamp_(low, high))
            of_scale = (gradient * error).sum().reshape(scale.shape)
        return gradient * within, of_scale, None, None, None


def fake_quantize(x: Tensor, scale: Tensor, zero: int, low: int, high: int) -> Tensor:
    """The nearest values to ``x`` that whole numbers from ``low`` to ``high`` stand for; halves go to even numbers."""
    found: Tensor = _FakeQuantize.apply(x, scale, zero, low, high)  # type: ignore[no-untyped-call]
    return found


def rounded(x: Tensor) -> Tensor:
    """The nearest whole numbers; gradients pass as if nothing had been done."""
    return x + (x.detach().round() - x.detach())
