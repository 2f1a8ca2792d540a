"""An int8 graph as a torch network: it runs the very nodes that ship, and its 8-bit numbers can be trained.

What is rounded where, the graph says: it is the one that :func:`mtl_edge.quantize.static.with_qdq` wrote. Trained are

- weights, in units of their steps, so that the layers' learning rates are alike, however large their weights are;
- the step of each channel of a weight, and of each activation, by their logarithms (Jain et al. 2020,
  arXiv:1903.08066); zero points stay, so that zero stays zero and what is rectified stays so;
- biases, in units of what a change of weights does to the layer's answers.

What the file could not say again, such as scales that the quantizer sets by itself, is not trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from mtl_edge.quantize.finetune.fake import fake_quantize, rounded
from mtl_edge.quantize.finetune.operators import Operator, attributes_of, operator_of, unknown
from mtl_edge.quantize.form import Form
from mtl_edge.quantize.int8_layers import constants_of
from mtl_edge.quantize.layers import with_constants
from mtl_edge.quantize.weights import channel_axis, layer_weight

_QMAX = 127
_SAME = 1e-5
"""By how much of itself a scale may differ from what its range gives."""
_ENDS = {np.dtype(np.uint8): (0, 255), np.dtype(np.int8): (-128, 127)}
_FORMS = (("_quantized", "_scale"), ("_int8", "_scale_of_weight"))
"""What comes after a weight's name in those of its 8-bit numbers and of their scales: in int8, and in float layers."""


@dataclass(frozen=True)
class _Weight:
    """Where the 8-bit numbers of a weight stand, what reads them, and whether that computes in int8."""

    name: str
    numbers: str
    scale: str
    layer: onnx.NodeProto
    int8: bool


@dataclass(frozen=True)
class _Bias:
    """A bias in 32 bits, whose step is the product of two others."""

    name: str
    numbers: str
    input_scale: str
    weight_scale: str


@dataclass(frozen=True)
class _Step:
    """One node, ready to run."""

    node: onnx.NodeProto
    operator: Operator
    attributes: Mapping[str, object]


class Student(nn.Module):
    """The graph with parameters; :meth:`forward` computes what the int8 model answers.

    Args:
        graph: with Q/DQ pairs, and with the names that they were given at first.
        start: what it was written from.
        saturates: whether sums of two products must fit 16 bits.

    Raises:
        ModelError: it has an operator that cannot be trained.
    """

    def __init__(self, graph: onnx.GraphProto, start: Form, *, saturates: bool) -> None:
        super().__init__()
        self._start, self._saturates = start, saturates
        constants = constants_of(graph)
        originals = constants_of(onnx.load_from_string(start.model).graph)
        makers = {name: node for node in graph.node for name in node.output}
        self._outputs = [value.name for value in graph.output]
        self._weights = _weights(graph, constants, originals, makers)
        self._biases = _biases(graph, constants, originals, makers)
        self._ranged = _ranged(graph, constants, start.ranges)
        self._zeros = {
            name: int(value) for name, value in constants.items() if value.ndim == 0 and value.dtype in _ENDS
        }
        self._ends = {name: _ENDS[value.dtype] for name, value in constants.items() if value.dtype in _ENDS}
        self._fixed = {name: torch.from_numpy(value.copy()) for name, value in constants.items()}
        self.numbers = nn.ParameterList(self._fixed[weight.numbers].float() for weight in self._weights)
        self.weight_steps = nn.ParameterList(torch.zeros_like(self._fixed[weight.scale]) for weight in self._weights)
        self.activation_steps = nn.ParameterList(torch.zeros_like(self._fixed[name]) for name in self._ranged)
        self.biases = nn.ParameterList(torch.zeros(originals[bias.name].shape) for bias in self._biases)
        self._bias_starts = [torch.from_numpy(originals[bias.name].copy()) for bias in self._biases]
        self._bias_units = [self._unit(bias) for bias in self._biases]
        self._live = [
            (numbers != 0).any(dim=_others(numbers, axis), keepdim=True) & torch.from_numpy(originals[weight.name] != 0)
            for weight, (numbers, axis) in zip(self._weights, self._channels(), strict=True)
        ]
        self._steps = [self._step(node, makers) for node in graph.node]

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The graph's outputs, differentiable by the parameters.

        Args:
            inputs: input name -> batch.

        Raises:
            ModelError: a node has a form that cannot be trained.
        """
        values: dict[str, Tensor | None] = {**self._fixed, **inputs, "": None}
        for name, log in zip(self._ranged, self.activation_steps, strict=True):
            values[name] = self._fixed[name] * log.exp()
        for weight, numbers, log in zip(self._weights, self.numbers, self.weight_steps, strict=True):
            values[weight.scale] = self._fixed[weight.scale] * log.exp()
            values[weight.numbers] = rounded(numbers)
        for bias, value in zip(self._biases, self._bias_values(), strict=True):
            step = values[bias.input_scale] * values[bias.weight_scale]  # type: ignore[operator]
            values[bias.numbers] = rounded(value / step) * step
        for step in self._steps:
            found = step.operator(step.attributes, *(values[name] for name in step.node.input))
            many = found if isinstance(found, tuple) else (found,)
            values.update(zip(step.node.output, many, strict=False))
        return {name: values[name] for name in self._outputs}  # type: ignore[misc]

    @torch.no_grad()
    def settle(self) -> None:
        """After a step of training, bring the weights back to what 8 bits hold and the target's kernels can add."""
        for weight, numbers, live in zip(self._weights, self.numbers, self._live, strict=True):
            numbers.mul_(live).clamp_(-_QMAX, _QMAX)
            if self._saturates and weight.int8:
                _fit_pairs(numbers, weight.layer)

    @torch.no_grad()
    def trained(self) -> Form:
        """What the int8 model is to be written from."""
        values, pinned, ranges = {}, dict(self._start.pinned), dict(self._start.ranges)
        for weight, numbers, log, (_, axis) in zip(
            self._weights, self.numbers, self.weight_steps, self._channels(), strict=True
        ):
            scale = (self._fixed[weight.scale] * log.exp()).reshape(-1)
            shape = [-1 if each == axis else 1 for each in range(numbers.ndim)]
            values[weight.name] = (numbers.round() * scale.reshape(shape)).numpy()
            pinned[weight.name] = axis, _QMAX * scale.numpy().astype(np.float64)
        for bias, value in zip(self._biases, self._bias_values(), strict=True):
            values[bias.name] = value.numpy()
        for name, log in zip(self._ranged, self.activation_steps, strict=True):
            scale = float(self._fixed[name] * log.exp())
            zero, (low, high) = self._ranged[name]
            ranges[name.removesuffix("_scale")] = (low - zero) * scale, (high - zero) * scale
        model = with_constants(self._start.model, values)
        return replace(self._start, model=model, ranges=ranges, pinned=pinned)

    def _bias_values(self) -> list[Tensor]:
        return [
            start + unit * moved
            for start, unit, moved in zip(self._bias_starts, self._bias_units, self.biases, strict=True)
        ]

    def _unit(self, bias: _Bias) -> Tensor:
        """What one step of a weight does to an answer, where its input is in the middle of its range."""
        return _QMAX * self._fixed[bias.input_scale] * self._fixed[bias.weight_scale]

    def _channels(self) -> list[tuple[Tensor, int]]:
        """Each weight, and the axis of its channels."""
        return [
            (numbers, channel_axis(weight.layer, numbers.ndim))
            for weight, numbers in zip(self._weights, self.numbers, strict=True)
        ]

    def _step(self, node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto]) -> _Step:
        match node.op_type:
            case "QuantizeLinear":
                return _Step(node, self._quantize(node, makers), {})
            case "DequantizeLinear":
                return _Step(node, self._dequantize(node, makers), attributes_of(node))
        return _Step(node, operator_of(node), attributes_of(node))

    def _quantize(self, node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto]) -> Operator:
        if node.input[2] not in self._zeros:
            raise unknown(node, "activations with a zero point for each channel")
        zero, ends = self._zeros[node.input[2]], self._ends[node.input[2]]
        maker = makers.get(node.input[0])
        before = makers.get(maker.input[0]) if maker is not None and maker.op_type == "Softmax" else None
        if before is not None and before.op_type == "DequantizeLinear":
            # ONNX Runtime's kernel takes the reciprocal of the scale for a whole number.
            return lambda a, x, scale, *_: fake_quantize(x * (scale * (1 / scale).floor()).detach(), scale, zero, *ends)
        return lambda a, x, scale, *_: fake_quantize(x, scale, zero, *ends)

    def _dequantize(self, node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto]) -> Operator:
        maker = makers.get(node.input[0])
        if maker is not None and maker.op_type == "QuantizeLinear" and maker.input[1:] == node.input[1:]:
            return lambda a, x, *_: x  # to quantize has given the values already that the numbers stand for
        if maker is not None or node.input[0] not in self._fixed:
            raise unknown(node, "numbers that are dequantized by others than they were quantized by")
        if node.input[0] in {bias.numbers for bias in self._biases}:
            return lambda a, x, *_: x
        return _dequantized


def _dequantized(a: Mapping[str, int], x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """A constant; with a scale for each channel, or one for all."""
    shape = [-1 if axis == a.get("axis", 1) % x.ndim else 1 for axis in range(x.ndim)] if scale.ndim else []
    numbers = x.to(torch.float32)
    shifted = numbers if zero is None else numbers - zero.to(torch.float32).reshape(shape)
    return shifted * scale.reshape(shape)


def _weights(
    graph: onnx.GraphProto,
    constants: Mapping[str, np.ndarray],
    originals: Mapping[str, np.ndarray],
    makers: Mapping[str, onnx.NodeProto],
) -> list[_Weight]:
    """Weights of layers with a scale for each channel, which one layer reads."""
    found: dict[str, _Weight] = {}
    for node in graph.node:
        maker = makers.get(layer_weight(node))
        if maker is None:
            continue
        scale = str(maker.input[1])
        for after, after_scale in _FORMS:
            name = scale.removesuffix(after_scale)
            numbers = f"{name}{after}"
            axis = channel_axis(node, constants[numbers].ndim) if numbers in constants else 0
            if (
                scale == f"{name}{after_scale}"
                and name in originals
                and numbers in constants
                and constants[numbers].dtype == np.int8
                and constants[scale].size == constants[numbers].shape[axis]
                and constants[scale].ndim > 0
            ):
                found.setdefault(name, _Weight(name, numbers, scale, node, maker.op_type == "DequantizeLinear"))
    return list(found.values())


def _biases(
    graph: onnx.GraphProto,
    constants: Mapping[str, np.ndarray],
    originals: Mapping[str, np.ndarray],
    makers: Mapping[str, onnx.NodeProto],
) -> list[_Bias]:
    """Biases in 32 bits, whose step is that of the layer's input times that of its weight."""
    found: dict[str, _Bias] = {}
    for node in graph.node:
        made = [makers.get(name) for name in node.input]
        if len(made) < 3 or any(each is None or each.op_type != "DequantizeLinear" for each in made):
            continue
        source, weight, bias = (each for each in made[:3] if each is not None)
        name = bias.input[0].removesuffix("_quantized")
        if name in originals and constants[bias.input[0]].dtype == np.int32:
            found.setdefault(name, _Bias(name, bias.input[0], source.input[1], weight.input[1]))
    return list(found.values())


def _ranged(
    graph: onnx.GraphProto, constants: Mapping[str, np.ndarray], ranges: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[int, tuple[int, int]]]:
    """Scales of activations that follow from a range -> their zero point, and the ends of their numbers.

    Those of the graph's inputs are not among them: what comes in may lie on a grid, as pixels do, which calibration
    has met and gradients of rounding know nothing of.
    """
    given = {value.name for value in graph.input}
    found: dict[str, tuple[int, tuple[int, int]]] = {}
    for node in graph.node:
        if node.op_type != "QuantizeLinear" or constants[node.input[2]].ndim or node.input[0] in given:
            continue
        scale, zero = constants[node.input[1]], constants[node.input[2]]
        low, high = ranges.get(node.input[1].removesuffix("_scale"), (0.0, 0.0))
        span = max(high, 0.0) - min(low, 0.0)
        if span > 0 and abs(span / 255 / float(scale) - 1) < _SAME:
            found[str(node.input[1])] = int(zero), _ENDS[zero.dtype]
    return found


def _others(numbers: Tensor, axis: int) -> list[int]:
    return [other for other in range(numbers.ndim) if other != axis]


def _fit_pairs(numbers: Tensor, layer: onnx.NodeProto) -> None:
    """Make neighbours of the same sign smaller by the same amount where they add up to more than 127; in place.

    As in :mod:`mtl_edge.quantize.narrow`: rounded, they add up to 128 at most, and 255 times that fits 16 bits.
    """
    axis = channel_axis(layer, numbers.ndim)
    if layer.op_type == "Conv" and numbers.shape[1] == 1 and numbers.shape[0] > 1:
        return  # depthwise: kernels that do not saturate
    rows = numbers.movedim(1, -1) if layer.op_type == "Conv" else numbers.movedim(axis, 0)
    flat = rows.reshape(len(rows), -1)
    even = flat.shape[1] // 2 * 2
    pairs = flat[:, :even].reshape(len(flat), -1, 2)
    excess = (pairs.abs().sum(-1) - _QMAX).clamp(min=0) * (pairs[..., 0] * pairs[..., 1] > 0)
    less = torch.minimum(excess[..., None] / 2, pairs.abs())
    flat = torch.cat([(pairs - pairs.sign() * less).reshape(len(flat), -1), flat[:, even:]], dim=1)
    fitted = flat.reshape(rows.shape)
    numbers.copy_(fitted.movedim(-1, 1) if layer.op_type == "Conv" else fitted.movedim(0, axis))
