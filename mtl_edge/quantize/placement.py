"""What of a graph stays in float when the rest goes to 8 bits."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TypeGuard

import onnx

from mtl_edge.graph import drop_dead, drop_unread_constants, names_read
from mtl_edge.quantize.rewrite import has_factors
from mtl_edge.quantize.weights import LAYERS

ANSWER_IN_FLOAT = ("Gemm", "MatMul")
"""Whose int8 kernels can give their results in float."""
_FLOAT_ONLY = ("ConvTranspose", "LayerNormalization")


def kept_in_float(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes not to quantize; every node of the graph must have one.

    What is done to raw inputs before the first layer with weights: the columns of a table have units so different that
    one scale for all of them would leave nothing of most. Layer norms and transposed convolutions, which have no int8
    kernel. Products with factors that are not part of their weights, or whose weights are not one matrix on the right:
    kernels do not take those with a scale per channel. And a split into outputs of the graph, which are better in
    float.
    """
    raw = {value.name for value in graph.input if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    constant = {value.name for value in graph.initializer} | {""}
    constants = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    outputs = {value.name for value in graph.output}
    kept: list[str] = []
    for node in graph.node:
        inputs = set(names_read(node)) - constant
        if not inputs:
            constant |= set(node.output)
        elif (
            node.op_type in _FLOAT_ONLY
            or has_factors(node)
            or _lacks_kernel(node, constants)
            or (node.op_type == "Split" and outputs.issuperset(node.output))
        ):
            kept.append(node.name)
        elif inputs <= raw and node.op_type not in LAYERS:
            kept.append(node.name)
            if node.op_type != "Cast":  # to codes, which an embedding looks up
                raw |= set(node.output)
    return kept


def _lacks_kernel(node: onnx.NodeProto, constants: Mapping[str, int]) -> bool:
    """Whether a product's weights have a form that no int8 kernel takes; ``constants`` has how many axes each has."""
    if node.op_type != "MatMul":
        return False
    left, right = (constants.get(name) for name in node.input)
    return left is not None or right not in (None, 2)


def quantizable_layers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Layers with weights that can go to 8 bits."""
    weights = {tensor.name for tensor in graph.initializer}
    excluded = set(kept_in_float(graph))
    return [
        node
        for node in graph.node
        if node.op_type in LAYERS and len(node.input) > 1 and node.input[1] in weights and node.name not in excluded
    ]


def let_outputs_be_float(graph: onnx.GraphProto) -> None:
    """Let matrix products that are outputs answer in float, which their int8 kernels can do.

    So an output keeps its resolution where it has little spread around a large mean: 8 bits would span all from zero.
    """
    makers = {name: node for node in graph.node for name in node.output}
    uses = Counter(name for node in graph.node for name in names_read(node))
    outputs = {output.name: 0 for output in graph.output}
    # What a split makes outputs of is as good as one, but for being read by it.
    splits = [node.input[0] for node in graph.node if node.op_type == "Split" and outputs.keys() >= set(node.output)]
    for name, readers in (outputs | dict.fromkeys(splits, 1)).items():
        dequantize = makers.get(name)
        if dequantize is None or dequantize.op_type != "DequantizeLinear" or uses[name] != readers:
            continue
        quantize = makers.get(dequantize.input[0])
        product = makers.get(quantize.input[0]) if quantize is not None else None
        if quantize is None or product is None or product.op_type not in ANSWER_IN_FLOAT:
            continue
        if uses[quantize.input[0]] == 1 and uses[quantize.output[0]] == 1:
            product.output[0] = name
            graph.node.remove(quantize)
            graph.node.remove(dequantize)
    drop_unread_constants(graph)


def let_float_read_float(graph: onnx.GraphProto, floats: Collection[str]) -> None:
    """Let nodes that stay in float read what such nodes give as it is, and not as 8-bit readers beside them need it.

    The quantizer gives all readers of a tensor the one that went through 8 bits. In place.
    """
    makers = {name: node for node in graph.node for name in node.output}
    parted = False
    for node in graph.node:
        if node.name not in floats:
            continue
        for position, name in enumerate(node.input):
            dequantize = makers.get(name)
            quantize = makers.get(dequantize.input[0]) if _is(dequantize, "DequantizeLinear") else None
            if not _is(quantize, "QuantizeLinear"):
                continue
            maker = makers.get(quantize.input[0])
            if maker is None or maker.name in floats:
                node.input[position], parted = quantize.input[0], True
    if parted:
        drop_dead(graph)


def _is(node: onnx.NodeProto | None, kind: str) -> TypeGuard[onnx.NodeProto]:
    return node is not None and node.op_type == kind


def outputs_served(graph: onnx.GraphProto) -> dict[str, frozenset[str]]:
    """Node name -> the graph's outputs that depend on it."""
    reached: dict[str, frozenset[str]] = {value.name: frozenset({value.name}) for value in graph.output}
    found: dict[str, frozenset[str]] = {}
    for node in reversed(graph.node):
        served = frozenset().union(*(reached.get(name, frozenset()) for name in node.output))
        found[node.name] = served
        for name in names_read(node):
            reached[name] = reached.get(name, frozenset()) | served
    return found


def part_name(outputs: Sequence[str], every: int) -> str:
    """What nodes that serve these outputs are part of: ``trunk``, ``shared (left, sum)``, or the one output's head.

    Args:
        outputs: that depend on the nodes.
        every: how many the graph has.
    """
    names = ", ".join(outputs)
    if len(outputs) < 2:
        return names
    return "trunk" if len(outputs) == every else f"shared ({names})"
