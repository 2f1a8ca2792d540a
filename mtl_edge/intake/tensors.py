"""Constants: whether they hold what they declare."""

import math
from collections.abc import Mapping
from pathlib import Path

from mtl_edge.errors import ModelError
from mtl_edge.intake.external import check_external
from mtl_edge.intake.wire import content, fields, integer, integers, pair, text

BITS: Mapping[int, tuple[str, int]] = {
    1: ("float32", 32),
    2: ("uint8", 8),
    3: ("int8", 8),
    4: ("uint16", 16),
    5: ("int16", 16),
    6: ("int32", 32),
    7: ("int64", 64),
    8: ("string", 0),
    9: ("bool", 8),
    10: ("float16", 16),
    11: ("float64", 64),
    12: ("uint32", 32),
    13: ("uint64", 64),
    14: ("complex64", 64),
    15: ("complex128", 128),
    16: ("bfloat16", 16),
    17: ("float8e4m3fn", 8),
    18: ("float8e4m3fnuz", 8),
    19: ("float8e5m2", 8),
    20: ("float8e5m2fnuz", 8),
    21: ("uint4", 4),
    22: ("int4", 4),
    23: ("float4e2m1", 4),
    24: ("float8e8m0", 8),
    25: ("uint2", 2),
    26: ("int2", 2),
}
"""``TensorProto.DataType`` -> its name, numpy's where numpy has one, and how many bits a number of it has."""

_EXTERNAL = 1


def check_tensor(message: memoryview, folder: Path | None, place: str) -> tuple[str, str | None]:
    """Check that a ``TensorProto`` holds the bytes that it declares, here or in a file.

    Args:
        message: the tensor.
        folder: the model's; None for a model in memory.
        place: what an error names.

    Returns:
        Its name, and the file that holds its bytes if they are not in the model.

    Raises:
        ModelError: it holds less or more, or its dtype, dimensions or file cannot be.
    """
    name, dtype, dims, location = "", 0, list[int](), 0
    raw: int | None = None
    typed, texts = 0, 0
    entries: dict[str, str] = {}
    for number, value in fields(message):
        match number:
            case 1:
                dims.extend(integers(value))
            case 2:
                dtype = integer(value)
            case 4 | 5 | 7 | 10 | 11:
                typed += 8 if isinstance(value, int) else len(value)
            case 6:
                texts += 1
            case 8:
                name = text(value)
            case 9:
                raw = len(content(value))
            case 13:
                entries |= [pair(content(value))]
            case 14:
                location = integer(value)
    where = f"{place}: tensor {name!r}"
    if dtype not in BITS:
        raise ModelError(f"{where}: must have a dtype of ONNX, found number {dtype}")
    if any(size < 0 for size in dims):
        raise ModelError(f"{where}: must have dimensions of 0 or more, found {dims}")
    kind, bits = BITS[dtype]
    count = math.prod(dims)
    size = -(-count * bits // 8)
    if location == _EXTERNAL:
        return name, check_external(entries, folder, size, where)
    if kind == "string":
        held, right = f"{texts} texts", texts == count
    elif raw is not None:
        held, right = f"{raw} bytes", raw == size
    else:  # numbers of few bits stand in wider fields, a byte or more for each of those
        held, right = f"{typed} bytes", typed * max(8 // bits, 1) >= count
    if not right:
        raise ModelError(f"{where}: must hold what it declares, {kind} {dims}, found {held}")
    return name, None
