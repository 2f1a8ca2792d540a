"""What is copied to a box, and where to."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.errors import BenchError
from mtl_edge.remote.job import Job, pack, weight_files


def test_names_tell_models_apart_there_as_they_do_here(tmp_path: Path) -> None:
    """So much of the paths is kept; a link keeps its own name."""
    for name in ("a/dense", "a/int8"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.onnx").touch()
    (tmp_path / "a" / "link.onnx").symlink_to(tmp_path / "a" / "int8" / "model.onnx")
    job = Job(
        (tmp_path / "a" / "int8" / "model.onnx", tmp_path / "a" / "link.onnx"),
        against=tmp_path / "a" / "int8" / ".." / "dense" / "model.onnx",
    )
    assert list(job.places.values()) == ["models/dense/model.onnx", "models/int8/model.onnx", "models/link.onnx"]


def test_weights_beside_a_model_are_copied_along(tmp_path: Path) -> None:
    """But no file that the model does not name, and none from elsewhere."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64])],
        [numpy_helper.from_array(np.eye(64, dtype=np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "big.onnx"
    onnx.save(model, path, save_as_external_data=True, location="big weights.bin", size_threshold=0)
    (tmp_path / "private").touch()
    assert Job((path,)).files == {
        path: "models/big.onnx",
        tmp_path / "big weights.bin": "models/big weights.bin",
    }
    outside = tmp_path / "inner" / "big.onnx"
    outside.parent.mkdir()
    outside.write_bytes(path.read_bytes().replace(b"big weights.bin", b"../private/x./."))
    assert list(weight_files(outside)) == []


def test_a_wheelhouse_is_looked_at_before_any_box_is_asked(tmp_path: Path) -> None:
    """An empty one lacks everything."""
    with pytest.raises(BenchError, match="must hold wheels of click=="):
        pack(Job((tmp_path / "model.onnx",), wheelhouse=tmp_path))


def test_the_parcel_pins_every_version(tmp_path: Path) -> None:
    """And builds nothing on the box; without a wheelhouse its package index is asked."""
    parcel = pack(Job((tmp_path / "model.onnx",)))
    arguments = parcel.pip_arguments
    assert all("==" in word for word in arguments[arguments.index(":all:") + 1 :])
    assert "--no-index" not in arguments
