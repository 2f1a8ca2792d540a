"""Weights in a file of their own: protobuf, and so a model's own file, ends at 2 GiB."""

from dataclasses import dataclass

import onnx
from onnx import TensorProto

LARGEST_BYTES = 1 << 30
"""Models above this have their weights in another file, unless asked otherwise."""

DATA_SUFFIX = ".data"
_SMALLEST_TENSOR = 1024
"""Smaller ones stay: shapes are computed from them before weights are read."""
_PAGE = 4096
"""Where tensors begin, so that a runtime can map them."""


@dataclass(frozen=True)
class SplitModel:
    """A model's own file, and that of its weights."""

    model: bytes
    weights: bytes


def split_weights(model: bytes, file: str) -> SplitModel:
    """Take the weights out of a model.

    Args:
        model: serialized, with its weights inside.
        file: name of the weights' file, which must stand beside the model.
    """
    proto = onnx.load_from_string(model)
    weights = bytearray()
    for tensor in proto.graph.initializer:
        if len(tensor.raw_data) < _SMALLEST_TENSOR:
            continue
        weights.extend(bytes(-len(weights) % _PAGE))
        entries = {"location": file, "offset": str(len(weights)), "length": str(len(tensor.raw_data))}
        weights.extend(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)
    return SplitModel(bytes(proto.SerializeToString()), bytes(weights))
