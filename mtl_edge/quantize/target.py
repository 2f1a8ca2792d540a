"""Which 8-bit types the processor that will run a model multiplies fast and exactly."""

from dataclasses import dataclass

from onnxruntime.quantization import QuantType

from mtl_edge.bench.machine import TargetName, this_machine


@dataclass(frozen=True)
class Target:
    """The types of activations and weights; ``saturates`` where sums of two products are cut off at 16 bits."""

    name: TargetName
    activation: QuantType
    weight: QuantType
    saturates: bool = False


def find_target(name: TargetName) -> Target:
    """The form for a kind of processor.

    - ``x86-vnni``: its instructions add four products of uint8 and int8 in 32 bits, exactly.
    - ``x86-avx2``: ``vpmaddubsw`` adds two such products in 16 bits, and saturates; weights get as much
      less of their 8 bits as keeps it from that (see :mod:`mtl_edge.quantize.narrow`).
    - ``arm64``: its instructions multiply int8 by int8.
    """
    match name:
        case "x86-vnni":
            return Target(name, QuantType.QUInt8, QuantType.QInt8)
        case "x86-avx2":
            return Target(name, QuantType.QUInt8, QuantType.QInt8, saturates=True)
        case "arm64":
            return Target(name, QuantType.QInt8, QuantType.QInt8)


def this_target() -> TargetName:
    """What this box is."""
    return this_machine().target
