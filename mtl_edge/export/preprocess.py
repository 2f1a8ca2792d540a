"""Preprocessing in the graph: what the caller feeds is as raw as a camera or a table gives it.

Images are brought to the network's size by :mod:`mtl_edge.export.image_steps`. What follows is the arithmetic of
:class:`~mtl_edge.preprocessing.Pixels` in its order, so it is the same to the bit. Texts of tables are compared to the
categories that are known.

Words of texts stay outside: no operator of ONNX cuts a text into them as training did.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.artifact import ModelInput
from mtl_edge.errors import ModelError
from mtl_edge.export.edit import opset_of, rename_reads
from mtl_edge.export.image_steps import RESIZE_OPSET, ImageSteps
from mtl_edge.graph import fresh_name
from mtl_edge.preprocessing import (
    CategoricalColumn,
    ChannelOrder,
    NumericColumn,
    Pixels,
    RawCategories,
    RawNumbers,
    RawPixels,
    Table,
    Tokens,
)

_TEXTS_OPSET = 19
"""Since when ``Equal`` compares texts."""


def preprocess_in_graph(
    model: bytes, source: ModelInput, *, order: ChannelOrder | None = None
) -> tuple[bytes, tuple[ModelInput, ...]]:
    """Put before the network what clients do to raw samples; the network itself stays as it is.

    Args:
        model: a serialized model.
        source: its input, with what is done to samples outside.
        order: of the channels that the caller feeds; None: that of the training images.

    Returns:
        The model and its inputs: of images one of uint8 with channels last, in any height and width; of tables one of
        numbers and one of texts; of other pixels one of their raw dtype. The same as before where the network reads raw
        samples already: tables of numbers, and pixels that are not scaled.

    Raises:
        ModelError: the input cannot be preprocessed in a graph, is preprocessed there already, or the operator set is
            too old for it.
    """
    proto = onnx.load_from_string(model)
    if all(item.name != source.name for item in proto.graph.input):
        raise ModelError(f"preprocess: the graph must have the manifest's input {source.name!r}, found none")
    match source.preprocessing:
        case Pixels() as pixels:
            inputs = _pixels(proto, source, pixels, order)
        case Table() as table:
            inputs = _table(proto, source, table)
        case Tokens():
            raise ModelError(
                f"preprocess: {source.name!r} reads text, and no operator of ONNX cuts text into words as training "
                "did: the client must, with the manifest's vocabulary"
            )
        case _:
            raise ModelError(f"preprocess: {source.name!r} is preprocessed in the graph already")
    if order is not None and not any(isinstance(item.preprocessing, RawPixels) for item in inputs):
        raise ModelError(f"preprocess: the order of channels ({order}) is of images of uint8, found none")
    return bytes(proto.SerializeToString()), inputs


def preprocess_all_in_graph(
    model: bytes, inputs: Sequence[ModelInput], *, order: ChannelOrder | None = None
) -> tuple[bytes, tuple[ModelInput, ...]]:
    """Put before the network what clients do to samples of each of its inputs, as :func:`preprocess_in_graph` does.

    The order of channels is that of all images; where there are several inputs, one that goes in as it is stays so.
    """
    if any(isinstance(item.preprocessing, RawNumbers | RawCategories) for item in inputs):
        raise ModelError("preprocess: the model is preprocessed in the graph already")
    if len(inputs) == 1:
        return preprocess_in_graph(model, inputs[0], order=order)
    if order is not None and not any(map(_is_picture, inputs)):
        raise ModelError(f"preprocess: the order of channels ({order}) is of images of uint8, found none")
    found: list[ModelInput] = []
    for item in inputs:
        if isinstance(item.preprocessing, RawPixels) and item.preprocessing.as_it_is:
            found.append(item)
            continue
        model, made = preprocess_in_graph(model, item, order=order if _is_picture(item) else None)
        found.extend(made)
    return model, tuple(found)


def _is_picture(source: ModelInput) -> bool:
    """Whether it is of images that the graph can resize."""
    sizes = source.shape[1:]
    steps = source.preprocessing
    return (
        isinstance(steps, Pixels)
        and steps.raw_dtype == "uint8"
        and len(sizes) == 3
        and not any(isinstance(size, str) for size in sizes)
    )


def _pixels(
    proto: onnx.ModelProto, source: ModelInput, pixels: Pixels, order: ChannelOrder | None
) -> tuple[ModelInput, ...]:
    if pixels.scale == 1 and not any(pixels.mean) and set(pixels.std) == {1.0} and pixels.raw_dtype == source.dtype:
        return (source,)
    stem = fresh_name(proto.graph, f"{source.name}.preprocess")
    raw, shape, size = source.name, source.shape, None
    nodes: list[onnx.NodeProto] = []
    broadcast = (-1,) + (1,) * (len(shape) - 2)
    std = np.asarray(pixels.std, np.float32)
    constants = {
        f"{stem}.factor": (np.float32(pixels.scale) / std).reshape(broadcast),
        f"{stem}.offset": (np.asarray(pixels.mean, np.float32) / std).reshape(broadcast),
    }
    match shape:
        case (batch, int(depth), int(height), int(width)) if pixels.raw_dtype == "uint8":
            _check_opset(proto, RESIZE_OPSET, "resizing")
            size = (height, width)
            images = ImageSteps(source.name, stem, depth, size, order)
            raw, shape = images.output, (batch, f"{source.name}.height", f"{source.name}.width", images.channels)
            nodes += images.nodes
            constants |= images.constants
    nodes += [
        helper.make_node("Cast", [raw], [f"{stem}.float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{stem}.float", f"{stem}.factor"], [f"{stem}.scaled"]),
        helper.make_node("Sub", [f"{stem}.scaled", f"{stem}.offset"], [stem]),
    ]
    steps = RawPixels(pixels=pixels, size=size, order=order if size else None)
    made = ModelInput(name=source.name, dtype=pixels.raw_dtype, shape=shape, preprocessing=steps)
    _put_before(proto.graph, source.name, stem, nodes, constants, (made,))
    return (made,)


def _check_opset(proto: onnx.ModelProto, needed: int, what: str) -> None:
    if opset_of(proto) < needed:
        raise ModelError(f"preprocess: {what} needs operator set {needed} or later, found {opset_of(proto)}")


def _table(proto: onnx.ModelProto, source: ModelInput, table: Table) -> tuple[ModelInput, ...]:
    """Codes of categories, from a comparison with each of those that are listed."""
    places = {
        kind: tuple(place for place, column in enumerate(table.columns) if isinstance(column, kind))
        for kind in (NumericColumn, CategoricalColumn)
    }
    listed = [column for column in table.columns if isinstance(column, CategoricalColumn)]
    known = [(at, code, name) for at, column in enumerate(listed) for code, name in enumerate(column.categories, 1)]
    if not known:
        return (source,)
    _check_opset(proto, _TEXTS_OPSET, "comparing texts")
    graph = proto.graph
    stem = fresh_name(graph, f"{source.name}.preprocess")
    texts, numbers = (fresh_name(graph, f"{source.name}.{part}") for part in ("categories", "numbers"))
    codes = np.zeros((len(known), len(listed)), np.float32)
    for row, (at, code, _) in enumerate(known):
        codes[row, at] = code
    constants = {
        f"{stem}.columns": np.array([at for at, _, _ in known], np.int64),
        f"{stem}.texts": np.array([name for _, _, name in known], object),
        f"{stem}.codes": codes,
    }
    nodes = [
        helper.make_node("Gather", [texts, f"{stem}.columns"], [f"{stem}.repeated"], axis=1),
        helper.make_node("Equal", [f"{stem}.repeated", f"{stem}.texts"], [f"{stem}.equal"]),
        helper.make_node("Cast", [f"{stem}.equal"], [f"{stem}.found"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", [f"{stem}.found", f"{stem}.codes"], [f"{stem}.coded"]),
    ]
    batch, of = source.shape[0], len(table.columns)
    made = [
        ModelInput(
            name=texts,
            dtype="string",
            shape=(batch, len(listed)),
            preprocessing=RawCategories(columns=tuple(listed), places=places[CategoricalColumn], of=of),
            reads=source.array,
        )
    ]
    if numeric := places[NumericColumn]:
        constants[f"{stem}.order"] = np.argsort([*numeric, *places[CategoricalColumn]]).astype(np.int64)
        nodes += [
            helper.make_node("Concat", [numbers, f"{stem}.coded"], [f"{stem}.joined"], axis=1),
            helper.make_node("Gather", [f"{stem}.joined", f"{stem}.order"], [stem], axis=1),
        ]
        names = tuple(table.columns[place].name for place in numeric)
        raw = RawNumbers(columns=names, places=numeric, of=of)
        made.insert(
            0,
            ModelInput(
                name=numbers, dtype="float32", shape=(batch, len(numeric)), preprocessing=raw, reads=source.array
            ),
        )
    else:
        nodes[-1].output[0] = stem
    _put_before(graph, source.name, stem, nodes, constants, tuple(made))
    return tuple(made)


_ELEMENT_TYPES = {"string": TensorProto.STRING}


def _put_before(
    graph: onnx.GraphProto,
    old: str,
    new: str,
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    inputs: tuple[ModelInput, ...],
) -> None:
    """Let the network read a tensor that nodes make of new inputs, in place of its input; in place."""
    rename_reads(graph, old, new)
    for index, node in enumerate(nodes):
        node.name = f"{new}.{index}.{node.op_type.lower()}"
        graph.node.insert(index, node)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    kept = [item for item in graph.input if item.name != old]
    described = [
        helper.make_tensor_value_info(
            item.name,
            _ELEMENT_TYPES.get(item.dtype) or helper.np_dtype_to_tensor_dtype(np.dtype(item.dtype)),
            item.shape,
        )
        for item in inputs
    ]
    del graph.input[:]
    graph.input.extend([*described, *kept])
