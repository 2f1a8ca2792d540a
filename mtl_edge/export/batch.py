"""How many samples a model takes at a time: any number, or one that is fixed."""

import numpy as np
import onnx

from mtl_edge.bench.inputs import random_inputs
from mtl_edge.errors import ModelError, last_words
from mtl_edge.runtime import open_session

_OPEN = "batch"
_TRIED = (1, 3)


def set_batch(model: bytes, size: int | None) -> bytes:
    """The model for so many samples at a time; inputs and outputs have them along their first axis.

    Args:
        model: a serialized model.
        size: how many; None leaves it open.

    Raises:
        ModelError: the model is fixed to another number, or computes only with the one that it is fixed to.
    """
    proto = onnx.load_from_string(model)
    constants = {tensor.name for tensor in proto.graph.initializer}
    inputs = [item for item in proto.graph.input if item.name not in constants]
    axes = [dim for item in inputs for dim in item.type.tensor_type.shape.dim[:1]]
    if size is None:
        return _opened(proto, axes) if any(dim.HasField("dim_value") for dim in axes) else model
    for item, dim in zip(inputs, axes, strict=False):
        if dim.HasField("dim_value") and dim.dim_value != size:
            raise ModelError(
                f"batch: input {item.name!r} must be open or of {size} samples to take {size} at a time, found "
                f"{dim.dim_value}; open it first (--batch dynamic)"
            )
    names = {dim.dim_param for dim in axes if dim.dim_param}
    for dim in axes:
        dim.dim_value = size
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_value = size
    return bytes(proto.SerializeToString())


def _opened(proto: onnx.ModelProto, axes: list[onnx.TensorShapeProto.Dimension]) -> bytes:
    sizes = {dim.dim_value for dim in axes}
    first = (dim for output in proto.graph.output for dim in output.type.tensor_type.shape.dim[:1])
    for dim in (*axes, *first):
        if dim.dim_value in sizes:
            dim.dim_param = _OPEN
    proto.graph.ClearField("value_info")
    model = bytes(proto.SerializeToString())
    session = open_session(model)
    for size in _TRIED:
        feeds = random_inputs(session.get_inputs(), batch=size, dims={}, place="batch")
        try:
            outputs = session.run(None, feeds)
        except Exception as error:  # the runtime's own exception types are not public
            raise ModelError(
                f"batch: the graph computes only {sizes} samples at a time: {last_words(error)}"
            ) from error
        if any(np.ndim(output) and len(output) != size for output in outputs):
            raise ModelError(f"batch: the graph computes only {sizes} samples at a time, whatever it is given")
    return model
