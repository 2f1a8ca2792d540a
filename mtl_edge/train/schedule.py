"""Optimizers, and learning rates over the steps."""

import math
from collections.abc import Callable, Sequence
from typing import assert_never

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from mtl_edge.recipe import TrainSpec


def make_optimizer(spec: TrainSpec, net: nn.Module, extra: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    """The recipe's optimizer for a network and for what a balancing method trains along, which does not decay."""
    groups = [{"params": list(net.parameters())}]
    if extra:
        groups.append({"params": list(extra), "weight_decay": 0.0})  # type: ignore[dict-item]
    optimizer: torch.optim.Optimizer
    match spec.optimizer:
        case "adamw":
            optimizer = torch.optim.AdamW(groups, lr=spec.learning_rate, weight_decay=spec.weight_decay, fused=True)
        case "sgd":
            optimizer = torch.optim.SGD(
                groups,
                lr=spec.learning_rate,
                weight_decay=spec.weight_decay,
                momentum=spec.momentum,
                nesterov=spec.nesterov,
                fused=True,
            )
        case _:
            assert_never(spec.optimizer)
    optimizer.register_step_pre_hook(_lay_out_gradients)
    return optimizer


def _lay_out_gradients(optimizer: torch.optim.Optimizer, _args: object, _kwargs: object) -> None:
    """Put each gradient into memory in its parameter's order.

    Fused CPU kernels walk through both as they lie there, whatever their strides say. Autograd keeps them alike; what
    balancing methods put together need not be channels-last as the weights are.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None and parameter.grad.stride() != parameter.stride():
                parameter.grad = torch.empty_like(parameter).copy_(parameter.grad)


def make_schedule(spec: TrainSpec, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler:
    """The recipe's schedule over all steps of a training.

    One-cycle is that of Smith & Topin 2018 (arXiv:1708.07120); AdamW's first beta goes the other way, SGD's momentum
    stays as it is. The others rise linearly, then fall as a half cosine or stay.
    """
    share = spec.warmup_share
    if spec.schedule == "one-cycle":
        return OneCycleLR(
            optimizer,
            spec.learning_rate,
            total_steps=steps,
            # torch divides by the lengths of the rise, less one step, and of the fall
            pct_start=min(share, 1 - 0.5 / steps) if share * steps > 1 else 0.0,
            cycle_momentum=spec.optimizer == "adamw",
        )
    return LambdaLR(optimizer, _factor(share * steps, steps, falls=spec.schedule == "cosine"))


def _factor(warmup: float, steps: int, *, falls: bool) -> Callable[[int], float]:
    """Step -> share of the highest learning rate."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        passed = (step - warmup) / max(steps - warmup, 1)
        return 0.5 * (1 + math.cos(math.pi * min(passed, 1.0))) if falls else 1.0

    return factor
