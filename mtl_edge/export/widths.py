"""One network in many widths: traced once, since tracing is what takes the time of an export."""

import copy
from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir
import torch
from torch import Tensor

from mtl_edge.export.parity import check_parity
from mtl_edge.export.to_onnx import export_onnx, finish, quiet, trace_net
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.runtime import open_session


class Widths:
    """Writes a network as ONNX, and copies of it with fewer channels, in a tenth of the time of :func:`export_onnx`.

    The graph is traced once, with an initializer for each parameter; a copy's parameters take their place, and only
    then is it optimized. What the tracing has made constant need not hold in another width, so each graph must have the
    same operators as that of the whole network, and compute what the copy computes; where it does not (the heads
    of attention are constants, and the width of experts is), the copy is exported as any other.

    Args:
        net: the network with all its channels.
        example: a batch of at least two inputs, which also compares.
        input_name: of the graph's input.
    """

    def __init__(self, net: MultiTaskNet, example: Tensor, input_name: str) -> None:
        self._example, self._input_name = example, input_name
        program = trace_net(net, example[:2], input_name, optimize=False)
        self._program = program.exported_program
        self._raw = ir.to_proto(program.model)
        self._operators = _operators(self._optimized(self._raw))
        self._depthwise = _depthwise(self._raw)
        _open_widths(self._raw)

    def export(self, net: MultiTaskNet) -> bytes:
        """The network, or a copy of it that differs in its numbers of channels alone, as of :func:`export_onnx`."""
        model = self._filled(net.for_export().state_dict())
        if model is not None and _operators(model) == self._operators and self._computes(model, net):
            return model
        return export_onnx(net, self._example[:2], self._input_name)

    def _filled(self, parameters: Mapping[str, Tensor]) -> bytes | None:
        """The graph with other parameters; None where it does not fit together any more."""
        proto = copy.deepcopy(self._raw)
        for initializer in proto.graph.initializer:
            if initializer.name in parameters:
                values = parameters[initializer.name].numpy()
                initializer.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(values), initializer.name))
        for node in proto.graph.node:
            if node.name in self._depthwise:
                (group,) = (attribute for attribute in node.attribute if attribute.name == "group")
                group.i = len(parameters[node.input[1]]) // self._depthwise[node.name]
        try:
            return self._optimized(proto)
        except Exception:  # the optimizer raises many kinds
            return None

    def _optimized(self, proto: onnx.ModelProto) -> bytes:
        with quiet():
            program = torch.onnx.ONNXProgram(ir.from_proto(proto), self._program)
            program.optimize()
            return finish(program.model)

    def _computes(self, model: bytes, net: MultiTaskNet) -> bool:
        """Whether ONNX Runtime makes of the examples what torch makes of them."""
        with torch.no_grad():
            expected = {name: out.numpy() for name, out in net(self._example).items()}
        try:
            found = open_session(model).run(list(expected), {self._input_name: self._example.numpy()})
            check_parity(expected, dict(zip(expected, found, strict=True)))
        except Exception:  # the runtime's are of many kinds, where shapes do not fit together
            return False
        return True


def _open_widths(proto: onnx.ModelProto) -> None:
    """Take from a graph what it says of widths: the numbers in its shapes, and the last one that a reshape asks for."""
    shapes = {value.name: value.type.tensor_type.shape.dim for value in proto.graph.value_info}
    for node in (node for node in proto.graph.node if node.op_type == "Reshape"):
        before, after = (shapes.get(name, ()) for name in (node.input[0], node.output[0]))
        if min(len(before), len(after)) > 1 and before[0] == after[0]:  # the batch stays
            dims = [0, *(axis.dim_value for axis in after[1:-1]), -1]
            node.input[1] = f"{node.name}_target"
            node.ClearField("attribute")
            proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(dims), node.input[1]))
    weights = {initializer.name for initializer in proto.graph.initializer}
    values = [value for value in proto.graph.value_info if value.name not in weights]  # those tell it themselves
    for value in values:
        for axis in value.type.tensor_type.shape.dim:
            axis.ClearField("dim_value")
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(values)


def _depthwise(proto: onnx.ModelProto) -> dict[str, int]:
    """Name of a convolution that has a group for each channel of its input -> how many channels each group makes."""
    weights = {initializer.name: list(initializer.dims) for initializer in proto.graph.initializer}
    found = {}
    for node in proto.graph.node:
        groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        if node.op_type == "Conv" and groups > 1 and weights.get(node.input[1], [0, 0])[1] == 1:
            found[node.name] = weights[node.input[1]][0] // groups
    return found


def _operators(model: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(model).graph.node]
