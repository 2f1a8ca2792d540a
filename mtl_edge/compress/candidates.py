"""Candidate shapes of a network: made without training, since weights do not change how long a layer takes."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
from torch import Tensor

from mtl_edge.bench.machine import TargetName, this_machine
from mtl_edge.compress.dependencies import group_channels
from mtl_edge.compress.importance import Ranking
from mtl_edge.compress.prune import keep_channels
from mtl_edge.compress.shapes import Shape
from mtl_edge.export.widths import Widths
from mtl_edge.nets.bypass import bypassed
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.quantize.race import ROUNDS, fastest_ratio, one_run, seconds_of
from mtl_edge.quantize.refinements import Refinements
from mtl_edge.quantize.remembered import remembered_value, without_weights
from mtl_edge.quantize.static import quantize_static
from mtl_edge.runtime import open_session
from mtl_edge.storage import sha256_of

_VERSION = 2
"""To be raised when a shape is timed in another way."""
_PLAIN = Refinements(equalize=False, rounding="nearest", correct_bias=False)


@dataclass(frozen=True)
class Forms:
    """One network as ONNX: in float, and all of it in int8."""

    fp32: bytes
    int8: bytes


@dataclass(frozen=True)
class Candidates:
    """What shapes of a network cost, relative to the dense network.

    Attributes:
        net: the network to narrow: the dense one, or it without some of its blocks and channels.
        example: one batch of its inputs, which also calibrates: no answer is looked at.
        input_name: of the exported graph.
        rankings: what its channels are worth.
        target: the kind of processor that int8 is made for.
        folder: where latencies are kept for networks of the same shapes on the same box; None keeps nothing.
        whole: the candidates of the dense network; None where these are they.
    """

    net: MultiTaskNet
    example: Tensor
    input_name: str
    rankings: Mapping[str, Ranking]
    target: TargetName
    folder: Path | None = None
    whole: "Candidates | None" = None

    def thinner(self, net: MultiTaskNet) -> "Candidates":
        """Those of the same network without some of its blocks or channels; what is left is to be ranked anew."""
        return replace(self, net=net, rankings={}, whole=self._whole)

    @property
    def dense_channels(self) -> Mapping[str, int]:
        """How many channels the ranked groups have in the dense network; empty where this is it."""
        return {} if self.whole is None else group_channels(self.whole.net, self.rankings)

    def parameters(self, shape: Shape) -> float:
        """Its trained values over the dense network's."""
        return self.narrowed(shape).parameter_count / self._whole.net.parameter_count

    def size(self, shape: Shape) -> float:
        """Bytes of its int8 file over those of the dense network's."""
        return len(self._forms(self.narrowed(shape)).int8) / len(self.dense.int8)

    def latency(self, shape: Shape) -> float:
        """Its latency over the dense network's on this box with one thread, each in its faster form.

        That is int8 or float: a part of a network that is slower in int8 stays in float when it is quantized.
        """

        def measure() -> float:
            forms, base = self._forms(self.narrowed(shape)), self._fastest
            return min(fastest_ratio(base, model, self._batch) for model in (forms.fp32, forms.int8))

        if self.folder is None:
            return measure()
        key = sha256_of(without_weights(self.dense.fp32), msgspec.json.encode(self._circumstances(shape)))
        return remembered_value(self.folder / f"{key}.json", float, measure)

    @cached_property
    def dense_ms(self) -> float:
        """The latency of the dense network in its faster form, on this box with one thread."""
        if self.whole is not None:
            return self.whole.dense_ms
        session, feeds = open_session(self._fastest, threads=1), one_run(self._fastest, self._batch)
        return 1e3 * statistics.median(seconds_of(session, feeds) for _ in range(ROUNDS))

    @cached_property
    def dense(self) -> Forms:
        """The dense network."""
        return self._forms(self.net) if self.whole is None else self.whole.dense

    @property
    def _whole(self) -> "Candidates":
        return self.whole or self

    @cached_property
    def _fastest(self) -> bytes:
        if self.whole is not None:
            return self.whole._fastest
        forms = self.dense
        return forms.int8 if fastest_ratio(forms.fp32, forms.int8, self._batch) < 1 else forms.fp32

    @cached_property
    def _widths(self) -> Widths:
        return Widths(self.net, self.example, self.input_name)

    @property
    def _batch(self) -> dict[str, np.ndarray]:
        return {self.input_name: self.example.numpy()}

    def narrowed(self, shape: Shape) -> MultiTaskNet:
        """The network in a shape, untrained."""
        return keep_channels(self.net, self.example, self.rankings, shape)

    def _forms(self, net: MultiTaskNet) -> Forms:
        fp32 = self._widths.export(net)
        int8 = quantize_static(
            fp32, [self._batch], method="minmax", target=self.target, placement="all", refinements=_PLAIN
        )
        return Forms(fp32, int8)

    def _circumstances(self, shape: Shape) -> dict[str, object]:
        machine = this_machine()
        return {
            "version": _VERSION,
            "shape": sorted(shape.items()),
            "dropped": bypassed(self.net),
            "target": self.target,
            "input": (str(self.example.dtype), list(self.example.shape[1:])),
            "cpu": machine.cpu,
            "isa": machine.isa,
            "runtime": machine.versions["onnxruntime"],
            "torch": version("torch"),
        }
