"""Kits for the tests of C++ clients, and the program that asks them."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
from clients.fetch import HEADERS
from clients.small_models import several
from clients.tools import fetched
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.artifact import MODEL_FILE, Lineage, Manifest, ModelInput, write_artifact
from mtl_edge.export.preprocess import preprocess_in_graph
from mtl_edge.kits.kit import write_kit
from mtl_edge.preprocessing import Pixels
from mtl_edge.runtime import manifest_of, open_session
from mtl_edge.tasks import Binary, DenseRegression, Multiclass, Multilabel, Ordinal, Regression, Segmentation, Task

ROOT = Path(__file__).parents[2]
REFERENCE = ("adult", "fashion-scenes", "mnist-pairs", "reviews")
"""Int8 networks of a table, dense outputs, pixels, and tokens."""

EVERY_KIND = "every-kind"
"""A fp32 network with each kind of task, and names that C++ could stumble over."""

IN_GRAPH = "in-graph"
"""An int8 network whose graph preprocesses, and reads images of any size as a camera gives them."""

ROWS_IN_GRAPH = "rows-in-graph"
"""An int8 network whose graph encodes rows: its numbers and its categories are an input each."""

SEVERAL = "several"
"""A network that reads pixels, a row and a text."""

KITS = (*REFERENCE, EVERY_KIND, IN_GRAPH)
"""Those that read one array."""
RUNTIME = next(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*"))
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")
SANITIZED = ("-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", *STRICT)
FUSED = ("-O3", "-march=native", "-ffp-contract=fast", "-DNDEBUG", *STRICT)

_TASKS: tuple[Task, ...] = (
    Multiclass(name="signed", target="y", classes=4),
    Binary(name="Answers", target="y"),
    Multilabel(name="sum-1.x", target="y", classes=3),
    Ordinal(name="sum_1_x", target="y", classes=5),
    Regression(name="größe", target="y"),
    Segmentation(name="linux", target="y", classes=3),
    Segmentation(name="NAN", target="y", classes=300),
    DenseRegression(name="__proto__", target="y"),
)
_SHAPE = ("batch", 2, 6, 5)
_INPUT = 'bild "x" \\ %s'


def write_kits(folder: Path) -> None:
    """All kits, each in a folder of its name."""
    for name in REFERENCE:
        write_kit(ROOT / "models" / name / MODEL_FILE, "cpp", folder / name)
    write_artifact(folder / "made", _network(), _manifest())
    write_kit(folder / "made" / MODEL_FILE, "cpp", folder / EVERY_KIND)
    model, said = several()
    write_artifact(folder / "made", model, msgspec.structs.replace(said, name=SEVERAL))
    write_kit(folder / "made" / MODEL_FILE, "cpp", folder / SEVERAL)
    for name, made in (("mnist-pairs", IN_GRAPH), ("adult", ROWS_IN_GRAPH)):
        path = ROOT / "models" / name / MODEL_FILE
        manifest = manifest_of(path, open_session(path))
        assert manifest is not None
        proto = onnx.load(path)
        del proto.metadata_props[:]
        model, inputs = preprocess_in_graph(proto.SerializeToString(), manifest.inputs[0])
        write_artifact(folder / "made", model, msgspec.structs.replace(manifest, name=made, inputs=inputs))
        write_kit(folder / "made" / MODEL_FILE, "cpp", folder / made)


def headers() -> Path:
    """The folder of ``onnxruntime_c_api.h``."""
    return fetched(HEADERS / "usr" / "include" / "onnxruntime")


def build(compiler: str, kits: Path, flags: Sequence[str], program: Path) -> Path:
    """Compile the probe with all kits."""
    source = Path(__file__).parent / "cpp" / "probe.cpp"
    include = ["-isystem", str(headers()), "-I", str(kits), "-I", str(kits / EVERY_KIND)]
    command = [compiler, "-std=c++17", *flags, *include, str(source), "-o", str(program), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def ask(command: Sequence[object], **options: object) -> "subprocess.CompletedProcess[str]":
    """Run a program; sanitizers that find something end it with a message."""
    environment = {"MTL_EDGE_ONNXRUNTIME": str(RUNTIME), "UBSAN_OPTIONS": "halt_on_error=1", "LC_ALL": "C.UTF-8"}
    environment |= options.pop("env", {})  # type: ignore[arg-type]
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [*map(str, command)], capture_output=True, text=True, check=False, env=environment, **options
    )


def _network() -> bytes:
    rng = np.random.default_rng(3)
    constants = {"first": rng.standard_normal((8, 2, 3, 3)), "bias": rng.standard_normal(8)}
    nodes = [
        helper.make_node("Conv", [_INPUT, "first", "bias"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["trunk"]),
        helper.make_node("GlobalAveragePool", ["trunk"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
    ]
    outputs = []
    for task in _TASKS:
        weight = f"to {task.name}"
        if task.dense:
            constants[weight] = rng.standard_normal((task.width, 8, 1, 1))
            nodes.append(helper.make_node("Conv", ["trunk", weight], [task.name]))
        else:
            constants[weight] = 3 * rng.standard_normal((8, task.width))
            nodes.append(helper.make_node("MatMul", ["features", weight], [task.name]))
        shape = ["batch", task.width, *(_SHAPE[2:] if task.dense else ())]
        outputs.append(helper.make_tensor_value_info(task.name, TensorProto.FLOAT, shape))
    graph = helper.make_graph(
        nodes,
        "every kind",
        [helper.make_tensor_value_info(_INPUT, TensorProto.FLOAT, _SHAPE)],
        outputs,
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _manifest() -> Manifest:
    pixels = Pixels(raw_dtype="int16", scale=0.1, mean=(0.4, -70.1), std=(13.3, 170.7))
    return Manifest(
        name="class",
        variant='"dense"\n// ??/',
        tasks=_TASKS,
        inputs=(ModelInput(name=_INPUT, dtype="float32", shape=_SHAPE, preprocessing=pixels),),
        lineage=Lineage(recipe_sha256="1" * 64, data_sha256="2" * 64, seed=0, steps=("train",)),
        parameters=1,
        opset=17,
        versions={},
    )
