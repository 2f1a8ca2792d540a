"""Which operator set and which version of the file format each ONNX Runtime reads at most.

Measured with the released wheels for Linux: the newest of each that the runtime loads a model of one operator with.
What a runtime loads, it need not have a kernel for: the newest operators come a release or two later.
"""

import re
from dataclasses import dataclass

import onnx

from mtl_edge.errors import ModelError
from mtl_edge.export.edit import opset_of
from mtl_edge.export.opset import convert_opset


@dataclass(frozen=True)
class Reads:
    """The newest that a runtime reads."""

    opset: int
    ir_version: int


RUNTIMES = {
    (1, 15): Reads(18, 9),
    (1, 16): Reads(19, 9),
    (1, 17): Reads(20, 9),
    (1, 18): Reads(21, 10),
    (1, 19): Reads(21, 10),
    (1, 20): Reads(21, 10),
    (1, 21): Reads(22, 10),
    (1, 22): Reads(22, 10),
    (1, 23): Reads(23, 11),
    (1, 24): Reads(25, 13),
    (1, 25): Reads(26, 13),
    (1, 26): Reads(26, 13),
    (1, 27): Reads(26, 13),
    (1, 28): Reads(26, 13),
    (1, 29): Reads(26, 13),
    (1, 30): Reads(26, 13),
    (1, 31): Reads(26, 13),
    (1, 32): Reads(28, 14),
}


def reads_of(version: str) -> Reads:
    """What a runtime reads, such as ``1.17`` or ``1.17.3``; one newer than all that were measured reads no less.

    Raises:
        ModelError: it is no version, or older than all that were measured.
    """
    found = re.fullmatch(r"(\d+)\.(\d+)(\.\d+)?", version)
    oldest, newest = min(RUNTIMES), max(RUNTIMES)
    wanted = (int(found[1]), int(found[2])) if found else (0, 0)
    if wanted < oldest:
        said = ".".join(map(str, oldest))
        raise ModelError(f"runtime: must be a version of ONNX Runtime from {said} on, such as 1.17, found {version!r}")
    return RUNTIMES.get(wanted, RUNTIMES[newest])


def oldest_reader(opset: int, ir_version: int) -> str:
    """The oldest ONNX Runtime that reads such a file, such as ``1.17``."""
    able = [key for key, reads in RUNTIMES.items() if opset <= reads.opset and ir_version <= reads.ir_version]
    return ".".join(map(str, min(able, default=max(RUNTIMES))))


def fit_runtime(model: bytes, version: str) -> bytes:
    """The model as a runtime can read it: as it is where it can, else in an older operator set and file format.

    Raises:
        ModelError: an operator of the model does not exist in the sets that this runtime reads.
    """
    reads = reads_of(version)
    proto = onnx.load_from_string(model)
    if opset_of(proto) <= reads.opset and proto.ir_version <= reads.ir_version:
        return model
    try:
        fitted = convert_opset(model, min(opset_of(proto), reads.opset))
    except ModelError as error:
        raise ModelError(f"ONNX Runtime {version} reads operator sets up to {reads.opset}: {error}") from error
    found = onnx.load_from_string(fitted).ir_version
    if found > reads.ir_version:
        raise ModelError(
            f"ONNX Runtime {version} reads files of IR version {reads.ir_version} or older, found {found}, which the "
            "model needs"
        )
    return fitted
