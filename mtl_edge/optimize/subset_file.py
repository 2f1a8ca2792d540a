"""From a model's file to one of some of its tasks: checked against the whole before it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx

from mtl_edge.artifact import METADATA_KEY, Manifest, Measured, child_of, seal
from mtl_edge.bench.inputs import random_inputs
from mtl_edge.errors import ModelError, ParityError
from mtl_edge.optimize.difference import Batches, answers_of, largest_gap
from mtl_edge.optimize.subset import cut_outputs
from mtl_edge.quantize.data import calibration_data
from mtl_edge.quantize.race import one_run
from mtl_edge.quantize.source import arrays_of, read_source
from mtl_edge.storage import write_atomically

TOLERANCE = 1e-5
"""Of an output's largest magnitude: what last bits may be off where kernels of floats sum in another order."""

_SAMPLES = 16


class Subset(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it, and where it is.

    Attributes:
        path: the file that was written.
        tasks: that it answers.
        bytes_before, bytes_after: of the files.
        nodes_before, nodes_after: of the graphs.
        largest_difference: of any output from the whole model's, over that output's largest magnitude; 0 is equal to
            the bit.
        samples: on how many samples that was found.
        random: whether they were random ones.
    """

    path: str
    tasks: tuple[str, ...]
    bytes_before: int
    bytes_after: int
    nodes_before: int
    nodes_after: int
    largest_difference: float
    samples: int
    random: bool


@dataclass(frozen=True)
class Whole:
    """A model whose tasks can be taken apart.

    Attributes:
        path: its file.
        model: serialized, without a manifest.
        manifest: what its outputs mean, if mtl-edge made it.
        tasks: name -> the outputs that are its; of a model without a manifest, every output is a task.
        batches: what it and its parts are compared on: all samples at once, and one alone.
        random: whether these are random ones.
    """

    path: Path
    model: bytes
    manifest: Manifest | None
    tasks: Mapping[str, tuple[str, ...]]
    batches: Batches
    random: bool

    @property
    def samples(self) -> int:
        """How many samples it is compared on."""
        return max((len(array) for array in self.batches[0].values() if array.ndim), default=1)

    def outputs_of(self, tasks: Sequence[str]) -> list[str]:
        """The outputs of some tasks.

        Raises:
            ModelError: it has no task of such a name, or none is named.
        """
        known = ", ".join(self.tasks)
        if unknown := [task for task in tasks if task not in self.tasks]:
            raise ModelError(f"{self.path}: tasks must be among {known}, found {unknown[0]!r}")
        if not tasks:
            raise ModelError(f"{self.path}: at least one task of {known} must be named, found none")
        return [output for task in self.tasks if task in tasks for output in self.tasks[task]]


def read_whole(path: Path, data: Path | None = None) -> Whole:
    """Read a model and what to compare its parts on.

    Args:
        path: an ``.onnx``, fp32 or int8.
        data: inputs, an ``.npz`` or a folder of ``.npy`` files; None makes random ones.

    Raises:
        ModelError: the model cannot be read.
        DataError: the data do not fit.
    """
    session, content, manifest = read_source(path)
    proto = onnx.load_from_string(content)
    for entry in [entry for entry in proto.metadata_props if entry.key == METADATA_KEY]:
        proto.metadata_props.remove(entry)
    if data is None:
        batch = random_inputs(session.get_inputs(), batch=_SAMPLES, dims={}, place=str(path))
    else:
        with arrays_of(data) as found:
            drawn = calibration_data(
                session.get_inputs(), found.arrays, manifest, samples=_SAMPLES, batch_size=_SAMPLES
            )
            batch = dict(next(iter(drawn)))
    names = [output.name for output in session.get_outputs()]
    tasks: dict[str, tuple[str, ...]] = {name: (name,) for name in names}
    if manifest is not None:
        tasks = {
            task.name: (task.name, *(answer.output for answer in manifest.answers if answer.task == task.name))
            for task in manifest.tasks
        }
    model = proto.SerializeToString()
    return Whole(path, model, manifest, tasks, (batch, one_run(content, batch)), data is None)


def cut_tasks(whole: Whole, tasks: Sequence[str]) -> tuple[bytes, float]:
    """The graph of some tasks, and how far its outputs are from the whole model's.

    Where a layer that several tasks share cannot lose channels without moving last bits, it keeps them.

    Raises:
        ModelError: a task is not the model's.
        ParityError: outputs are off by more than last bits.
    """
    names = whole.outputs_of(tasks)
    expected = answers_of(whole.model, whole.batches)

    def gap(model: bytes) -> float:
        found = answers_of(model, whole.batches)
        return max(largest_gap(before, after) for before, after in zip(expected, found, strict=True))

    narrow, full = (cut_outputs(whole.model, names, narrow=narrow) for narrow in (True, False))
    off = gap(narrow)
    if not off or narrow == full:
        best, worst = narrow, off
    else:
        best, worst = min(((full, gap(full)), (narrow, off)), key=lambda one: one[1])
    if worst > TOLERANCE:
        raise ParityError(
            f"{whole.path}: outputs of {', '.join(tasks)} must be the whole model's within {TOLERANCE:.0e} of their "
            f"largest, found {worst:.1e}"
        )
    return best, worst


def subset_file(source: Path, tasks: Sequence[str], output: Path, *, data: Path | None = None) -> Subset:
    """Write a model of some tasks: what only others need is gone, and its outputs are those of the whole.

    Args:
        source: an ``.onnx``, fp32 or int8.
        tasks: which of its tasks, or outputs if it has no manifest, to keep.
        output: the file to write; of a model that mtl-edge made, with a manifest that names its parent.
        data: what to compare both on, an ``.npz`` or a folder of ``.npy`` files; None takes random inputs.

    Raises:
        ModelError: the model cannot be read, or has no such task.
        DataError: the data do not fit.
        ParityError: outputs are off by more than last bits.
        WorkdirError: the output cannot be written.
    """
    whole = read_whole(source, data)
    model, gap = cut_tasks(whole, tasks)
    written = model
    if whole.manifest is not None:
        written, _ = seal(model, manifest_of_subset(whole, whole.manifest, model, tasks, exact=not gap))
    write_atomically(output, written)
    graphs = [onnx.load_from_string(content).graph for content in (whole.model, model)]
    return Subset(
        path=str(output),
        tasks=tuple(task for task in whole.tasks if task in tasks),
        bytes_before=source.stat().st_size,
        bytes_after=len(written),
        nodes_before=len(graphs[0].node),
        nodes_after=len(graphs[1].node),
        largest_difference=gap,
        samples=whole.samples,
        random=whole.random,
    )


def manifest_of_subset(whole: Whole, parent: Manifest, model: bytes, tasks: Sequence[str], *, exact: bool) -> Manifest:
    """What is true of a model of some tasks; metrics are the parent's where its answers are equal to the bit."""
    names = "+".join(task for task in whole.tasks if task in tasks)
    read = {value.name for value in onnx.load_from_string(model).graph.input}
    child = child_of(parent, names, f"subset {names}", parent.target)
    measured = parent.metrics if exact else None
    return msgspec.structs.replace(
        child,
        tasks=tuple(task for task in parent.tasks if task.name in tasks),
        inputs=tuple(item for item in parent.inputs if item.name in read),
        answers=tuple(answer for answer in parent.answers if answer.task in tasks),
        metrics=measured
        and Measured(
            split=measured.split,
            samples=measured.samples,
            values={task: values for task, values in measured.values.items() if task in tasks},
        ),
        parameters=max(parent.parameters - _weights(whole.model) + _weights(model), 0),
    )


def _weights(model: bytes) -> int:
    """How many weights a graph has; scales, zero points and sizes are none."""
    graph = onnx.load_from_string(model).graph
    quantizers = (node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear"))
    helpers = {name for node in quantizers for name in node.input[1:]}
    floats_and_integers = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8)
    return sum(
        int(np.prod(tensor.dims))
        for tensor in graph.initializer
        if tensor.name not in helpers and tensor.data_type in floats_and_integers
    )
