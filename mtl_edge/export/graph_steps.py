"""The changes that an export makes to a graph, one after the other, in the order in which they can be made."""

from dataclasses import dataclass
from typing import Literal

import msgspec
import onnx

from mtl_edge.artifact import Answer, Manifest, ModelInput
from mtl_edge.errors import ModelError
from mtl_edge.export.batch import set_batch
from mtl_edge.export.decode import decode_in_graph
from mtl_edge.export.edit import opset_of
from mtl_edge.export.opset import convert_opset
from mtl_edge.export.preprocess import preprocess_all_in_graph
from mtl_edge.export.runtimes import fit_runtime
from mtl_edge.preprocessing import ChannelOrder

Batch = int | Literal["dynamic"]


@dataclass(frozen=True, kw_only=True)
class GraphOptions:
    """What becomes of a graph; nothing, unless it is asked for.

    Attributes:
        preprocess: put what is done to raw samples before the network.
        pixels: order of the channels that the caller feeds, where it is not that of the training images.
        decode: put what is made of each task's output behind it.
        opset: another operator set.
        batch: so many samples at a time, or any number.
        for_runtime: the oldest ONNX Runtime that must read it, such as ``1.17``.
    """

    preprocess: bool = False
    pixels: ChannelOrder | None = None
    decode: bool = False
    opset: int | None = None
    batch: Batch | None = None
    for_runtime: str | None = None


@dataclass(frozen=True)
class ChangedGraph:
    """A model, what is true of it if it is one of ours, and the names of the steps that changed it."""

    model: bytes
    manifest: Manifest | None
    steps: tuple[str, ...]


def change_graph(model: bytes, manifest: Manifest | None, options: GraphOptions) -> ChangedGraph:
    """Do to a graph what the options say; what the network computes stays the same.

    Args:
        model: serialized, without a manifest inside.
        manifest: what it says; needed to preprocess and to decode.
        options: what to do.

    Raises:
        ModelError: a step cannot be done to this graph; the message says which and why.
    """
    known = manifest
    before = model
    steps: list[str] = []

    def changed(name: str, after: bytes) -> None:
        nonlocal model
        if after != model:
            steps.append(name)
        model = after

    current = opset_of(onnx.load_from_string(model))
    wanted = options.opset or current
    if wanted > current:
        changed(f"opset {wanted}", convert_opset(model, wanted))
    inputs: tuple[ModelInput, ...] = known.inputs if known is not None else ()
    answers: tuple[Answer, ...] = known.answers if known is not None else ()
    if options.preprocess:
        if known is None:
            raise ModelError(
                "preprocess: the model must carry mtl-edge's manifest, which says what is done, found none"
            )
        made, inputs = preprocess_all_in_graph(model, inputs, order=options.pixels)
        changed("preprocess", made)
    elif options.pixels is not None:
        raise ModelError(f"preprocess: the order of channels ({options.pixels}) goes with --preprocess, found none")
    if options.decode:
        if known is None:
            raise ModelError(
                "decode: the model must carry mtl-edge's manifest, which says what outputs mean, found none"
            )
        if answers:
            raise ModelError("decode: the model is decoded in the graph already")
        made, answers = decode_in_graph(model, known.tasks)
        changed("decode", made)
    if options.batch is not None:
        size = None if options.batch == "dynamic" else options.batch
        changed(f"batch {options.batch}", set_batch(model, size))
        first: int | str = "batch" if size is None else size
        inputs = tuple(msgspec.structs.replace(item, shape=(first, *item.shape[1:])) for item in inputs)
        answers = tuple(msgspec.structs.replace(item, shape=(first, *item.shape[1:])) for item in answers)
    if wanted < current:
        changed(f"opset {wanted}", convert_opset(model, wanted))
    if options.for_runtime is not None:
        changed(f"for ONNX Runtime {options.for_runtime}", fit_runtime(model, options.for_runtime))
    if known is not None and model != before:
        known = msgspec.structs.replace(known, inputs=inputs, answers=answers)
    return ChangedGraph(model, known, tuple(steps))
