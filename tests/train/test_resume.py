"""A training that was killed goes on where it was, and ends as if nothing had happened."""

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from mtl_edge.data.splits import Splits
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.recipe import AugmentSpec
from mtl_edge.train import checkpoint
from mtl_edge.train.learner import Learner
from mtl_edge.train.loop import fit
from mtl_edge.train.training import FitOptions

MakeNet = Callable[[], MultiTaskNet]
Options = Callable[..., FitOptions]

RECIPE = """
[data]
source = "mnist-pairs"
samples = [512, 64, 64]
calibration = 16
[tasks.left]
kind = "multiclass"
target = "left"
classes = 10
[tasks.sum]
kind = "regression"
target = "sum"
[net]
trunk = "resnet"
width = 8
depth = [1]
[train]
epochs = 4
batch_size = 16
ema = 0.9
balance = "uw"
checkpoint_seconds = 0.05
augment = { shift = 2 }
"""


class _KilledError(Exception):
    """Stands for SIGKILL."""


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"ema": 0.9, "clip_norm": 1.0, "augment": AugmentSpec(shift=1, flip=True)},
        {"optimizer": "sgd", "schedule": "cosine", "patience": 3},
        *({"balance": name} for name in ("uw", "dwa", "famo", "rlw", "gradvac", "excess-mtl", "pcd", "cr-mogm")),
    ],
    ids=str,
)
def test_a_training_that_was_interrupted_ends_with_the_same_weights(
    splits: Splits,
    learner: Learner,
    make_net: MakeNet,
    options: Options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, object],
) -> None:
    """Bit by bit, wherever it stopped: in the middle of an epoch, at the end of one, and twice."""
    given = options(checkpoint_seconds=0.0, epochs=3, **changed)
    whole = make_net()
    history = fit(whole, learner, splits, given, title="test")
    write = checkpoint.write_atomically
    for steps in (5, 11, 3):
        left = iter(range(steps))

        def kill(path: Path, content: bytes, left: Iterator[int] = left) -> None:
            write(path, content)
            if next(left, None) is None:
                raise _KilledError

        monkeypatch.setattr(checkpoint, "write_atomically", kill)
        with pytest.raises(_KilledError):
            fit(make_net(), learner, splits, given, title="test", checkpoint=tmp_path)
    monkeypatch.setattr(checkpoint, "write_atomically", write)
    resumed = make_net()
    assert fit(resumed, learner, splits, given, title="test", checkpoint=tmp_path) == history
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_damaged_checkpoint_is_not_used(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options, tmp_path: Path
) -> None:
    """The training starts anew; nothing of the file is run."""
    (tmp_path / "checkpoint.pt").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    assert len(fit(make_net(), learner, splits, options(epochs=1), title="test", checkpoint=tmp_path)) == 1


def _start(recipe: Path, workdir: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "mtl_edge", "train", str(recipe), "--workdir", str(workdir), "--device", "cpu"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _weights(workdir: Path) -> str:
    (file,) = (workdir / "stages").glob("train-*/weights.safetensors")
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_killed_process_loses_a_moment_only(tmp_path: Path) -> None:
    """SIGKILL after the first checkpoint; the same command goes on from it, and tidies up."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    for workdir, killed in ((tmp_path / "killed", True), (tmp_path / "whole", False)):
        process = _start(recipe, workdir)
        if killed:
            while process.poll() is None and not list(workdir.glob("stages/.resume-train-*/checkpoint.pt")):
                time.sleep(0.001)
            process.kill()
            process.communicate()
            assert process.returncode < 0, "it had finished already"
            (file,) = workdir.glob("stages/.resume-train-*/checkpoint.pt")
            assert 0 < torch.load(file, weights_only=True)["step"] < 4 * 32
            process = _start(recipe, workdir)
        _, err = process.communicate()
        assert process.returncode == 0, err
        assert not list(workdir.glob("stages/.resume-*"))
    assert _weights(tmp_path / "killed") == _weights(tmp_path / "whole")
