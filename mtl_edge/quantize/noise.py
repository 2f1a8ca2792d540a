"""How far the outputs of a quantized model moved."""

from collections.abc import Mapping

import msgspec
import numpy as np

from mtl_edge.errors import DataError, ModelError
from mtl_edge.quantize.emulate import Emulator, LayerRisk
from mtl_edge.runtime import Session


class WithoutVnni(msgspec.Struct, frozen=True):
    """What would become of a model on an x86 processor without VNNI.

    Attributes:
        noise_db: output -> signal to noise there.
        layers: those whose weights could saturate, and what was seen of them.
    """

    noise_db: dict[str, float]
    layers: tuple[LayerRisk, ...]


def output_noise(fp32: Session, int8: Session, batch: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Signal to noise of every float output, in decibels: 20 dB are a tenth of the spread of the fp32 answers.

    Raises:
        ModelError: the quantized model answers NaN or infinities.
    """
    names = [item.name for item in fp32.get_outputs()]
    levels = {}
    for name, expected, found in zip(names, fp32.run(names, dict(batch)), int8.run(names, dict(batch)), strict=True):
        if expected.dtype.kind != "f":
            continue
        if not np.isfinite(found).all():
            raise ModelError(f"quantize: output {name!r} of the quantized model must be finite, found NaN or inf")
        power = np.mean((found - expected).astype(np.float64) ** 2)
        levels[name] = float(10 * np.log10(max(np.var(expected, dtype=np.float64), 1e-30) / max(power, 1e-30)))
    return levels


def without_vnni(fp32: Session, int8: bytes, batch: Mapping[str, np.ndarray]) -> WithoutVnni | None:
    """Emulate a processor without VNNI on a batch; None if the model's graph cannot be cut into pieces."""
    try:
        emulator = Emulator(int8)
        levels = output_noise(fp32, emulator, batch)
    except (DataError, ModelError):  # a prediction is no reason to refuse a model that runs here
        return None
    return WithoutVnni(levels, tuple(risk for risk in emulator.risks if risk.can_saturate))
