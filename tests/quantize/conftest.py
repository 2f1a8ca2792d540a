"""ONNX Runtime on a processor without VNNI, for the tests of what becomes of int8 there."""

import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.artifact import Manifest, write_artifact
from mtl_edge.preprocessing import Pixels
from mtl_edge.tasks import Regression

_SCRIPT = """
import sys, pathlib, numpy, onnxruntime
for path in pathlib.Path(sys.argv[1]).glob("*.onnx"):
    session = onnxruntime.InferenceSession(path)
    feeds = {session.get_inputs()[0].name: numpy.load(path.with_suffix(".in.npy"))}
    numpy.save(path.with_suffix(".out.npy"), session.run(None, feeds)[0])
"""


@pytest.fixture
def on_haswell(tmp_path: Path) -> Callable[..., dict[str, np.ndarray]]:
    """Run models on an emulated Haswell: name -> model and input, to name -> the first output."""
    qemu = shutil.which("qemu-x86_64")
    if qemu is None or platform.machine() != "x86_64":
        pytest.skip("needs qemu-x86_64 (Debian's package qemu-user) on an x86-64 machine")

    def run(models: dict[str, tuple[bytes, np.ndarray]]) -> dict[str, np.ndarray]:
        for name, (model, x) in models.items():
            (tmp_path / f"{name}.onnx").write_bytes(model)
            np.save(tmp_path / f"{name}.in.npy", x)
        command = [qemu, "-cpu", "Haswell", sys.executable, "-c", _SCRIPT, str(tmp_path)]
        subprocess.run(command, check=True, capture_output=True, timeout=280)
        return {name: np.load(tmp_path / f"{name}.out.npy") for name in models}

    return run


# --- a network of which one layer breaks one of two tasks ------------------------------------------------------------

_RNG = np.random.default_rng(0)
_W = [_RNG.standard_normal(shape).astype(np.float32) for shape in ((7, 8), (8, 1), (8, 1))]
_W[2][0] = 0  # the column that is a thousand times larger than the others, and counts for nothing
_X = _RNG.standard_normal((64, 8)).astype(np.float32)
_X[:, 0] *= 1000
_ANSWERS = {"left": (np.maximum(_X[:, 1:] @ _W[0], 0) @ _W[1])[:, 0], "right": (2 * _X @ _W[2])[:, 0]}
_ARRAYS = {"x": _X} | {
    name: (found + 0.2 * found.std() * _RNG.standard_normal(len(found))).astype(np.float32)
    for name, found in _ANSWERS.items()
}


def _unequal() -> onnx.ModelProto:
    """One task reads the columns of like size, the other also a much larger one, which counts for nothing."""
    nodes = [
        helper.make_node("Slice", ["x", "from", "to", "axis"], ["like"], name="slice"),
        helper.make_node("MatMul", ["like", "w0"], ["a"], name="trunk"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("MatMul", ["b", "w1"], ["left"], name="left_head"),
        helper.make_node("Mul", ["x", "two"], ["all"], name="double"),
        helper.make_node("MatMul", ["all", "w2"], ["right"], name="right_head"),
    ]
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in
              (("x", 8), ("left", 1), ("right", 1))}  # fmt: skip
    tensors = [numpy_helper.from_array(weight, f"w{index}") for index, weight in enumerate(_W)]
    tensors += [numpy_helper.from_array(np.array([n]), name) for name, n in (("from", 1), ("to", 8), ("axis", 1))]
    tensors.append(numpy_helper.from_array(np.array(2, np.float32), "two"))
    graph = helper.make_graph(nodes, "graph", [values["x"]], [values["left"], values["right"]], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def unequal_model(tmp_path: Path) -> Path:
    """Without a manifest, as other tools write it."""
    onnx.save(_unequal(), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def unequal_samples(tmp_path: Path) -> Path:
    """Inputs and targets of both tasks, which the network meets but for a fifth of their spread."""
    np.savez(tmp_path / "samples.npz", **_ARRAYS)
    return tmp_path / "samples.npz"


@pytest.fixture
def unequal_artifact(tmp_path: Path, tiny_manifest: Manifest) -> Path:
    """With a manifest that says that both outputs are numbers."""
    raw = Pixels(raw_dtype="float32", scale=1.0, mean=(0.0,) * 8, std=(1.0,) * 8)
    source = msgspec.structs.replace(tiny_manifest.inputs[0], name="x", shape=("n", 8), preprocessing=raw)
    tasks = tuple(Regression(name=name, target=name) for name in ("left", "right"))
    manifest = msgspec.structs.replace(tiny_manifest, tasks=tasks, inputs=(source,), metrics=None)
    return write_artifact(tmp_path / "artifact", _unequal().SerializeToString(), manifest).path


@pytest.fixture
def unequal_arrays() -> dict[str, np.ndarray]:
    """The samples, with the targets of both tasks."""
    return _ARRAYS
