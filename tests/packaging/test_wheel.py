"""What a wheel holds, and that its base install is enough for a target box."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def _do(*command: object, **options: object) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert isinstance(done, subprocess.CompletedProcess)
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    done = _do(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def target_box(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of an environment with the base install and what computes metrics."""
    folder = tmp_path_factory.mktemp("target-box")
    venv.create(folder, with_pip=True)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    done = _do(scripts / "python", "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", f"{wheel}[metrics]")
    assert done.returncode == 0, done.stderr
    return scripts


def test_the_wheel_holds_one_package_with_data_recipes_and_licences(wheel: Path) -> None:
    """No general name such as tests, models, exporters or benchmarks is installed."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"mtl_edge"}
    for needed in (
        "mtl_edge/py.typed",
        "mtl_edge/cli/__init__.py",
        "mtl_edge/data/digits/mnist_5k.npz",
        "mtl_edge/data/digits/LICENSE",
        "mtl_edge/models/mnist-pairs/recipe.toml",
        "mtl_edge/exporters/cpp/mtl_edge.hpp",
        "mtl_edge/exporters/python/mtl_edge_client.py",
        "mtl_edge/kits/model.hpp.in",
        "mtl_edge/exporters/javascript/mtl_edge/index.js",
        "mtl_edge/exporters/node/.npmrc",
        "mtl_edge/report/report.css",
        "mtl_edge/manifest.schema.json",
        "mtl_edge/report/report.html.j2",
        "mtl_edge/report/report.js",
    ):
        assert needed in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    source = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "mtl_edge").rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert source <= set(names)


def test_a_target_box_measures_artifacts_without_torch(target_box: Path, finished_run: Path) -> None:
    """The install has neither torch nor onnx, and measures what a run made, metrics included."""
    for package in ("torch", "onnx"):
        assert _do(target_box / "python", "-c", f"import {package}").returncode != 0
    models = sorted(finished_run.glob("artifacts/*/model.onnx"))
    data = next(finished_run.glob("stages/data-*/test"))
    quick = ["--threads", "1", "--rounds", "2", "--seconds", "0.02"]
    done = _do(target_box / "mtl-edge", "bench", *models, "--data", data, *quick, "--json", "out.json", cwd=target_box)
    assert done.returncode == 0, done.stderr
    for name in ("dense", "dense-int8", "pruned", "pruned-int8", "accuracy", "MAE"):
        assert name in done.stdout
    assert "ratios to dense are medians" in done.stdout
    assert (target_box / "out.json").stat().st_size > 1000


def test_a_target_box_measures_a_stranger_s_model(target_box: Path, tmp_path: Path) -> None:
    """Without a manifest: random inputs, symbolic axes as asked for."""
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "tokens"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "seq"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "seq", 4])],
        [numpy_helper.from_array(np.eye(2, 4, dtype=np.float32), "table")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "stranger.onnx"
    )
    quick = ["--threads", "1", "--rounds", "2", "--seconds", "0.02", "--dim", "seq=16"]
    done = _do(target_box / "mtl-edge", "bench", tmp_path / "stranger.onnx", *quick)
    assert done.returncode == 0, done.stderr
    assert "stranger" in done.stdout


def test_a_target_box_says_what_training_needs(target_box: Path, tmp_path: Path) -> None:
    """One line with the exact pip command, exit code 2."""
    done = _do(target_box / "mtl-edge", "run", "mnist-pairs", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip().endswith("pip install 'mtl-edge[train]'")
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
