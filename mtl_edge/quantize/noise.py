"""How far the outputs of a quantized model moved."""

from collections.abc import Collection, Mapping, Sequence

import msgspec
import numpy as np

from mtl_edge.errors import DataError, ModelError
from mtl_edge.quantize.emulate import Emulator, LayerRisk
from mtl_edge.runtime import Session

Answers = Mapping[str, np.ndarray]
"""Output -> values."""

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
    return noise_of([float_answers(fp32, batch) for batch in batches], int8, batches)


def float_answers(session: Session, batch: Mapping[str, np.ndarray], but: Collection[str] = ()) -> Answers:
    """What a model answers in floats, but for some outputs."""
    names = [item.name for item in session.get_outputs() if item.type in _FLOATS and item.name not in but]
    return dict(zip(names, session.run(names, dict(batch)), strict=True)) if names else {}


def noise_of(
    expected: Sequence[Answers], int8: Session, batches: Sequence[Mapping[str, np.ndarray]]
) -> dict[str, float]:
    """As :func:`output_noise`, of the outputs that are expected: what fp32 answers to each batch.

    Raises:
        ModelError: the quantized model answers NaN or infinities.
    """
    names = list(expected[0]) if expected else []
    if not names:
        return {}
    pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in names}
    for answers, batch in zip(expected, batches, strict=True):
        for name, found in zip(names, int8.run(names, dict(batch)), strict=True):
            pairs[name].append((answers[name].reshape(-1), found.reshape(-1)))
    return {name: _decibels(name, *map(np.concatenate, zip(*parts, strict=True))) for name, parts in pairs.items()}


def _decibels(name: str, expected: np.ndarray, found: np.ndarray) -> float:
    """Power of the spread of what is expected over that of the difference."""
    expected, found = expected.astype(np.float64), found.astype(np.float64)
    if not np.isfinite(found).all():
        raise ModelError(f"quantize: output {name!r} of the quantized model must be finite, found NaN or inf")
    signal, noise = float(np.var(expected)), float(np.mean((found - expected) ** 2))
    return float(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30)))


def without_vnni(fp32: Session, int8: bytes, *batches: Mapping[str, np.ndarray]) -> WithoutVnni | None:
    """Emulate a processor without VNNI on some batches; None if the model's graph cannot be cut into pieces."""
    try:
        emulator = Emulator(int8)
        levels = output_noise(fp32, emulator, *batches)
    except (DataError, ModelError):  # a prediction is no reason to refuse a model that runs here
        return None
    return WithoutVnni(levels, tuple(risk for risk in emulator.risks if risk.can_saturate))
