"""Rounding that compensates: what rounding one weight spoils, the weights that are not rounded yet make up for.

A layer's answers suffer from ``E = W - Q`` as ``X E`` does, so what is to be small is ``E' H E`` with ``H = X' X`` over
the layer's inputs, not the error of each weight by itself. The weights are rounded one after the other, and each time
those that follow are moved to where the sum of errors is smallest (Frantar et al. 2022, arXiv:2208.11580 and
arXiv:2210.17323). All that is needed of the data is ``H``, which does not grow with the samples.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
import numpy as np
import onnx

from mtl_edge.progress import progress_bar
from mtl_edge.quantize.layers import Layer, layers_of, with_constants
from mtl_edge.quantize.narrow import ChannelEnds, saturating_channels
from mtl_edge.quantize.ranges import LEVELS
from mtl_edge.quantize.taps import tapped

_QMAX = 127
_ROWS = 8
"""Values of one sample, for each layer; a map has many that are nearly the same."""
_DAMPING = 0.01
"""Added to the diagonal of ``H``, as a share of its mean: what few samples say of rare directions is noise."""
_BLOCK = 64
_LONGEST = 5000
"""Values that an answer may sum over; the matrix is inverted, in time that grows with the third power."""
_HELD = 1 << 26
"""Numbers of all matrices that are held at once: half a gigabyte."""


class Rounded(msgspec.Struct, frozen=True):
    """A model whose weights are whole multiples of their scales.

    Attributes:
        model: the prepared model with these weights.
        pinned: weight -> the axis of its channels, and the largest magnitude of each that its 8 bits must cover, so
            that rounding to nearest finds the multiples again.
    """

    model: bytes
    pinned: Mapping[str, ChannelEnds] = {}


def round_weights(
    prepared: bytes,
    batches: Iterable[Mapping[str, np.ndarray]],
    ranges: Mapping[str, tuple[float, float]],
    *,
    narrowed: Mapping[str, ChannelEnds],
    saturates: bool,
) -> Rounded:
    """Choose the 8-bit weights of layers by what they answer on calibration data.

    Layers that sum over very many values are left as they are: their ``H`` grows with the square of that.

    Args:
        prepared: an fp32 model with folded constants and batch norms.
        batches: input name -> array; read once, or more often where all layers' ``H`` are too much for memory.
        ranges: tensor name -> the lowest and the highest value that its 8 bits represent.
        narrowed: weight -> the axis of its channels and how large a range to provide for; others use all of theirs.
        saturates: whether channels whose sums of two products could saturate are to be rounded to nearest.

    Raises:
        ModelError: the model cannot be loaded.
        DataError: the data does not fit.
    """
    layers = [layer for layer in layers_of(onnx.load_from_string(prepared).graph) if _size(layer)[1] <= _LONGEST]
    values, pinned = {}, {}
    with progress_bar("round", total=len(layers)) as bar:
        for group in _groups(layers):
            found = hessians(prepared, group, batches, ranges)
            for layer in group:
                name = layer.weight_name
                known = narrowed.get(name)
                ends = layer.largest_by_output(layer.weight) if known is None else known[1]
                quantized, scale = _rounded(layer, found.pop(name), ends, saturates=saturates)
                values[name], pinned[name] = quantized * scale, (layer.axis, ends)
                bar.advance(name)
    return Rounded(with_constants(prepared, values), pinned)


def _groups(layers: Sequence[Layer]) -> Iterator[list[Layer]]:
    """Layers whose matrices fit in memory together: each group is one more pass over the data."""
    group: list[Layer] = []
    values = 0
    for layer in layers:
        groups, length = _size(layer)
        if group and values + groups * length**2 > _HELD:
            yield group
            group, values = [], 0
        group.append(layer)
        values += groups * length**2
    if group:
        yield group


def _size(layer: Layer) -> tuple[int, int]:
    """Groups of a layer, and how many values each of its answers sums over."""
    groups, length, _ = layer.matrices(layer.weight).shape
    return groups, length


def hessians(
    prepared: bytes,
    layers: Sequence[Layer],
    batches: Iterable[Mapping[str, np.ndarray]],
    ranges: Mapping[str, tuple[float, float]],
) -> dict[str, np.ndarray]:
    """Weight -> ``X' X`` of what its layer multiplies, ``(G, K, K)``, with inputs in 8 bits as they will be."""
    chance = np.random.default_rng(0)
    found: dict[str, np.ndarray] = {}
    graph = onnx.load_from_string(prepared).graph
    constants = {tensor.name for tensor in graph.initializer}  # which old models list among their inputs, too
    first = next(value.name for value in graph.input if value.name not in constants)
    for seen in tapped(prepared, [first, *(layer.source for layer in layers)], batches):
        most = _ROWS * len(seen[first])
        for layer in layers:
            rows = layer.rows(seen[layer.source], most, chance)  # of a map they are few, so these are converted
            rows = _in_8_bits(rows, ranges.get(layer.source)).astype(np.float32)
            products = rows.transpose(0, 2, 1) @ rows
            if layer.weight_name not in found:
                found[layer.weight_name] = np.zeros(products.shape)
            found[layer.weight_name] += products  # in place: of a wide layer, each copy is tens of megabytes
    return found


def compensated(weight: np.ndarray, scale: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """Round weights so that the layer's answers change little.

    Args:
        weight: ``(G, K, N)`` for ``G`` groups of ``N`` channels that sum over ``K`` values.
        scale: ``(G, 1, N)``, of each channel.
        hessian: ``(G, K, K)``.

    Returns:
        Whole numbers from -127 to 127, 0 for 0; for no channel is the error in its answers larger than that of the
        nearest ones.
    """
    weight, scale = weight.astype(np.float64), scale.astype(np.float64)
    nearest = _clip(weight / scale)
    diagonal = np.diagonal(hessian, axis1=1, axis2=2)
    order = np.argsort(-diagonal, axis=1, kind="stable")  # what counts most is rounded first
    damping = np.maximum(_DAMPING * diagonal.mean(axis=1), np.finfo(np.float32).tiny)
    pull = _pull(hessian, damping, order)
    left = np.take_along_axis(weight, order[:, :, None], 1)
    given = left != 0  # zeros stay: between the blocks of merged layers, and where a mask has put them
    chosen = np.empty_like(left)
    for start in range(0, left.shape[1], _BLOCK):
        stop = min(start + _BLOCK, left.shape[1])
        errors = np.empty_like(left[:, start:stop])
        for row in range(start, stop):
            chosen[:, row] = _clip(left[:, row] / scale[:, 0]) * given[:, row]
            error = (left[:, row] - chosen[:, row] * scale[:, 0]) / pull[:, row, row, None]
            left[:, row + 1 : stop] -= pull[:, row, row + 1 : stop, None] * error[:, None, :]
            errors[:, row - start] = error
        left[:, stop:] -= pull[:, start:stop, stop:].transpose(0, 2, 1) @ errors
    found = np.empty_like(chosen)
    np.put_along_axis(found, order[:, :, None], chosen, 1)
    better = _cost(weight - found * scale, hessian) < _cost(weight - nearest * scale, hessian)
    return np.where(better[:, None, :], found, nearest)


def _pull(hessian: np.ndarray, damping: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The factor of the damped inverse, upper triangular, in this order; ``(G, K, K)``."""
    groups = np.arange(len(hessian))[:, None, None]
    ordered = hessian[groups, order[:, :, None], order[:, None, :]]
    diagonal = np.arange(ordered.shape[1])
    ordered[:, diagonal, diagonal] += damping[:, None]
    ordered = np.linalg.inv(ordered)
    return np.linalg.cholesky(ordered).transpose(0, 2, 1)


def _rounded(layer: Layer, hessian: np.ndarray, ends: np.ndarray, *, saturates: bool) -> tuple[np.ndarray, np.ndarray]:
    """The layer's 8-bit weights, and their scales."""
    # The quantizer's own arithmetic: double precision, rounded once.
    scale = (np.where(ends > 0, ends, _QMAX).astype(np.float32).astype(np.float64) / _QMAX).astype(np.float32)
    scale = layer.per_output(scale)
    scales = layer.matrices(np.broadcast_to(scale, layer.weight.shape))[:, :1]
    found = layer.weights_of(compensated(layer.matrices(layer.weight), scales, hessian)).astype(np.float32)
    if saturates and (cut := saturating_channels(layer.node, found)) is not None:
        found = np.where(layer.per_output(cut), np.rint(layer.weight / scale), found)
    return found, scale


def _cost(error: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """``E' H E`` of each channel, ``(G, N)``."""
    cost: np.ndarray = np.einsum("gkn,gkn->gn", error, hessian @ error)
    return cost


def _clip(values: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = np.clip(np.rint(values), -_QMAX, _QMAX)
    return rounded


def _in_8_bits(x: np.ndarray, ends: tuple[float, float] | None) -> np.ndarray:
    """Activations as the int8 model will have them; as they are where they stay in float."""
    low, high = (0.0, 0.0) if ends is None else (min(ends[0], 0.0), max(ends[1], 0.0))  # padding has to be exact
    if low == high:
        return x
    scale = (high - low) / (LEVELS - 1)
    zero = round(-low / scale)
    found: np.ndarray = (np.clip(np.rint(x / scale) + zero, 0, LEVELS - 1) - zero) * scale
    return found
