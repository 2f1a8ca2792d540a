"""Forms of a network with some layers in int8 and the others as they were trained: measured, and remembered."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import onnx

from mtl_edge.bench.machine import TargetName
from mtl_edge.data.splits import Samples
from mtl_edge.quantize.emulate import open_as_on
from mtl_edge.quantize.int8_layers import constants_of
from mtl_edge.quantize.layers import with_constants
from mtl_edge.quantize.noise import output_noise
from mtl_edge.quantize.ranges import Method, find_ranges
from mtl_edge.quantize.refinements import RoundingName
from mtl_edge.quantize.rounding import Rounded, round_weights
from mtl_edge.quantize.source import CalibratedSource
from mtl_edge.quantize.static import find_narrowing, insert_qdq
from mtl_edge.quantize.target import find_target
from mtl_edge.runtime import Metrics, evaluate
from mtl_edge.storage import sha256_of, write_atomically


class Form(msgspec.Struct, frozen=True):
    """One choice of what is in int8.

    Attributes:
        noise_db: output -> signal to noise against fp32, on a batch of the calibration samples.
        metrics: task -> metric -> value on the test samples; None where they were not computed.
    """

    noise_db: dict[str, float]
    metrics: Metrics | None = None


class _Kept(msgspec.Struct):
    """Forms that have been measured: name -> what was found."""

    forms: dict[str, Form] = {}


class Judge:
    """Measures forms, and remembers them; arguments are as of :func:`mtl_edge.quantize.damage.measure_damage`."""

    def __init__(
        self,
        source: CalibratedSource,
        target: TargetName,
        method: Method,
        rounding: RoundingName,
        test: Samples | None,
        folder: Path | None,
    ) -> None:
        self._source, self._test, self._rounding = source, test, rounding
        self._ranges, self._target = find_ranges(source.observed, method), find_target(target)
        self._shown = source.data.shown
        self._path = folder / f"{self._key(target, method, rounding)}.json" if folder is not None else None
        self._kept = _Kept()
        if self._path is not None and self._path.exists():
            try:
                self._kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
            except msgspec.DecodeError:  # damaged: it is measured anew
                self._kept = _Kept()

    def only(self, *layers: str) -> Callable[[], bytes]:
        """The model with only these layers in int8."""

        def build() -> bytes:
            names = [name for layer in layers for name in self._reads[layer]]
            pinned = {name: self._rounded.pinned[name] for name in names if name in self._rounded.pinned}
            model = with_constants(self._source.prepared, {name: self._weights[name] for name in pinned})
            return insert_qdq(model, self._ranges, self._target, only=layers, small=False, pinned=pinned)

        return build

    def all_but(self, *layers: str) -> Callable[[], bytes]:
        """The model in int8 without these layers."""

        def build() -> bytes:
            spared = {name for layer in layers for name in self._reads[layer]}
            pinned = {name: ends for name, ends in self._rounded.pinned.items() if name not in spared}
            model = with_constants(self._source.prepared, {name: self._weights[name] for name in pinned})
            return insert_qdq(model, self._ranges, self._target, kept=layers, small=False, pinned=pinned)

        return build

    @cached_property
    def _rounded(self) -> Rounded:
        """The model with its 8-bit weights; made when the first form is, which all may be known."""
        source, target = self._source, self._target
        if self._rounding == "nearest":
            return Rounded(source.prepared)
        narrowed = find_narrowing(source.prepared, target).ranges
        return round_weights(source.prepared, source.data, self._ranges, narrowed=narrowed, saturates=target.saturates)

    @cached_property
    def _weights(self) -> Mapping[str, np.ndarray]:
        return constants_of(onnx.load_from_string(self._rounded.model).graph)

    @cached_property
    def _reads(self) -> Mapping[str, Sequence[str]]:
        """Name of a node -> what it reads."""
        return {node.name: list(node.input) for node in onnx.load_from_string(self._source.prepared).graph.node}

    def noise(self, name: str, model: Callable[[], bytes]) -> Form:
        """Signal to noise of a form's outputs."""
        if (known := self._kept.forms.get(name)) is not None:
            return known
        int8 = open_as_on(model(), self._target.name)
        return self._keep(name, Form(output_noise(self._source.session, int8, *self._shown)))

    def metrics(self, name: str, model: Callable[[], bytes]) -> Form:
        """The same with metrics."""
        known = self._kept.forms.get(name)
        if known is not None and known.metrics is not None:
            return known
        manifest, test = self._source.manifest, self._test
        assert manifest is not None
        assert test is not None
        session = open_as_on(model(), self._target.name)
        noise = known.noise_db if known is not None else {}
        return self._keep(name, Form(noise, evaluate(session, manifest.tasks, manifest.inputs, test.arrays)))

    def _keep(self, name: str, form: Form) -> Form:
        self._kept.forms[name] = form
        if self._path is not None:
            write_atomically(self._path, msgspec.json.encode(self._kept))
        return form

    def _key(self, target: str, method: str, rounding: str) -> str:
        """What decides on the figures; samples by their content."""
        test = _digest(self._test.arrays) if self._test is not None else ""
        parts = (target, method, rounding, self._source.data.sha256, test)
        return sha256_of(self._source.prepared, *(part.encode() for part in parts))


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    parts = (part for name, array in sorted(arrays.items()) for part in (name.encode(), np.ascontiguousarray(array)))
    return sha256_of(*(bytes(part) for part in parts))
