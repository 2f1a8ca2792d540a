"""Fixtures that several test modules share."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import settings
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.artifact import Lineage, Manifest, Measured, ModelInput, ModelOutput
from mtl_edge.preprocessing import Pixels
from mtl_edge.recipe import Recipe, load_recipe
from mtl_edge.tasks import Multiclass, Regression

if "PYTEST_XDIST_WORKER" in os.environ:  # a process for each core is enough; torch's threads would only wait for others
    os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("untimed", deadline=None, derandomize=True)  # a slow box is no failure; runs repeat
settings.load_profile("untimed")

# --- a tiny recipe and its data ------------------------------------------------------------------------------------

TINY_RECIPE = """\
seed = 3

[data]
source = "npz:tiny.npz"
split = [0.6, 0.2, 0.2]
calibration = 8

[tasks.kind]
kind = "multiclass"
target = "label"
classes = 3

[tasks.size]
kind = "regression"
target = "area"

[net]
trunk = "resnet"
width = 8
depth = [1]
head_hidden = 8
"""


@pytest.fixture
def write_recipe(tmp_path: Path) -> Callable[[str], Path]:
    """Write a recipe's text to ``tiny.toml``."""

    def write(text: str) -> Path:
        path = tmp_path / "tiny.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def tiny_recipe_text() -> str:
    """A valid recipe with a task of each kind; its data is the file ``tiny.npz`` beside it."""
    return TINY_RECIPE


@pytest.fixture
def tiny_recipe(write_recipe: Callable[[str], Path]) -> Recipe:
    """The tiny recipe, loaded from a folder of its own."""
    return load_recipe(write_recipe(TINY_RECIPE))


@pytest.fixture
def tiny_arrays() -> dict[str, np.ndarray]:
    """Forty samples for the tiny recipe; ``area`` tells each sample from every other."""
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8),
        "label": np.arange(40) % 3,
        "area": np.arange(40, dtype=np.float32),
    }


@pytest.fixture
def tiny_data(tiny_recipe: Recipe, tiny_arrays: dict[str, np.ndarray]) -> Path:
    """The tiny recipe's data file."""
    path = tiny_recipe.folder / "tiny.npz"
    np.savez(path, **tiny_arrays)
    return path


# --- a tiny model and its manifest ---------------------------------------------------------------------------------


@pytest.fixture
def tiny_model() -> bytes:
    """A graph ``image (batch, 2) -> kind (batch, 3), size (batch, 1)``, both linear."""
    weights = {
        "to_kind": np.array([[1, 0, -1], [0, 1, -1]], np.float32),
        "to_size": np.array([[2], [3]], np.float32),
    }
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["image", f"to_{name}"], [name]) for name in ("kind", "size")],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 2])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
            for name, width in (("kind", 3), ("size", 1))
        ],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.fixture
def tiny_manifest() -> Manifest:
    """What is true of the tiny model."""
    return Manifest(
        name="tiny",
        variant="dense",
        tasks=(Multiclass(name="kind", target="label", classes=3), Regression(name="size", target="area")),
        inputs=(
            ModelInput(
                name="image",
                dtype="float32",
                shape=("batch", 2),
                preprocessing=Pixels(raw_dtype="uint8", scale=0.5, mean=(1.0, 2.0), std=(0.5, 0.25)),
                layout="NC",
            ),
        ),
        outputs=(
            ModelOutput(task="kind", name="kind", dtype="float32", shape=("batch", 3), decoding="softmax"),
            ModelOutput(task="size", name="size", dtype="float32", shape=("batch", 1), decoding="identity"),
        ),
        metrics=Measured(split="test", samples=4, values={"kind": {"accuracy": 0.75}, "size": {"mae": 0.5}}),
        lineage=Lineage(recipe_sha256="1" * 64, data_sha256="2" * 64, seed=3, steps=("train", "prune + distill")),
        parameters=9,
        opset=20,
        ir_version=9,
        versions={"numpy": "2.0.0"},
    )


# --- a small but whole run, and the processes that tests start -------------------------------------------------------

RUN_RECIPE = """
[data]
source = "mnist-pairs"
samples = [256, 64, 64]
calibration = 64

[tasks.left]
kind = "multiclass"
target = "left"
classes = 10

[tasks.right]
kind = "multiclass"
target = "right"
classes = 10

[tasks.sum]
kind = "regression"
target = "sum"

[net]
trunk = "resnet"
width = 16
depth = [1, 1]

[train]
epochs = 2

[compress]
prune = { ratio = 0.5, epochs = 1 }
quantize = { placement = "all" }     # what is measured differs from run to run

[bench]
threads = [1]
rounds = 2
round_seconds = 0.02
cold_starts = 1
memory_repeats = 1
"""


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that runs in seconds."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RUN_RECIPE)
    return path


@pytest.fixture(scope="session")
def start() -> Callable[..., "subprocess.Popen[str]"]:
    """Start ``mtl-edge`` with some arguments, as a user's shell would."""

    def start_process(arguments: Sequence[object], **options: object) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "mtl_edge", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "80"},
            **options,  # type: ignore[call-overload]
        )

    return start_process


@pytest.fixture(scope="session")
def finished_run(
    recipe_file: Path, start: Callable[..., "subprocess.Popen[str]"], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The workdir of a run that nothing interrupted; ``stdout.txt`` in it holds what the terminal showed."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    process = start(["run", recipe_file, "--workdir", workdir])
    out, err = process.communicate()
    assert process.returncode == 0, err
    (workdir / "stdout.txt").write_text(out)
    return workdir
