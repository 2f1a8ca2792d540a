"""Static int8 quantization of any fp32 ``.onnx``; needs onnx and onnxruntime, no torch.

Where 8 bits go, ONNX Runtime's own quantizer decides: it knows which operators its kernels fuse. The ranges come from
our calibration, which sees the data once and keeps none of it.
"""

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import msgspec
import numpy as np
import onnx
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from mtl_edge.bench.machine import TargetName
from mtl_edge.errors import DataError
from mtl_edge.graph import sort_nodes
from mtl_edge.quantize.alone import Alone
from mtl_edge.quantize.bias import correct_biases
from mtl_edge.quantize.calibrate import calibrate
from mtl_edge.quantize.data import CalibrationData
from mtl_edge.quantize.equalize import equalize
from mtl_edge.quantize.form import Form, side_by_side
from mtl_edge.quantize.narrow import ChannelEnds, Narrowing, narrowing
from mtl_edge.quantize.placement import kept_in_float, let_float_read_float, let_outputs_be_float
from mtl_edge.quantize.prepare import prepare, quiet
from mtl_edge.quantize.race import Placement, best_is_faster, find_placement, movable_nodes, one_run
from mtl_edge.quantize.ranges import Method, find_ranges
from mtl_edge.quantize.refinements import Refinements
from mtl_edge.quantize.remembered import remembered
from mtl_edge.quantize.rounding import round_weights
from mtl_edge.quantize.target import Target, find_target, this_target
from mtl_edge.quantize.trim import trimmed
from mtl_edge.quantize.weights import with_small_weights

PlacementName = Literal["measured", "all"]

_REFINEMENTS = Refinements()
_SAMPLES_OF_MEANS = 128
"""Of which biases are corrected: what a mean over them misses has 1/128 of the power of the noise that it is of."""


def quantize_static(
    model: bytes,
    batches: Iterable[Mapping[str, np.ndarray]],
    *,
    method: Method = "mse",
    target: TargetName | None = None,
    placement: PlacementName = "all",
    known: Path | None = None,
    refinements: Refinements = _REFINEMENTS,
) -> bytes:
    """Quantize weights and activations to 8 bits, with ranges taken from calibration data.

    Weights get one scale per output channel, and both are written as Q/DQ pairs: of the forms that ONNX Runtime reads,
    this is the one whose convolutions, residual adds and pooling all run in int8 on x86. What is done to raw inputs
    before the first layer stays in float, as do norms and the outputs of last matrix products.

    Args:
        model: a serialized fp32 ONNX model.
        batches: input name -> array, the samples to calibrate with, read one at a time; read again, and so no mere
            iterator, where refinements need that.
        method: how a range is taken from what was seen.
        target: the kind of processor that will run it; None means this box.
        placement: what goes to int8: ``all`` that has a kernel; or, ``measured`` on this box, what is faster so.
        known: folder where measured placements are kept for networks of the same shapes; None keeps nothing.
        refinements: what else is done so that 8 bits cost less.

    Returns:
        The serialized int8 model.

    Raises:
        ModelError: the model cannot be read, or is quantized already.
        DataError: the calibration data does not fit the model.
    """
    stream = iter(batches)
    if refinements.read_again and stream is batches:
        raise DataError("quantize: batches must be such as can be read again, as a list can; found an iterator")
    prepared = prepare(model)
    if refinements.equalize:
        prepared = equalize(prepared)
    first = next(stream, None)
    observed = calibrate(prepared, itertools.chain([] if first is None else [first], stream))
    assert first is not None  # or calibration would have refused it
    ranges, profile = find_ranges(observed, method), find_target(target or this_target())
    return refine(prepared, batches, first, ranges, profile, placement, refinements, known).placed.model


class Placed(msgspec.Struct, frozen=True):
    """An int8 model.

    Where its placement was measured, ``kept`` are the nodes that stay in float besides those that always do,
    ``latency_ratio`` is that to fp32, and ``trials`` is how many placements were tried.
    """

    model: bytes
    kept: frozenset[str] = frozenset()
    latency_ratio: float | None = None
    trials: int = 0


@dataclass(frozen=True)
class Refined:
    """An int8 model, and what it was written from, biases corrected."""

    form: Form
    placed: Placed


def refine(
    prepared: bytes,
    batches: Iterable[Mapping[str, np.ndarray]],
    first: Mapping[str, np.ndarray],
    ranges: Mapping[str, tuple[float, float]],
    target: Target,
    placement: PlacementName,
    refinements: Refinements,
    known: Path | None = None,
) -> Refined:
    """Choose the 8-bit weights, then what goes to int8, then the biases; and write the model.

    Args:
        prepared: what :func:`mtl_edge.quantize.prepare.prepare` gave, equalized if that is wanted: the ranges are of
            this model.
        batches: input name -> array, the calibration data; not read where no refinement needs it.
        first: one of them, to measure with.
        ranges: tensor name -> the lowest and the highest value to represent.
        target: the kind of processor that will run it.
        placement: as for :func:`quantize_static`.
        refinements: what is to be done.
        known: folder where measured placements are kept; None keeps nothing.
    """
    form = Form(prepared, prepared, ranges)
    if refinements.rounding == "compensated":
        narrowed = find_narrowing(prepared, target).ranges
        rounded = round_weights(prepared, batches, ranges, narrowed=narrowed, saturates=target.saturates)
        form = dataclasses.replace(form, model=rounded.model, pinned=rounded.pinned)
    if placement == "all":
        placed = Placed(insert_form(form, target))
    else:
        form, placed = place(form, target, first, known)
    if not refinements.correct_bias:
        return Refined(form, placed)

    def build(model: bytes) -> bytes:
        return insert_form(dataclasses.replace(form, model=model), target, placed.kept)

    few = batches.spread(_SAMPLES_OF_MEANS) if isinstance(batches, CalibrationData) else batches
    corrected = correct_biases(form.model, form.original, build, few)
    return Refined(dataclasses.replace(form, model=corrected), msgspec.structs.replace(placed, model=build(corrected)))


def place(form: Form, target: Target, batch: Mapping[str, np.ndarray], known: Path | None) -> tuple[Form, Placed]:
    """Measure what goes to int8, and whether layers side by side are faster as one; and write the model.

    Args:
        form: the model.
        target: the kind of processor that will run it.
        batch: samples to measure with, one of them at a time where the graph leaves that open.
        known: folder where measured placements are kept; None keeps nothing.

    Returns:
        The form that is faster, with what was found for it.
    """
    one = one_run(form.model, batch)
    apart, wide = _Written(form, target), side_by_side(form)
    together = None if wide is None else _Written(wide, target)
    patterns = known and known / "patterns"

    def search() -> Placement:
        merged = together is not None and best_is_faster(together.extremes, apart.extremes, one)
        chosen = together if merged and together is not None else apart
        alone = Alone(chosen.form.model, target, one, patterns).seconds
        base = form.model if merged else None
        return dataclasses.replace(
            find_placement(chosen.form.model, chosen, one, base=base, alone=alone), merged=merged
        )

    found = search() if known is None else remembered(known, form.model, target, one, search)
    chosen = together if found.merged and together is not None else apart
    return chosen.form, Placed(chosen(found.kept), found.kept, found.ratio, found.trials)


class _Written:
    """The int8 models of a form, by what stays in float; each is written once."""

    def __init__(self, form: Form, target: Target) -> None:
        self.form, self._target = form, target
        self._models: dict[frozenset[str], bytes] = {}

    def __call__(self, kept: frozenset[str]) -> bytes:
        if kept not in self._models:
            self._models[kept] = insert_form(self.form, self._target, kept)
        return self._models[kept]

    @property
    def extremes(self) -> tuple[bytes, bytes]:
        """All of it in int8, and nothing."""
        return self(frozenset()), self(movable_nodes(onnx.load_from_string(self.form.model).graph))


def insert_form(form: Form, target: Target, kept: Collection[str] = ()) -> bytes:
    """As :func:`insert_qdq`, of a form."""
    return insert_qdq(form.model, form.ranges, target, kept=kept, pinned=form.pinned)


def insert_qdq(
    prepared: bytes,
    ranges: Mapping[str, tuple[float, float]],
    target: Target,
    *,
    only: Collection[str] = (),
    kept: Collection[str] = (),
    small: bool = True,
    pinned: Mapping[str, ChannelEnds] = MappingProxyType({}),
) -> bytes:
    """Write a prepared model with Q/DQ pairs, whose scales cover these ranges; arguments as of :func:`with_qdq`."""
    return trimmed(with_qdq(prepared, ranges, target, only=only, kept=kept, small=small, pinned=pinned))


def with_qdq(
    prepared: bytes,
    ranges: Mapping[str, tuple[float, float]],
    target: Target,
    *,
    only: Collection[str] = (),
    kept: Collection[str] = (),
    small: bool = True,
    pinned: Mapping[str, ChannelEnds] = MappingProxyType({}),
) -> onnx.ModelProto:
    """As :func:`insert_qdq`, with the names that tell which tensor each scale is of.

    Args:
        prepared: what :func:`mtl_edge.quantize.prepare.prepare` gave.
        ranges: tensor name -> the lowest and the highest value to represent.
        target: the kind of processor that will run it.
        only: names of the nodes to quantize; none means all that can be.
        kept: names of nodes that stay in float besides those that always do.
        small: whether layers that stay in float have their weights in 8 bits all the same.
        pinned: weight -> the axis of its channels and each one's largest magnitude, where it is rounded already.
    """
    covered = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in ranges.items()
    }
    proto = onnx.load_from_string(prepared)
    floats = {
        *kept_in_float(proto.graph),
        *kept,
        *(node.name for node in proto.graph.node if only and node.name not in only),
    }
    given = {value.name for value in proto.graph.input}
    # The quantizer would make them anew, under the name that they have already.
    passed_on = {position: value for position, value in enumerate(proto.graph.output) if value.name in given}
    for value in passed_on.values():
        proto.graph.output.remove(value)
    with quiet():
        quantizer = QDQQuantizer(
            proto,
            per_channel=True,
            reduce_range=False,
            weight_qType=target.weight,
            activation_qType=target.activation,
            tensors_range=TensorsData(CalibrationMethod.MinMax, covered),
            nodes_to_quantize=list(only),
            nodes_to_exclude=sorted(floats),
            op_types_to_quantize=sorted({*QLinearOpsRegistry, *QDQRegistry}),
            extra_options={
                "TensorQuantOverrides": _overrides({**find_narrowing(prepared, target, kept, pinned).ranges, **pinned})
            },
        )
        quantizer.quantize_model()
    proto = quantizer.model.model
    sort_nodes(proto.graph)
    for position, value in passed_on.items():
        proto.graph.output.insert(position, value)
    let_outputs_be_float(proto.graph)
    let_float_read_float(proto.graph, floats)
    return with_small_weights(proto, pinned) if small else proto


def find_narrowing(
    prepared: bytes, target: Target, kept: Collection[str] = (), known: Collection[str] = ()
) -> Narrowing:
    """Which weights of a prepared model must not use all of their 8 bits on a kind of processor.

    Args:
        prepared: what :func:`mtl_edge.quantize.prepare.prepare` gave.
        target: the kind of processor.
        kept: names of nodes that stay in float besides those that always do.
        known: weights that are not looked at.
    """
    if not target.saturates:
        return Narrowing({}, ())
    graph = onnx.load_from_string(prepared).graph
    seen = {node.name for node in graph.node if any(name in known for name in node.input)}
    return narrowing(graph, {*kept_in_float(graph), *kept, *seen})


def _overrides(ranges: Mapping[str, ChannelEnds]) -> dict[str, list[dict[str, Any]]]:
    """The scales of weights in the quantizer's own form: a dictionary per channel, as it would compute them itself."""
    found = {}
    for weight, (axis, ends) in ranges.items():
        scales = (ends.astype(np.float32).astype(np.float64) / 127).astype(np.float32)
        scales = np.where(scales < np.finfo(np.float32).tiny, np.float32(1), scales)
        found[weight] = [{"axis": axis, "scale": scale, "zero_point": 0} for scale in scales]
    return found
