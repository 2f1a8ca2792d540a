"""Static int8 quantization of any fp32 ``.onnx``; needs onnx and onnxruntime, no torch.

Where 8 bits go, ONNX Runtime's own quantizer decides: it knows which operators its kernels fuse. The ranges come from
our calibration, which sees the data once and keeps none of it.
"""

import contextlib
import itertools
import logging
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import onnx
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
from onnxruntime.quantization.shape_inference import quant_pre_process

from mtl_edge.errors import ModelError
from mtl_edge.quantize.calibrate import calibrate
from mtl_edge.quantize.graph import sort_nodes
from mtl_edge.quantize.narrow import Narrowing, narrowing
from mtl_edge.quantize.placement import kept_in_float, let_outputs_be_float
from mtl_edge.quantize.race import Placement, find_placement, one_run
from mtl_edge.quantize.ranges import Method, find_ranges
from mtl_edge.quantize.remembered import remembered
from mtl_edge.quantize.rewrite import (
    fold_casts,
    fold_factors,
    half_precision_layer,
    part_read_activations,
    part_shared_constants,
    with_scales_per_channel,
)
from mtl_edge.quantize.target import Target, TargetName, find_target, this_target
from mtl_edge.quantize.trim import trimmed
from mtl_edge.quantize.weights import has_small_weights, with_small_weights

PlacementName = Literal["measured", "all"]


def quantize_static(
    model: bytes,
    batches: Iterable[Mapping[str, np.ndarray]],
    *,
    method: Method = "minmax",
    target: TargetName | None = None,
    placement: PlacementName = "all",
    known: Path | None = None,
) -> bytes:
    """Quantize weights and activations to 8 bits, with ranges taken from calibration data.

    Weights get one scale per output channel, and both are written as Q/DQ pairs: of the forms that ONNX Runtime reads,
    this is the one whose convolutions, residual adds and pooling all run in int8 on x86. What is done to raw inputs
    before the first layer stays in float, as do norms and the outputs of last matrix products.

    Args:
        model: a serialized fp32 ONNX model.
        batches: input name -> array, the samples to calibrate with, read once and one at a time.
        method: how a range is taken from what was seen.
        target: the kind of processor that will run it; None means this box.
        placement: what goes to int8: ``all`` that has a kernel; or, ``measured`` on this box, what is faster so.
        known: folder where measured placements are kept for networks of the same shapes; None keeps nothing.

    Returns:
        The serialized int8 model.

    Raises:
        ModelError: the model cannot be read, or is quantized already.
        DataError: the calibration data does not fit the model.
    """
    prepared, stream = prepare(model), iter(batches)
    first = next(stream, None)
    observed = calibrate(prepared, itertools.chain([] if first is None else [first], stream))
    assert first is not None  # or calibration would have refused it
    ranges, profile = find_ranges(observed, method), find_target(target or this_target())
    return place(prepared, ranges, profile, placement, first, known).model


class Placed(msgspec.Struct, frozen=True):
    """An int8 model.

    Where its placement was measured, ``kept`` are the nodes that stay in float besides those that always do,
    ``latency_ratio`` is that to fp32, and ``trials`` is how many placements were tried.
    """

    model: bytes
    kept: frozenset[str] = frozenset()
    latency_ratio: float | None = None
    trials: int = 0


def place(
    prepared: bytes,
    ranges: Mapping[str, tuple[float, float]],
    target: Target,
    placement: PlacementName,
    batch: Mapping[str, np.ndarray],
    known: Path | None = None,
) -> Placed:
    """Decide what goes to int8, and write the model.

    Args:
        prepared: what :func:`prepare` gave.
        ranges: tensor name -> the lowest and the highest value to represent.
        target: the kind of processor that will run it.
        placement: as for :func:`quantize_static`.
        batch: samples to measure with, one of them at a time where the graph leaves that open.
        known: folder where measured placements are kept; None keeps nothing.
    """
    if placement == "all":
        return Placed(insert_qdq(prepared, ranges, target))
    one = one_run(prepared, batch)

    def search() -> Placement:
        return find_placement(prepared, lambda kept: insert_qdq(prepared, ranges, target, kept=kept), one)

    found = search() if known is None else remembered(known, prepared, target, one, search)
    return Placed(insert_qdq(prepared, ranges, target, kept=found.kept), found.kept, found.ratio, found.trials)


def prepare(model: bytes) -> bytes:
    """Fold constants, fuse batch norms and infer shapes: what calibration and quantization start from.

    Raises:
        ModelError: the model cannot be read, or is quantized already.
    """
    try:
        loaded = onnx.load_from_string(model)
    except Exception as error:  # protobuf's own exception types are not public
        raise ModelError(f"quantize: the model is not readable ONNX: {error}") from error
    graph = loaded.graph
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in graph.node):
        raise ModelError("quantize: the model must be fp32, found QuantizeLinear nodes: it is quantized already")
    if has_small_weights(graph):
        raise ModelError("quantize: the model must be fp32, found weights of 8 bits: it is quantized already")
    with tempfile.TemporaryDirectory(prefix="mtl-edge-") as folder, _quiet():
        source, prepared = Path(folder) / "fp32.onnx", Path(folder) / "prepared.onnx"
        onnx.save(with_scales_per_channel(loaded), source)
        # Symbolic inference needs sympy and fails on Resize: not used.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        proto = onnx.load(prepared)
    for position, node in enumerate(proto.graph.node):
        node.name = node.name or f"node_{position}"
    fold_casts(proto.graph)
    if half := half_precision_layer(proto.graph):
        raise ModelError(f"quantize: the model must be fp32, found the layer {half} in half precision")
    fold_factors(proto.graph)
    part_shared_constants(proto.graph)
    part_read_activations(proto.graph)
    return bytes(proto.SerializeToString())


def insert_qdq(
    prepared: bytes,
    ranges: Mapping[str, tuple[float, float]],
    target: Target,
    *,
    only: Collection[str] = (),
    kept: Collection[str] = (),
    small: bool = True,
) -> bytes:
    """Write a prepared model with Q/DQ pairs, whose scales cover these ranges.

    Args:
        prepared: what :func:`prepare` gave.
        ranges: tensor name -> the lowest and the highest value to represent.
        target: the kind of processor that will run it.
        only: names of the nodes to quantize; none means all that can be.
        kept: names of nodes that stay in float besides those that always do.
        small: whether layers that stay in float have their weights in 8 bits all the same.
    """
    covered = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in ranges.items()
    }
    proto = onnx.load_from_string(prepared)
    given = {value.name for value in proto.graph.input}
    # The quantizer would make them anew, under the name that they have already.
    passed_on = {position: value for position, value in enumerate(proto.graph.output) if value.name in given}
    for value in passed_on.values():
        proto.graph.output.remove(value)
    with _quiet():
        quantizer = QDQQuantizer(
            proto,
            per_channel=True,
            reduce_range=False,
            weight_qType=target.weight,
            activation_qType=target.activation,
            tensors_range=TensorsData(CalibrationMethod.MinMax, covered),
            nodes_to_quantize=list(only),
            nodes_to_exclude=[*kept_in_float(proto.graph), *kept],
            op_types_to_quantize=sorted({*QLinearOpsRegistry, *QDQRegistry}),
            extra_options={"TensorQuantOverrides": _overrides(find_narrowing(prepared, target, kept))},
        )
        quantizer.quantize_model()
    proto = quantizer.model.model
    sort_nodes(proto.graph)
    for position, value in passed_on.items():
        proto.graph.output.insert(position, value)
    let_outputs_be_float(proto.graph)
    return trimmed(with_small_weights(proto) if small else proto)


def find_narrowing(prepared: bytes, target: Target, kept: Collection[str] = ()) -> Narrowing:
    """Which weights of a prepared model must not use all of their 8 bits on a kind of processor.

    Args:
        prepared: what :func:`prepare` gave.
        target: the kind of processor.
        kept: names of nodes that stay in float besides those that always do.
    """
    if not target.saturates:
        return Narrowing({}, ())
    graph = onnx.load_from_string(prepared).graph
    return narrowing(graph, {*kept_in_float(graph), *kept})


def _overrides(narrowed: Narrowing) -> dict[str, list[dict[str, Any]]]:
    """The ranges of weights in the quantizer's own form: a dictionary per channel."""
    return {
        weight: [{"axis": axis, "rmin": -end, "rmax": end} for end in ends.tolist()]
        for weight, (axis, ends) in narrowed.ranges.items()
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's quantizer logs hints on the root logger that do not apply here."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)
