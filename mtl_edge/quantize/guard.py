"""The guard: no output ships that int8 has plainly broken, though nobody gave a budget or labels.

A placement is chosen by the clock, and ranges come from samples: neither says what becomes of an answer where inputs
leave what calibration saw, as a flood does of which no year before had the like. So what is about to ship answers
samples that calibration did not see, next to fp32; and where an output is lost, the layers to blame go back to float.
"""

import bisect
from collections.abc import Collection, Mapping, Sequence

import msgspec
import numpy as np
import onnx

from mtl_edge.progress import progress_bar
from mtl_edge.quantize.data import CalibrationData
from mtl_edge.quantize.emulate import open_as_on
from mtl_edge.quantize.form import Form
from mtl_edge.quantize.noise import float_answers, noise_of
from mtl_edge.quantize.placement import outputs_served, quantizable_layers
from mtl_edge.quantize.race import movable_nodes
from mtl_edge.quantize.static import Placed, insert_form
from mtl_edge.quantize.target import Target
from mtl_edge.runtime import Session

BROKEN_DB = 10.0
"""Signal to noise below which an output is broken: it is off by a third of the spread of the fp32 answers."""
HEALED_DB = 20.0
"""Where layers go back they go until an output is off by a tenth of its spread: what just passes will not elsewhere."""
SAMPLES = 64
"""To look at, at most, spread over all that there are."""
_FEWEST = 32
"""Fewer samples that calibration did not see tell less than all those that it saw."""
_MOST_BYTES = 2**28
"""Of all samples and their answers; of large maps there are fewer samples."""
_SPREAD = 1e-9
"""Of an output's mean square: what has less variance answers always the same, and has no signal to lose."""

Batches = Sequence[Mapping[str, np.ndarray]]


class Guarded(msgspec.Struct, frozen=True, kw_only=True):
    """What the guard found, and did.

    Attributes:
        samples: how many it looked at.
        seen: whether calibration had seen them, for want of others.
        noise_db: output -> signal to noise of what ships, for those that were looked at.
        broken: output -> signal to noise before, where that was below :data:`BROKEN_DB`.
        beyond: where an output was broken, how many of the samples have a number beyond what calibration saw of its
            column or channel.
        reverted: nodes that went back to float.
    """

    samples: int
    seen: bool
    noise_db: dict[str, float]
    broken: dict[str, float] = {}
    beyond: int = 0
    reverted: tuple[str, ...] = ()

    @property
    def shipped_broken(self) -> tuple[str, ...]:
        """The outputs that are broken all the same."""
        return tuple(name for name in self.broken if self.noise_db[name] < BROKEN_DB)


def guard(
    fp32: Session,
    data: CalibrationData,
    form: Form,
    target: Target,
    placed: Placed,
    *,
    unseen: CalibrationData | None = None,
    spared: Collection[str] = (),
    revert: bool = True,
) -> Guarded | None:
    """Look at what is about to ship, and find the layers that must go back to float so that no output is broken.

    For each broken output, the worst first, its layers are ranked by what it gains when one alone goes back; then as
    few of the first of them go as bring it to :data:`HEALED_DB`. All that it depends on goes where no fewer do, and
    where most samples lie beyond what calibration saw: no range that it found holds then, whatever these few samples
    say of some of them. It costs one look at the samples where nothing is broken.

    Args:
        fp32: the model as it was.
        data: the samples of the calibration.
        form: what the int8 model is written from.
        target: the kind of processor that will run it.
        placed: the int8 model, and which nodes stay in float anyway.
        unseen: samples that calibration did not see; None, or fewer than 32, takes those that were not drawn for it,
            or where these are as few those that were.
        spared: outputs that others look after, such as those whose tasks have budgets.
        revert: whether layers go back to float; otherwise it is only said what is broken.

    Returns:
        What was found; None where there is nothing to look at: each output is spared, is not of floats or is always
        the same, or fp32 itself answers none of the samples with finite numbers.
    """
    samples, seen = _samples(data, unseen)
    search = _Search(fp32, samples, form, target, spared)
    if search.is_empty:
        return None
    kept = placed.kept
    before = levels = search.noise(kept, placed.model)
    broken = {name: level for name, level in before.items() if level < BROKEN_DB}
    count, beyond = sum(map(_length, search.batches)), _beyond(data, search.batches) if broken else 0
    reverted: frozenset[str] = frozenset()
    if broken and revert:
        whole = 2 * beyond > count
        with progress_bar("guard", total=len(broken)) as bar:
            for name in sorted(broken, key=lambda name: broken[name]):
                if whole or levels[name] < BROKEN_DB:
                    reverted |= search.healers(name, kept | reverted, whole=whole)
                    levels = search.noise(kept | reverted)
                bar.advance(name)
    return Guarded(
        samples=count,
        seen=seen,
        noise_db=levels,
        broken=broken,
        beyond=beyond,
        reverted=tuple(node for node in search.nodes if node in reverted),
    )


class _Search:
    """Forms of one model, and how far each moves the outputs."""

    def __init__(
        self, fp32: Session, samples: CalibrationData, form: Form, target: Target, spared: Collection[str]
    ) -> None:
        self._form, self._target = form, target
        graph = onnx.load_from_string(form.model).graph
        self._movable, self._serves = movable_nodes(graph), outputs_served(graph)
        self._layers = [node.name for node in quantizable_layers(graph)]
        self._known: dict[frozenset[str], dict[str, float]] = {}
        self.nodes = [node.name for node in graph.node]
        answers = [(batch, float_answers(fp32, batch, but=spared)) for batch in _few(fp32, samples)]
        finite = [pair for pair in answers if all(np.isfinite(values).all() for values in pair[1].values())]
        self.batches = [batch for batch, _ in finite]
        expected = [found for _, found in finite]
        varying = [name for name in (expected[0] if expected else ()) if _varies([found[name] for found in expected])]
        self._expected = [{name: found[name] for name in varying} for found in expected]

    @property
    def is_empty(self) -> bool:
        """Whether there is no output to look at."""
        return not any(self._expected)

    def noise(self, kept: frozenset[str], model: bytes | None = None) -> dict[str, float]:
        """Signal to noise of each output with these nodes in float, in a model that is written unless it is given."""
        if kept not in self._known:
            int8 = open_as_on(model or insert_form(self._form, self._target, kept), self._target.name)
            self._known[kept] = noise_of(self._expected, int8, self.batches)
        return self._known[kept]

    def healers(self, output: str, kept: frozenset[str], *, whole: bool) -> frozenset[str]:
        """The nodes to put into float next to these for an output's sake; none where all of them heal nothing.

        Args:
            output: its name.
            kept: what is in float already.
            whole: whether to try no fewer than all that it depends on.
        """
        every = frozenset(node for node in self._movable - kept if output in self._serves[node])
        choices = [every] if whole else [*self._ranked(output, kept), every]
        for bound in (HEALED_DB, BROKEN_DB):
            heals = bisect.bisect_left(choices, True, key=lambda nodes: self.noise(kept | nodes)[output] >= bound)
            if heals < len(choices):
                return choices[heals]
        return frozenset()

    def _ranked(self, output: str, kept: frozenset[str]) -> list[frozenset[str]]:
        """The one layer that heals an output most, the two, and so on."""
        blamed = [layer for layer in self._layers if layer not in kept and output in self._serves[layer]]
        blamed.sort(key=lambda layer: -self.noise(kept | {layer})[output])
        return [frozenset(blamed[:count]) for count in range(1, len(blamed) + 1)]


def _samples(data: CalibrationData, unseen: CalibrationData | None) -> tuple[CalibrationData, bool]:
    """What to look at, and whether calibration has seen it."""
    for rest in (unseen, data.unseen):
        if rest is not None and len(rest.positions) >= max(_FEWEST, rest.batch_size):
            return rest.spread(SAMPLES), False
    return data.spread(SAMPLES), True


def _few(fp32: Session, samples: CalibrationData) -> CalibrationData:
    """As many of the samples as can be kept in memory with their answers, but no fewer than would tell nothing."""
    batch = next(iter(samples))
    size = sum(values.nbytes for values in (*batch.values(), *float_answers(fp32, batch).values()))
    return samples.spread(max(_FEWEST, _MOST_BYTES * _length(batch) // max(size, 1)))


def _beyond(data: CalibrationData, batches: Batches) -> int:
    """How many samples have a number beyond what calibration saw of its column or channel."""
    ends: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for seen in data:
        for name, values in _columns(seen).items():
            low, high = np.fmin.reduce(values, axis=(0, 1)), np.fmax.reduce(values, axis=(0, 1))
            lowest, highest = ends.get(name, (low, high))
            ends[name] = np.fmin(low, lowest), np.fmax(high, highest)
    beyond = 0
    for batch in batches:
        outside = [
            ((values < ends[name][0]) | (values > ends[name][1])).any(axis=(1, 2))
            for name, values in _columns(batch).items()
        ]
        beyond += int(np.any(outside, axis=0).sum()) if outside else 0
    return beyond


def _columns(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Inputs of floats as ``(N, places, columns)``: a map has its channels along axis 1, all else along the last."""
    found = {}
    for name, values in batch.items():
        if values.dtype.kind == "f" and values.ndim:
            last = np.moveaxis(values, 1, -1) if values.ndim > 3 else values
            found[name] = last.reshape(len(values), -1, last.shape[-1] if values.ndim > 1 else 1)
    return found


def _varies(answers: Sequence[np.ndarray]) -> bool:
    """Whether an output has a signal at all."""
    values = np.concatenate([np.asarray(each, np.float64).reshape(-1) for each in answers])
    return bool(values.var() > _SPREAD * np.mean(values**2))


def _length(batch: Mapping[str, np.ndarray]) -> int:
    return max((len(values) for values in batch.values() if values.ndim), default=1)
