"""A graph that preprocesses gives what the same network gives on inputs that were preprocessed outside."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from clients.small_models import several
from onnx import TensorProto, helper
from PIL import Image

from mtl_edge.artifact import ModelInput
from mtl_edge.errors import ModelError
from mtl_edge.export.preprocess import preprocess_all_in_graph, preprocess_in_graph
from mtl_edge.kits.goldens import golden_samples
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
from mtl_edge.runtime import open_session, predict

Build = Callable[..., bytes]
PIXELS = Pixels(raw_dtype="uint8", scale=1 / 255, mean=(0.288728, 0.5, 0.1), std=(0.3637624, 0.25, 2.5))
TABLE = Table(
    columns=(
        NumericColumn(name="age", mean=38.6, std=13.7),
        CategoricalColumn(name="work", categories=("Private", "State gov", "3")),
        NumericColumn(name="hours", mean=40.0, std=12.0),
        CategoricalColumn(name="colour", categories=("blau", "größer")),
        CategoricalColumn(name="empty", categories=()),
    )
)


def _source(preprocessing: Any, shape: tuple[int | str, ...], name: str = "x") -> ModelInput:
    return ModelInput(name=name, dtype=preprocessing.dtype, shape=shape, preprocessing=preprocessing)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("batch", ["n", 2])
def test_images_of_the_network_s_size_are_preprocessed_to_the_bit(channels: int, batch: int | str, echo: Build) -> None:
    """Pixels as bytes, channels last, give what the library's own preprocessing gives."""
    steps = Pixels(raw_dtype="uint8", scale=1 / 255, mean=PIXELS.mean[:channels], std=PIXELS.std[:channels])
    shape = (batch, channels, 9, 7)
    model, inputs = preprocess_in_graph(echo("x", shape, ["y"]), _source(steps, shape))
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    raw = np.random.default_rng(0).integers(0, 256, (2, channels, 9, 7), np.uint8)
    raw[0], raw[1, :, 0] = 255, 0
    found = predict(open_session(model), inputs, raw)["y"]
    np.testing.assert_array_equal(found, steps.apply(raw))
    (described,) = inputs
    assert (described.dtype, described.shape) == ("uint8", (batch, "x.height", "x.width", channels))
    assert described.raw_shape == shape
    assert described.preprocessing == RawPixels(pixels=steps, size=(9, 7))


@pytest.mark.parametrize("size", [(480, 640), (37, 41), (20, 500), (11, 8), (5, 3), (1, 1)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_images_of_any_size_are_resized_as_for_training(size: tuple[int, int], mode: str, echo: Build) -> None:
    """Within one of 256 levels of Pillow's bilinear filter, most of them equal, and always the same."""
    channels = len(mode) if mode == "RGB" else 1
    steps = Pixels(raw_dtype="uint8", scale=1.0, mean=(0.0,) * channels, std=(1.0,) * channels)
    model, _ = preprocess_in_graph(echo("x", ("n", channels, 32, 24), ["y"]), _source(steps, ("n", channels, 32, 24)))
    photos = np.random.default_rng(1).integers(0, 256, (2, *size, channels), np.uint8)
    session = open_session(model)
    (found,) = session.run(None, {"x": photos})
    pictures = [Image.fromarray(photo.squeeze(-1) if mode == "L" else photo) for photo in photos]
    resized = [np.asarray(picture.resize((24, 32), Image.Resampling.BILINEAR)) for picture in pictures]
    expected = np.stack(resized).reshape(2, 32, 24, channels).transpose(0, 3, 1, 2)
    difference = np.abs(found - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.05
    np.testing.assert_array_equal(found, session.run(None, {"x": photos})[0])


@pytest.mark.parametrize("order", ["rgb", "bgr", "rgba", "bgra"])
@pytest.mark.parametrize("channels", [1, 3])
def test_cameras_may_order_their_channels_otherwise(order: ChannelOrder, channels: int, echo: Build) -> None:
    """Alpha is not read; colours become gray as Pillow does it, to the bit, where the network has one channel."""
    steps = Pixels(raw_dtype="uint8", scale=1.0, mean=(0.0,) * channels, std=(1.0,) * channels)
    shape = ("n", channels, 8, 9)
    model, inputs = preprocess_in_graph(echo("x", shape, ["y"]), _source(steps, shape), order=order)
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    session = open_session(model)
    colours = np.random.default_rng(2).integers(0, 256, (2, 8, 9, 4), np.uint8)
    pictures = [Image.fromarray(picture).convert("RGB") for picture in colours]
    wanted = [np.asarray(picture.convert("L") if channels == 1 else picture) for picture in pictures]
    (found,) = session.run(None, {"x": colours[..., ["rgba".index(name) for name in order]]})
    np.testing.assert_array_equal(found, np.stack(wanted).reshape(2, 8, 9, channels).transpose(0, 3, 1, 2))
    raw = np.random.default_rng(3).integers(0, 256, (2, channels, 8, 9), np.uint8)
    np.testing.assert_array_equal(predict(session, inputs, raw)["y"], raw)
    assert inputs[0].shape == ("n", "x.height", "x.width", len(order))
    assert inputs[0].raw_shape == shape


def test_an_order_of_channels_is_of_images(echo: Build) -> None:
    """Tables, vectors and networks of two channels have none."""
    two = Pixels(raw_dtype="uint8", scale=1.0, mean=(0.0,) * 2, std=(1.0,) * 2)
    with pytest.raises(ModelError, match="bgr is for a network of 1 or 3 channels, found 2"):
        preprocess_in_graph(echo("x", ("n", 2, 4, 4), ["y"]), _source(two, ("n", 2, 4, 4)), order="bgr")
    with pytest.raises(ModelError, match=r"order of channels \(bgr\) is of images of uint8, found none"):
        preprocess_in_graph(echo("x", ("n", 5), ["y"]), _source(TABLE, ("n", 5)), order="bgr")


@pytest.mark.parametrize(("dtype", "shape"), [("uint8", ("n", 3)), ("int16", ("n", 3, 8)), ("uint16", ("n", 3, 4, 4))])
def test_other_grids_of_whole_numbers_keep_their_layout(dtype: str, shape: tuple[int | str, ...], echo: Build) -> None:
    """Vectors, sequences and images of more than 8 bits are scaled and standardised, to the bit."""
    steps = Pixels(raw_dtype=dtype, scale=0.01, mean=PIXELS.mean, std=PIXELS.std)
    model, inputs = preprocess_in_graph(echo("x", shape, ["y"]), _source(steps, shape))
    raw = np.random.default_rng(0).integers(0, 200, (4, *map(int, shape[1:]))).astype(dtype)
    np.testing.assert_array_equal(predict(open_session(model), inputs, raw)["y"], steps.apply(raw))
    assert (inputs[0].dtype, inputs[0].shape) == (dtype, shape)


def test_numbers_that_are_not_scaled_need_nothing(echo: Build) -> None:
    """A network that reads raw samples stays as it is."""
    steps = Pixels(raw_dtype="float32", scale=1.0, mean=(0.0,), std=(1.0,))
    source = _source(steps, ("n", 4))
    model = echo("x", ("n", 4), ["y"])
    assert preprocess_in_graph(model, source) == (model, (source,))


def test_rows_of_numbers_and_texts_are_encoded_as_for_training(echo: Build, client: Any) -> None:
    """Known, unknown and missing categories, and missing numbers, give the codes that the client gives, to the bit."""
    source = _source(TABLE, ("n", len(TABLE.columns)), "person")
    model, inputs = preprocess_in_graph(echo("person", source.shape, ["y"]), source)
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    assert [(item.name, item.dtype, item.shape) for item in inputs] == [
        ("person.numbers", "float32", ("n", 2)),
        ("person.categories", "string", ("n", 3)),
    ]
    numbers, texts = inputs
    assert isinstance(numbers.preprocessing, RawNumbers)
    assert isinstance(texts.preprocessing, RawCategories)
    rows = [
        {"age": 31.25, "work": "Private", "hours": 40.0, "colour": "größer", "empty": "any"},
        {"age": None, "work": "3", "hours": 0.1, "colour": None, "empty": None},
        {"age": -1e30, "work": "private", "hours": None, "colour": "blau", "empty": ""},
    ]
    feeds = {
        "person.numbers": np.array([[row[name] for name in numbers.preprocessing.columns] for row in rows], np.float32),
        "person.categories": np.array(
            [[row[column.name] or "" for column in texts.preprocessing.columns] for row in rows], object
        ),
    }
    (found,) = open_session(model).run(None, feeds)
    listed = {column.name: getattr(column, "categories", None) for column in TABLE.columns}
    np.testing.assert_array_equal(found, client.Table(listed).encode(rows))


def test_encoded_rows_of_a_data_set_go_through_too(echo: Build) -> None:
    """So the graph that preprocesses can be measured with the same samples."""
    source = _source(TABLE, ("n", len(TABLE.columns)))
    model, inputs = preprocess_in_graph(echo("x", source.shape, ["y"]), source)
    rows = np.array([[1.5, 2, np.nan, 0, 0], [-3, 0, 7, 2, 0]], np.float32)
    np.testing.assert_array_equal(predict(open_session(model), inputs, rows)["y"], rows)
    assert {item.array for item in inputs} == {"x"}


def test_rows_of_categories_alone_are_one_input(echo: Build) -> None:
    """There is no empty input of numbers."""
    table = Table(columns=(TABLE.columns[1], TABLE.columns[3]))
    model, inputs = preprocess_in_graph(echo("x", ("n", 2), ["y"]), _source(table, ("n", 2)))
    assert [item.name for item in inputs] == ["x.categories"]
    (found,) = open_session(model).run(None, {"x.categories": np.array([["3", "?"], ["", "blau"]], object)})
    assert found.tolist() == [[3, 0], [0, 1]]


def test_rows_of_numbers_alone_need_nothing(echo: Build) -> None:
    """Standardisation is inside of our networks."""
    source = _source(Table(columns=(TABLE.columns[0],)), ("n", 1))
    model = echo("x", ("n", 1), ["y"])
    assert preprocess_in_graph(model, source) == (model, (source,))


def test_branches_within_the_graph_read_what_was_preprocessed() -> None:
    """A graph within a node that reads the input from outside gets the new tensor."""
    output = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    branches = {
        name: helper.make_graph([helper.make_node(kind, ["x"], ["inner"])], name, [], [output])
        for name, kind in (("then_branch", "Identity"), ("else_branch", "Neg"))
    }
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("t", TensorProto.BOOL, [], [True])),
            helper.make_node("If", ["yes"], ["y"], **branches),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()
    model, inputs = preprocess_in_graph(content, _source(PIXELS, ("n", 3)))
    raw = np.array([[0, 128, 255]], np.uint8)
    np.testing.assert_array_equal(predict(open_session(model), inputs, raw)["y"], PIXELS.apply(raw))


@pytest.mark.parametrize(
    ("preprocessing", "shape", "opset", "message"),
    [
        (Tokens(vocabulary=("a",), length=4), ("n", 4), 20, "no operator of ONNX cuts text into words"),
        (RawPixels(pixels=PIXELS), ("n", 3), 20, "'x' is preprocessed in the graph already"),
        (PIXELS, ("n", 3, 4, 4), 17, "resizing needs operator set 18 or later, found 17"),
        (TABLE, ("n", 5), 18, "comparing texts needs operator set 19 or later, found 18"),
    ],
)
def test_what_cannot_be_put_in_is_said(
    preprocessing: Any, shape: tuple[int | str, ...], opset: int, message: str, echo: Build
) -> None:
    """With the rule that it breaks."""
    with pytest.raises(ModelError, match=message):
        preprocess_in_graph(echo("x", shape, ["y"], opset=opset), _source(preprocessing, shape))


def test_each_of_several_inputs_is_preprocessed() -> None:
    """A picture and a row; what goes in as it is stays so, and a text is left to the client."""
    model, manifest = several()
    picture, row, note = manifest.inputs
    with pytest.raises(ModelError, match="'note' reads text"):
        preprocess_all_in_graph(model, manifest.inputs)
    ids = RawPixels(pixels=Pixels(raw_dtype="int64", scale=1.0, mean=(0.0,), std=(1.0,)))
    inputs = (picture, row, msgspec.structs.replace(note, preprocessing=ids))
    made, found = preprocess_all_in_graph(model, inputs, order="rgb")
    assert [item.name for item in found] == ["image", "the row.numbers", "the row.categories", "note"]
    assert found[0].shape == ("batch", "image.height", "image.width", 3)
    raw = golden_samples(inputs, 5)
    before, after = (predict(open_session(proto), read, raw) for proto, read in ((model, inputs), (made, found)))
    np.testing.assert_allclose(after["total"], before["total"], rtol=1e-6)
    with pytest.raises(ModelError, match="in the graph already"):
        preprocess_all_in_graph(made, found)
    with pytest.raises(ModelError, match=r"the order of channels \(bgr\) is of images of uint8, found none"):
        preprocess_all_in_graph(model, inputs[1:], order="bgr")
