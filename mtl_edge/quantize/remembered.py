"""Placements that were found before: for a network of the same shapes on the same processor they are not measured anew.

Weights do not change how long a layer takes. So a network that is trained again is placed as the first one was, at once
and without the chance that is in every measurement.
"""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import onnx

from mtl_edge.bench.machine import this_machine
from mtl_edge.errors import WorkdirError
from mtl_edge.quantize.race import Placement
from mtl_edge.quantize.target import Target
from mtl_edge.storage import sha256_of, write_atomically

Value = TypeVar("Value")

_SMALLEST_WEIGHT = 64
"""Values; fewer may be a shape or axes, which change what is computed."""
_VERSION = 5
"""To be raised when the search changes."""


def remembered(
    folder: Path, prepared: bytes, target: Target, feeds: Mapping[str, np.ndarray], search: Callable[[], Placement]
) -> Placement:
    """The placement that a folder keeps for such a network, or what a search finds, which it keeps then.

    Args:
        folder: where placements are kept; it need not exist.
        prepared: the fp32 model, with a name for every node.
        target: the form of the int8 model.
        feeds: input name -> the samples that are measured with.
        search: finds a placement.
    """
    return remembered_value(folder / f"{_key(prepared, target, feeds)}.json", Placement, search)


def remembered_value(path: Path, kind: type[Value], search: Callable[[], Value]) -> Value:
    """The value that a file keeps, or what a search finds, which it keeps then.

    Args:
        path: the file; neither it nor its folder need exist.
        kind: the value's type.
        search: finds a value.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):  # not there, or damaged
        found = search()
    with contextlib.suppress(WorkdirError):  # where nothing can be kept, it is measured each time
        write_atomically(path, msgspec.json.encode(found))
    return found


def _key(prepared: bytes, target: Target, feeds: Mapping[str, np.ndarray]) -> str:
    """What decides on latencies: operators, shapes, types, the processor and the runtime."""
    machine = this_machine()
    circumstances = {
        "version": _VERSION,
        "target": target.name,
        "feeds": {name: (str(array.dtype), array.shape) for name, array in sorted(feeds.items())},
        "cpu": machine.cpu,
        "isa": machine.isa,
        "runtime": machine.versions["onnxruntime"],
    }
    return sha256_of(without_weights(prepared), msgspec.json.encode(circumstances))


def without_weights(model: bytes) -> bytes:
    """A model's operators, shapes and types, which decide how long it takes."""
    proto = onnx.load_from_string(model)
    for tensor in proto.graph.initializer:
        if np.prod(tensor.dims) >= _SMALLEST_WEIGHT:
            tensor.CopyFrom(onnx.TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type))
    proto.ClearField("metadata_props")
    return bytes(proto.SerializeToString(deterministic=True))
