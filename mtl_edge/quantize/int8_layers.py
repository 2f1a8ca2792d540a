"""The int8 layers of a graph that ONNX Runtime has optimized, as matrix products that can be computed here."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from onnx import numpy_helper

from mtl_edge.quantize.saturation import Product, saturating_product
from mtl_edge.quantize.windows import windows_of

_ROWS = 1 << 13
"""Rows of one product: memory is that of so many rows of activations."""

_INPUTS: dict[str, tuple[str, ...]] = {
    "QLinearConv": ("x", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero", "bias"),
    "QLinearMatMul": ("x", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero"),
    "QGemm": ("x", "x_scale", "x_zero", "w", "w_scale", "w_zero", "bias", "y_scale", "y_zero"),
    "MatMulIntegerToFloat": ("x", "w", "x_scale", "w_scale", "x_zero", "w_zero", "bias"),
}


@dataclass(frozen=True)
class Int8Layer:
    """One layer with uint8 activations and constant int8 weights.

    Attributes:
        node: as it stands in the graph.
        inputs: what its inputs are for -> the constant; that of ``x`` is missing.
        attributes: the node's.
        weights: ``(G, K, N)`` int8, in the order of the reduction, for each group.
        source: name of the activations that come in.
    """

    node: onnx.NodeProto
    inputs: dict[str, np.ndarray]
    attributes: dict[str, Any]
    weights: np.ndarray
    source: str

    @property
    def name(self) -> str:
        """The layer's name in the graph."""
        return self.node.name or self.node.output[0]

    def run(self, x: np.ndarray, arithmetic: Literal["saturating", "exact"]) -> tuple[np.ndarray, list[Product]]:
        """Compute the layer's output from its quantized input, rounded as ONNX Runtime does.

        Returns:
            The output, and the products that it was made of.
        """
        rows, shape = self._rows(x)  # (G, M, K)
        products = [
            saturating_product(part[start : start + _ROWS], weights)
            for part, weights in zip(rows, self.weights, strict=True)
            for start in range(0, part.shape[0], _ROWS)
        ]
        sums = [product.saturated if arithmetic == "saturating" else product.exact for product in products]
        per_group = len(sums) // len(self.weights)
        groups = [np.concatenate(sums[at : at + per_group]) for at in range(0, len(sums), per_group)]
        totals = np.concatenate(groups, axis=1)  # (M, all N)
        y = self._scaled(totals - self._zero("x_zero") * self.weights.sum(1, dtype=np.int32).reshape(-1))
        if self.node.op_type == "QLinearConv":
            return np.moveaxis(y.reshape(x.shape[0], *shape, -1), -1, 1), products
        return y.reshape(*shape, -1), products

    def _zero(self, name: str) -> int:
        return int(self.inputs[name].reshape(-1)[0]) if name in self.inputs else 0

    def _scaled(self, sums: np.ndarray) -> np.ndarray:
        """From int32 sums to the output: all in float32 and in this order, as the runtime does it."""
        scale = self.inputs["x_scale"].reshape(-1) * self.inputs["w_scale"].reshape(-1)
        if self.node.op_type == "QGemm":
            scale = np.float32(self.attributes.get("alpha", 1.0)) * scale
        bias = self.inputs.get("bias")
        if "y_scale" not in self.inputs:
            if bias is not None and bias.dtype == np.int32:
                sums, bias = sums + bias, None
            answer: np.ndarray = sums.astype(np.float32) * scale
            return answer if bias is None else answer + bias
        if bias is not None:
            sums = sums + bias
        zero = self._zero("y_zero")
        scaled = sums.astype(np.float32) * (scale / self.inputs["y_scale"].reshape(-1))
        rounded: np.ndarray = np.rint(np.clip(scaled, -zero, 255 - zero)) + zero
        return rounded.astype(np.uint8)

    def _rows(self, x: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
        """What each output value sums over, ``(G, M, K)``, and the shape of what comes out without its channels."""
        if self.node.op_type != "QLinearConv":
            if self.attributes.get("transA", 0):
                x = x.T
            return x.reshape(1, -1, x.shape[-1]), x.shape[:-1]
        kernel = self.inputs["w"].shape[2:]
        rank, groups = len(kernel), len(self.weights)
        windows = windows_of(x, kernel, self.attributes, self._zero("x_zero"))
        shape = windows.shape[2 : 2 + rank]
        windows = windows.reshape(x.shape[0], groups, -1, *windows.shape[2:])  # (batch, G, C, out…, kernel…)
        out, positions = range(3, 3 + rank), range(3 + rank, 3 + 2 * rank)
        ordered = windows.transpose(1, 0, *out, *positions, 2)
        return ordered.reshape(groups, x.shape[0] * int(np.prod(shape)), -1), shape


def int8_layer(node: onnx.NodeProto, constants: dict[str, np.ndarray]) -> Int8Layer | None:
    """The layer that a node is, if its kernel on x86 without VNNI is one that saturates; None for every other node.

    Args:
        node: of an optimized graph.
        constants: the graph's constants.
    """
    names = dict(zip(_INPUTS.get(node.op_type, ()), node.input, strict=False))
    inputs = {role: constants[name] for role, name in names.items() if name in constants}
    weight, scales = inputs.get("w"), {"x_scale", "w_scale"}
    if weight is None or weight.dtype != np.int8 or not scales <= inputs.keys() or "x" in inputs:
        return None
    if any(role not in inputs for role, name in names.items() if name and role != "x"):
        return None  # something but the activations is computed: no layer that a quantizer wrote
    if inputs.get("w_zero", np.zeros(1)).any() or inputs.get("x_zero", np.zeros(1, np.uint8)).dtype != np.uint8:
        return None
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    if node.op_type == "QLinearConv":
        groups = int(attributes.get("group", 1))
        if groups > 1 and weight.shape[1] == 1 and weight.shape[0] == groups:
            return None  # depthwise: kernels that do not saturate
        split = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])  # (G, N, C, kernel…)
        weights = split.transpose(0, *range(3, split.ndim), 2, 1).reshape(groups, -1, split.shape[1])
    else:
        if weight.ndim != 2:
            return None
        weights = (weight.T if attributes.get("transB", 0) else weight)[None]
    return Int8Layer(node, inputs, attributes, weights, names["x"])


def constants_of(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """A graph's initializers by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
