"""ONNX's operators in torch, those that layers, norms, attention, pooling and what goes between them are made of."""

from collections.abc import Callable, Mapping
from typing import Any

import onnx
from torch import Tensor

from mtl_edge.errors import ModelError
from mtl_edge.quantize.finetune.elementwise import ELEMENTWISE
from mtl_edge.quantize.finetune.products import PRODUCTS
from mtl_edge.quantize.finetune.resize import resize
from mtl_edge.quantize.finetune.shapes import SHAPES
from mtl_edge.quantize.finetune.sliding import SLIDING

Operator = Callable[..., Tensor | tuple[Tensor, ...]]
"""From a node's attributes and its inputs, None for those that it leaves out, to its output or outputs."""

_OPERATORS: Mapping[str, Operator] = {**ELEMENTWISE, **PRODUCTS, **SHAPES, **SLIDING, "Resize": resize}


def operator_of(node: onnx.NodeProto) -> Operator:
    """The function that computes a node.

    Raises:
        ModelError: there is none, as for operators with a graph of their own and for recurrent ones.
    """
    found = _OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if found is None:
        kind = f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
        raise unknown(node, f"the operator {kind}")
    return found


def unknown(node: onnx.NodeProto, what: str) -> ModelError:
    """What cannot be trained, in one line."""
    return ModelError(f"finetune: node {node.name!r} has what cannot be trained yet: {what}")


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes by name."""
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
