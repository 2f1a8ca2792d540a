"""Small models for the tests of clients: every kind of task, an int8 network that no processor computes otherwise."""

import msgspec
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.artifact import Lineage, Manifest, ModelInput
from mtl_edge.preprocessing import CategoricalColumn, NumericColumn, Pixels, Preprocessing, RawPixels, Table, Tokens
from mtl_edge.tasks import Binary, DenseRegression, Multiclass, Multilabel, Ordinal, Regression, Segmentation, Task

SHAPE = (3, 4, 5)
TASKS: tuple[Task, ...] = (
    Binary(name="is_open", target="y"),
    Multilabel(name="tags", target="y", classes=3),
    Ordinal(name="grade", target="y", classes=4),
    Multiclass(name="class", target="y", classes=3),
    Regression(name="constructor", target="y"),
    Segmentation(name="Maß.é-1", target="y", classes=3),
    DenseRegression(name="maß_é_1", target="y"),
)
"""One of each kind; names that are keywords somewhere, are no identifiers, or become the same one."""

TABLE = Table(
    columns=(
        NumericColumn(name="age", mean=40.0, std=10.0),
        CategoricalColumn(name="the city", categories=("Lyon", "Bern")),
        CategoricalColumn(name="class", categories=("1", "2", "0.5", "True")),
    )
)
TOKENS = Tokens(vocabulary=("my", "parcel", "isn't"), length=4)


def every_kind() -> tuple[bytes, Manifest]:
    """A network whose outputs are parts of its input ``x (batch, 3, 4, 5)``, float32."""
    widths = {"is_open": (0, 1), "tags": (1, 4), "grade": (4, 7), "class": (7, 10), "constructor": (10, 11)}
    constants = {"axis": np.array([1]), "first": np.array([0]), "second": np.array([1])}
    nodes = [helper.make_node("Flatten", ["x"], ["flat"])]
    for name, ends in widths.items():
        constants |= {f"{name} {end}": np.array([place]) for end, place in zip(("from", "to"), ends, strict=True)}
        nodes.append(helper.make_node("Slice", ["flat", f"{name} from", f"{name} to", "axis"], [name]))
    nodes.append(helper.make_node("Identity", ["x"], [TASKS[5].name]))
    nodes.append(helper.make_node("Slice", ["x", "first", "second", "axis"], [TASKS[6].name]))
    shapes = [(to - start,) for start, to in widths.values()] + [SHAPE, (1, *SHAPE[1:])]
    outputs = {task.name: ("batch", *shape) for task, shape in zip(TASKS, shapes, strict=True)}
    pixels = Pixels(raw_dtype="float32", scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    model = _model(nodes, ("batch", *SHAPE), TensorProto.FLOAT, outputs, constants)
    return model, _manifest(TASKS, ("batch", *SHAPE), pixels)


def int8() -> tuple[bytes, Manifest]:
    """``x (batch, 2, 6, 6)``, uint8 pixels, through a convolution in int8, whose sums no kernel cuts off."""
    rng = np.random.default_rng(4)
    constants = {
        "scale": np.array(2**-5, np.float32),
        "zero": np.array(128, np.uint8),
        "weight": rng.integers(-20, 21, (4, 2, 3, 3), np.int8),
        "weight scale": np.array(2**-7, np.float32),
        "weight zero": np.array(0, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["x8"]),
        helper.make_node("DequantizeLinear", ["x8", "scale", "zero"], ["x32"]),
        helper.make_node("DequantizeLinear", ["weight", "weight scale", "weight zero"], ["w32"]),
        helper.make_node("Conv", ["x32", "w32"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("QuantizeLinear", ["conv", "scale", "zero"], ["y8"]),
        helper.make_node("DequantizeLinear", ["y8", "scale", "zero"], ["place"]),
    ]
    task = Segmentation(name="place", target="y", classes=4)
    shape = ("batch", 2, 6, 6)
    pixels = Pixels(raw_dtype="uint8", scale=1 / 255, mean=(0.4, 0.1), std=(0.3, 0.7))
    return _model(nodes, shape, TensorProto.FLOAT, {"place": ("batch", 4, 6, 6)}, constants), _manifest(
        (task,), shape, pixels, target="x86-vnni"
    )


def raw() -> tuple[bytes, Manifest]:
    """``place`` is the input itself, ``x (batch, 2, 6, 6)`` of uint8 pixels, which the graph preprocesses."""
    nodes = [helper.make_node("Cast", ["x"], ["place"], to=TensorProto.FLOAT)]
    shape = ("batch", 2, 6, 6)
    steps = RawPixels(pixels=Pixels(raw_dtype="uint8", scale=1.0, mean=(0.0, 0.0), std=(1.0, 1.0)))
    task = Segmentation(name="place", target="y", classes=2)
    return _model(nodes, shape, TensorProto.UINT8, {"place": shape}, {}), _manifest((task,), shape, steps)


def sum_of(preprocessing: Preprocessing, width: int) -> tuple[bytes, Manifest]:
    """``total`` is the sum of a row's columns, or of a text's ids."""
    dtype = TensorProto.INT64 if preprocessing.dtype == "int64" else TensorProto.FLOAT
    nodes = [
        helper.make_node("Cast", ["x"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["numbers", "axis"], ["total"]),
    ]
    model = _model(nodes, ("batch", width), dtype, {"total": ("batch", 1)}, {"axis": np.array([1])})
    return model, _manifest((Regression(name="total", target="y"),), ("batch", width), preprocessing)


def several() -> tuple[bytes, Manifest]:
    """``total`` is the sum of what becomes of pixels ``image (batch, 1, 3, 3)``, a row and a text."""
    pixels = Pixels(raw_dtype="uint8", scale=1 / 255, mean=(0.4,), std=(0.3,))
    steps: dict[str, tuple[Preprocessing, tuple[int | str, ...], int]] = {
        "image": (pixels, ("batch", 1, 3, 3), TensorProto.FLOAT),
        "the row": (TABLE, ("batch", 3), TensorProto.FLOAT),
        "note": (TOKENS, ("batch", 4), TensorProto.INT64),
    }
    nodes = []
    for name in steps:
        nodes.append(helper.make_node("Cast", [name], [f"{name} numbers"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Flatten", [f"{name} numbers"], [f"{name} flat"]))
    nodes.append(helper.make_node("Concat", [f"{name} flat" for name in steps], ["all"], axis=1))
    nodes.append(helper.make_node("ReduceSum", ["all", "axis"], ["total"]))
    inputs = {name: (dtype, shape) for name, (_, shape, dtype) in steps.items()}
    model = _model(nodes, (), 0, {"total": ("batch", 1)}, {"axis": np.array([1])}, inputs=inputs)
    manifest = msgspec.structs.replace(
        _manifest((Regression(name="total", target="y"),), (), pixels),
        inputs=tuple(
            ModelInput(name=name, dtype=part.dtype, shape=shape, preprocessing=part)
            for name, (part, shape, _) in steps.items()
        ),
    )
    return model, manifest


def _model(
    nodes: list[object],
    shape: tuple[int | str, ...],
    dtype: int,
    outputs: dict[str, tuple[int | str, ...]],
    constants: dict[str, np.ndarray],
    inputs: dict[str, tuple[int, tuple[int | str, ...]]] | None = None,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(name, *form) for name, form in (inputs or {"x": (dtype, shape)}).items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return bytes(made.SerializeToString())


def _manifest(
    tasks: tuple[Task, ...], shape: tuple[int | str, ...], preprocessing: Preprocessing, target: str | None = None
) -> Manifest:
    return Manifest(
        name="small",
        variant="dense",
        tasks=tasks,
        inputs=(ModelInput(name="x", dtype=preprocessing.dtype, shape=shape, preprocessing=preprocessing),),
        lineage=Lineage(recipe_sha256="1" * 64, data_sha256="2" * 64, seed=0, steps=("train",)),
        parameters=1,
        opset=20,
        versions={},
        target=target,
    )
