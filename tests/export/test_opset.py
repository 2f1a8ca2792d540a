"""A model in another operator set computes the same; what cannot be written there is named."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.bench.inputs import random_inputs
from mtl_edge.errors import ModelError
from mtl_edge.export.edit import opset_of
from mtl_edge.export.opset import convert_opset
from mtl_edge.export.runtimes import RUNTIMES, fit_runtime, oldest_reader, reads_of
from mtl_edge.runtime import open_session

MODELS = Path(__file__).parents[2] / "models"
OLD = "1.17.3"


def _outputs(model: bytes) -> list[np.ndarray]:
    session = open_session(model, threads=1)
    return list(session.run(None, random_inputs(session.get_inputs(), batch=3, dims={}, place="test")))


def _one_node(kind: str, opset: int, width: int = 4, **attributes: object) -> bytes:
    node = helper.make_node(kind, ["x"], ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", width])],
    )
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10).SerializeToString()
    )


@pytest.mark.parametrize("opset", [13, 15, 17, 19, 22, 26])
@pytest.mark.parametrize("name", ["mnist-pairs", "adult-mmoe", "fashion-scenes"])
def test_our_models_compute_the_same_in_older_and_newer_sets(name: str, opset: int) -> None:
    """To the bit: int8 with Q/DQ, tables with NaN, maps with resizing."""
    model = (MODELS / name / "model.onnx").read_bytes()
    converted = convert_opset(model, opset)
    assert opset_of(onnx.load_from_string(converted)) == opset
    for before, after in zip(_outputs(model), _outputs(converted), strict=True):
        np.testing.assert_array_equal(before, after)


def test_the_file_format_is_the_oldest_that_the_set_allows() -> None:
    """A runtime refuses files of a newer format, whatever they hold."""
    model = (MODELS / "hello-mlp" / "model.onnx").read_bytes()
    found = {opset: onnx.load_from_string(convert_opset(model, opset)).ir_version for opset in (13, 15, 19, 20)}
    assert found == {13: 7, 15: 8, 19: 9, 20: 9}


def test_operators_that_a_set_has_not_are_named() -> None:
    """With the sets that have them."""
    with pytest.raises(ModelError, match=r"cannot be written in operator set 15: Gelu exists in 20 to \d+"):
        convert_opset(_one_node("Gelu", 20), 15)
    with pytest.raises(ModelError, match="operator set 13: LayerNormalization exists in 17 to"):
        convert_opset((MODELS / "reviews-transformer" / "model.onnx").read_bytes(), 13)


def test_what_only_the_converter_can_rewrite_is_rewritten() -> None:
    """Axes that became an input of a mean, for one, cannot be had by another label."""
    model = _one_node("ReduceMean", 13, 1, axes=[1], keepdims=1)
    proto = onnx.load_from_string(convert_opset(model, 18))
    (mean,) = [node for node in proto.graph.node if node.op_type == "ReduceMean"]
    assert len(mean.input) == 2
    assert "axes" not in [item.name for item in mean.attribute]


def test_a_reshape_that_keeps_zeros_is_not_relabelled() -> None:
    """``allowzero`` may go only where the shape has no zero."""
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"], allowzero=1)]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [0, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 0])],
        [numpy_helper.from_array(np.array([4, 0], np.int64), "shape")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()
    with pytest.raises(ModelError, match="Reshape: Unrecognized attribute: allowzero"):
        convert_opset(model, 13)


def test_a_model_that_a_runtime_reads_stays_as_it_is() -> None:
    """Nothing is rewritten without need."""
    model = (MODELS / "mnist-pairs" / "model.onnx").read_bytes()
    assert fit_runtime(model, "1.17") == model
    assert fit_runtime(model, "1.99") == model


def test_a_model_is_made_older_for_an_older_runtime() -> None:
    """Operator set and file format are what it reads."""
    model = convert_opset((MODELS / "mnist-pairs" / "model.onnx").read_bytes(), 22)
    proto = onnx.load_from_string(fit_runtime(model, "1.16.3"))
    assert (opset_of(proto), proto.ir_version) == (19, 9)
    with pytest.raises(ModelError, match=r"ONNX Runtime 1.16 reads operator sets up to 19: .* Gelu exists in 20"):
        fit_runtime(_one_node("Gelu", 20), "1.16")


@pytest.mark.parametrize("version", ["1.14", "1", "0.5.1", "newest", ""])
def test_versions_that_nobody_measured_are_refused(version: str) -> None:
    """The message says from which on."""
    with pytest.raises(ModelError, match=r"must be a version of ONNX Runtime from 1\.15 on"):
        reads_of(version)


def test_newer_runtimes_read_no_less() -> None:
    """So the oldest one that reads a file is defined."""
    reads = [RUNTIMES[key] for key in sorted(RUNTIMES)]
    assert [item.opset for item in reads] == sorted(item.opset for item in reads)
    assert [item.ir_version for item in reads] == sorted(item.ir_version for item in reads)
    assert (oldest_reader(20, 9), oldest_reader(13, 7), oldest_reader(21, 9)) == ("1.17", "1.15", "1.18")


_RUN = """
import sys, numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
feeds = dict(np.load(sys.argv[2]))
outputs = session.run(None, feeds)
np.savez(sys.argv[3], version=onnxruntime.__version__, **{f"o{at}": value for at, value in enumerate(outputs)})
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info[:2] not in {(3, 11), (3, 12)}, reason=f"onnxruntime {OLD} has no wheel for it")
def test_an_old_runtime_computes_the_same(tmp_path: Path) -> None:
    """Models made for ONNX Runtime 1.17 run on it, preprocessing and decoding in the graph among it."""
    from mtl_edge.export.folder import ExportOptions, export_folder, read_model
    from mtl_edge.export.graph_steps import GraphOptions

    old = tmp_path / "old"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(old)]
    if subprocess.run([*install, f"onnxruntime=={OLD}", "numpy==1.26.4"], capture_output=True, check=False).returncode:
        pytest.skip(f"pip install onnxruntime=={OLD} numpy==1.26.4 is not possible here")
    options = GraphOptions(opset=22, preprocess=True, pixels="bgra", decode=True, for_runtime="1.17")
    for name in ("mnist-pairs", "fashion-scenes"):
        folder = tmp_path / name
        export_folder(read_model(MODELS / name / "model.onnx"), folder, ExportOptions(graph=options))
        session = open_session(folder / "model.onnx", threads=1)
        shape = [size if isinstance(size, int) else 40 for size in session.get_inputs()[0].shape]
        photos = np.random.default_rng(0).integers(0, 256, (2, *shape[1:]), np.uint8)
        np.savez(tmp_path / "in.npz", **{session.get_inputs()[0].name: photos})
        (tmp_path / "run.py").write_text(_RUN)
        command = [sys.executable, "-S", "run.py", str(folder / "model.onnx"), "in.npz", "out.npz"]
        subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(old)}, check=True)
        with np.load(tmp_path / "out.npz") as found:
            assert str(found["version"]) == OLD
            for at, expected in enumerate(session.run(None, {session.get_inputs()[0].name: photos})):
                np.testing.assert_allclose(found[f"o{at}"].astype(float), expected.astype(float), rtol=1e-5, atol=1e-5)
    shutil.rmtree(old)
