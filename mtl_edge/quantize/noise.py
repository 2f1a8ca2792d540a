"""How far the outputs of a quantized model moved."""

from collections.abc import Mapping

import msgspec
import numpy as np

from mtl_edge.errors import DataError, ModelError
from mtl_edge.quantize.emulate import Emulator, LayerRisk
from mtl_edge.runtime import Session

_FLOATS = ("tensor(float)", "tensor(float16)", "tensor(double)")


class WithoutVnni(msgspec.Struct, frozen=True):
    """What would become of a model on an x86 processor without VNNI.

    Attributes:
        noise_db: output -> signal to noise there.
        layers: those whose weights could saturate, and what was seen of them.
    """

    noise_db: dict[str, float]
    layers: tuple[LayerRisk, ...]


def output_noise(fp32: Session, int8: Session, *batches: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Signal to noise of every float output, in decibels: 20 dB are a tenth of the spread of the fp32 answers.

    Args:
        fp32: the model.
        int8: what came of it, with the same outputs.
        batches: input name -> array; the spread is that over all of them.

    Raises:
        ModelError: the quantized model answers NaN or infinities.
    """
    names = [item.name for item in fp32.get_outputs() if item.type in _FLOATS]
    answers: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in names}
    for batch in batches:
        for name, *pair in zip(names, fp32.run(names, dict(batch)), int8.run(names, dict(batch)), strict=True):
            answers[name].append((pair[0].reshape(-1), pair[1].reshape(-1)))
    levels = {}
    for name, pairs in answers.items():
        expected, found = (np.concatenate(parts).astype(np.float64) for parts in zip(*pairs, strict=True))
        if not np.isfinite(found).all():
            raise ModelError(f"quantize: output {name!r} of the quantized model must be finite, found NaN or inf")
        signal, noise = float(np.var(expected)), float(np.mean((found - expected) ** 2))
        levels[name] = float(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30)))
    return levels


def without_vnni(fp32: Session, int8: bytes, *batches: Mapping[str, np.ndarray]) -> WithoutVnni | None:
    """Emulate a processor without VNNI on some batches; None if the model's graph cannot be cut into pieces."""
    try:
        emulator = Emulator(int8)
        levels = output_noise(fp32, emulator, *batches)
    except (DataError, ModelError):  # a prediction is no reason to refuse a model that runs here
        return None
    return WithoutVnni(levels, tuple(risk for risk in emulator.risks if risk.can_saturate))
