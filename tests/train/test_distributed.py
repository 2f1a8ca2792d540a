"""Two processes that share each batch learn what one process learns from the whole of it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from mtl_edge.data.splits import SPLIT_NAMES, Samples, Splits
from mtl_edge.nets.checkpoint import read_weights
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.recipe import AugmentSpec
from mtl_edge.train.learner import Learner
from mtl_edge.train.loop import fit
from mtl_edge.train.training import FitOptions

CASES: dict[str, dict[str, object]] = {
    "equal": {"augment": AugmentSpec(shift=1)},
    "uw": {"balance": "uw", "clip_norm": 1.0, "ema": 0.9},
    "aligned-mtl": {"balance": "aligned-mtl", "keep": "best"},
    "pcgrad": {"balance": "pcgrad"},
    "modo": {"balance": "modo"},
    "sdmgrad": {"balance": "sdmgrad"},
    "famo": {"balance": "famo"},
}

WORKER = """
import sys
from pathlib import Path

import msgspec
import torch

from mtl_edge.data.splits import load_splits_from
from mtl_edge.nets.checkpoint import read_weights, save_weights
from mtl_edge.train.distributed import joined
from mtl_edge.train.loop import fit
from mtl_edge.train.training import FitOptions
sys.path.insert(0, sys.argv[2])
from conftest import grey_learner, grey_net

folder = Path(sys.argv[1])
splits = load_splits_from(folder)
with joined(torch.device("cpu")) as ranks:
    given = msgspec.json.decode((folder / "options.json").read_bytes(), type=dict[str, FitOptions])
    for name, options in given.items():
        learner = grey_learner(splits.train)
        net = grey_net(learner)
        fit(net, learner, splits, options, title=name, ranks=ranks)
        save_weights(net, folder / f"{name}-{ranks.rank}.safetensors")
"""


def _torchrun(processes: int, *arguments: object) -> str:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_processes_learn_what_one_process_learns(
    splits: Splits,
    options: Callable[..., FitOptions],
    make_problem: Callable[[Splits], tuple[MultiTaskNet, Learner]],
    tmp_path: Path,
) -> None:
    """With labels missing, batch norm, chance, and each kind of balancing; the processes agree to the last bit."""
    bright = splits.train["bright"].copy()
    bright[::3] = -1
    train = Samples({**splits.train.arrays, "bright": bright}).take(np.arange(99))
    few = Splits(train, splits.val, splits.calib, splits.test)
    for name in SPLIT_NAMES:
        getattr(few, name).save(tmp_path / name)
    given = {name: options(epochs=2, optimizer="sgd", learning_rate=0.01, **changed) for name, changed in CASES.items()}
    (tmp_path / "options.json").write_bytes(msgspec.json.encode(given))
    (tmp_path / "worker.py").write_text(WORKER)
    _torchrun(2, tmp_path / "worker.py", tmp_path, Path(__file__).parent)
    for name, chosen in given.items():
        alone, learner = make_problem(few)
        fit(alone, learner, few, chosen, title=name)
        first, second = (read_weights(tmp_path / f"{name}-{rank}.safetensors") for rank in (0, 1))
        for key, tensor in alone.state_dict().items():
            assert torch.equal(first[key], second[key]), (name, key)
            torch.testing.assert_close(first[key], tensor, rtol=1e-3, atol=1e-4, msg=f"{name}: {key}")


@pytest.mark.slow
def test_torchrun_trains_one_network_with_the_command_line(recipe_file: Path, tmp_path: Path) -> None:
    """One process writes; the table and the path are printed once."""
    out = _torchrun(2, "-m", "mtl_edge", "train", recipe_file, "--workdir", tmp_path / "out", "--device", "cpu")
    assert out.count("macro recall") == 2
    assert out.count("weights.safetensors") == 1
    assert len(list(tmp_path.glob("out/stages/train-*/weights.safetensors"))) == 1
    assert not list(tmp_path.glob("out/stages/.*"))
