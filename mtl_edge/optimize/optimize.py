"""Optimization by the clock: a change of the graph stays only where it makes the whole network faster on this box."""

from collections.abc import Mapping

import msgspec
import numpy as np
import onnx

from mtl_edge.errors import ModelError
from mtl_edge.optimize.difference import difference
from mtl_edge.optimize.merge import find_groups, find_parallel_groups, merge, merge_all
from mtl_edge.optimize.pairs import without_redundant_pairs
from mtl_edge.optimize.rewrite import rewritten
from mtl_edge.quantize.audit import is_quantized
from mtl_edge.quantize.race import is_faster, latency_ratio, one_run
from mtl_edge.quantize.weights import bits_of_weights

_TOLERANCE = 1e-5
"""Of an output's largest magnitude: how far last bits may be off, where kernels sum in another order."""


class Optimized(msgspec.Struct, frozen=True, kw_only=True):
    """A model, and what was done to it.

    Attributes:
        model: serialized; the one that came in where nothing made it faster.
        applied: what was done: ``rewritten``, and the names of layers that became one with ``+`` between; of a
            quantized model, how many conversions were redundant.
        refused: what was tried, and made it no faster or moved an output.
        latency_ratio: latency over that of the model that came in, one thread; 1 where nothing was done.
        largest_difference: of any output from before, over that output's largest magnitude; 0 is equal to the bit.
    """

    model: bytes
    applied: tuple[str, ...]
    refused: tuple[str, ...]
    latency_ratio: float
    largest_difference: float


def optimize_graph(model: bytes, batch: Mapping[str, np.ndarray]) -> Optimized:
    """Rewrite a graph and merge its layers, each where that is clearly faster on this box with one thread.

    Of a quantized model, only conversions that change nothing are taken out, where it is not slower without them.

    Args:
        model: a serialized model.
        batch: input name -> samples; time is that of one of them where the graph leaves their number open.

    Raises:
        ModelError: the model cannot be read, or only its weights are in fewer bits.
    """
    try:
        graph = onnx.load_from_string(model).graph
    except Exception as error:  # protobuf's own exception types are not public
        raise ModelError(f"optimize: the model is not readable ONNX: {error}") from error
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in graph.node):
        return _without_pairs(model, batch)
    if bits_of_weights(graph) or any(is_quantized(node) for node in graph.node):
        raise ModelError("optimize: the model must be fp32, found quantized layers: optimize before you quantize")
    sizes = (batch, one_run(model, batch))  # kernels for one row are others than those for many
    best = model
    applied: list[str] = []
    refused: list[str] = []

    def moved(candidate: bytes) -> float:
        return max(difference(model, candidate, samples) for samples in sizes)

    def is_better(candidate: bytes) -> bool:
        return moved(candidate) <= _TOLERANCE and is_faster(candidate, best, batch)

    if (simpler := rewritten(model)) != model:
        if is_better(simpler):
            best = simpler
            applied.append("rewritten")
        else:
            refused.append("rewritten")
    whole = merge_all(best)
    for find in (find_groups, find_parallel_groups):
        for group in find(best):
            merged = merge(best, group)
            if is_better(merged.model):
                best = merged.model
                applied += merged.names
            else:
                refused += merged.names
    if set(whole.names) - set(applied) and is_better(whole.model):
        best = whole.model  # a merge may pay only with that of the layers behind
        applied = [*(name for name in applied if name not in whole.names), *whole.names]
        refused = [name for name in refused if name not in whole.names]
    ratio = latency_ratio(model, best, batch) if applied else 1.0
    if ratio >= 1:  # what seemed to be faster was noise
        best, applied, refused, ratio = model, [], [*applied, *refused], 1.0
    return Optimized(
        model=best,
        applied=tuple(applied),
        refused=tuple(refused),
        latency_ratio=ratio,
        largest_difference=moved(best),
    )


def _without_pairs(model: bytes, batch: Mapping[str, np.ndarray]) -> Optimized:
    """A quantized model without conversions that change nothing.

    ONNX Runtime takes most of them out itself when it loads a model; other runtimes and readers have less to do.
    """
    shorter = without_redundant_pairs(model)
    before, after = (len(onnx.load_from_string(each).graph.node) for each in (model, shorter))
    done = (f"{before - after} redundant conversions",) if before > after else ()
    exact = not done or max(difference(model, shorter, each) for each in (batch, one_run(model, batch))) == 0
    keep = bool(done) and exact and not is_faster(model, shorter, batch)
    return Optimized(
        model=shorter if keep else model,
        applied=done if keep else (),
        refused=() if keep else done,
        latency_ratio=latency_ratio(model, shorter, batch) if keep else 1.0,
        largest_difference=0.0,
    )
