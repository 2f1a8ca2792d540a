"""Inputs for any graph, from its own shapes and dtypes."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from mtl_edge.errors import BenchError

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
}


class GraphInput(Protocol):
    """What ONNX Runtime says of an input: unknown dimensions are names or None."""

    name: str
    type: str
    shape: Sequence[int | str | None]


def random_inputs(
    graph_inputs: Sequence[GraphInput], *, batch: int, dims: Mapping[str, int], place: str
) -> dict[str, np.ndarray]:
    """One random array per input, always the same ones.

    Floating-point inputs are standard normal; integers are 0 or 1, which every embedding table can look up.

    Args:
        graph_inputs: from ``session.get_inputs()``.
        batch: size of a symbolic or unknown first dimension.
        dims: sizes of other symbolic dimensions, by name; 1 for those not named.
        place: what an error names.

    Raises:
        BenchError: an input is not a tensor of numbers.
    """
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for item in graph_inputs:
        dtype = _DTYPES.get(item.type)
        if dtype is None:
            raise BenchError(f"{place}: input {item.name!r} must be a tensor of numbers, found {item.type}")
        shape = [_size(size, axis, batch, dims) for axis, size in enumerate(item.shape)]
        if np.issubdtype(dtype, np.floating):
            arrays[item.name] = rng.standard_normal(shape).astype(dtype)
        else:
            arrays[item.name] = rng.integers(0, 2, shape).astype(dtype)
    return arrays


def describe(arrays: Mapping[str, np.ndarray]) -> str:
    """Names, dtypes and shapes in one line: ``image float32[1,1,36,36]``."""
    return ", ".join(f"{name} {array.dtype}{list(array.shape)}".replace(", ", ",") for name, array in arrays.items())


def _size(size: int | str | None, axis: int, batch: int, dims: Mapping[str, int]) -> int:
    if isinstance(size, int):
        return size
    if size is not None and size in dims:
        return dims[size]
    return batch if axis == 0 else 1
