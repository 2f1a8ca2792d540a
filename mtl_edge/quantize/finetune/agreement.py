"""Whether torch computes what ONNX Runtime does: what trains must be what ships."""

import numpy as np
import torch
from torch import Tensor

from mtl_edge.errors import ModelError, last_words
from mtl_edge.quantize.finetune.student import Student
from mtl_edge.runtime import open_session

_APART = 0.05
"""Share of an output's values that may differ by more than a step; one of a small batch is a per cent or two."""


def check_agreement(student: Student, model: bytes, inputs: dict[str, Tensor]) -> None:
    """Compare an int8 model in torch and under ONNX Runtime.

    Args:
        student: the model in torch.
        model: what it ships as.
        inputs: input name -> batch.

    Raises:
        ModelError: they do not agree, or torch fails.
    """
    try:
        with torch.no_grad():
            found = student(inputs)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"finetune: torch cannot compute the graph: {last_words(error)}") from error
    names = [name for name in found if found[name].is_floating_point()]
    shipped = open_session(model).run(names, {name: tensor.numpy() for name, tensor in inputs.items()})
    for name, answer in zip(names, shipped, strict=True):
        apart = float((steps_apart(found[name].numpy(), answer) > 1).mean())
        if not apart <= _APART:
            raise ModelError(
                f"finetune: torch must compute what ONNX Runtime does on this box, found {apart:.1%} of {name} apart "
                "by more than an 8-bit step"
            )


def steps_apart(found: np.ndarray, shipped: np.ndarray) -> np.ndarray:
    """By how many 8-bit steps of what ships two answers differ."""
    step = max(float(np.ptp(shipped)) / 255, 1e-6)
    apart: np.ndarray = np.abs(found - shipped) / step
    return apart
