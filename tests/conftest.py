"""One small but whole run, and the processes that tests start."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

TINY_RECIPE = """
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

[bench]
threads = [1]
rounds = 2
round_seconds = 0.02
cold_starts = 1
"""


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that runs in seconds."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(TINY_RECIPE)
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
