"""How fast the training loop is, beside a plain loop that does nothing but train, in several forms.

Usage: python benchmarks/training-speed/speed.py [ROUNDS] [SAMPLES]     (writes speed.json beside this file)

Each form trains the reference network for the steps of one epoch, in a random order within each round. The plain loop
has all samples preprocessed in memory; ours does all that it does in a step of a run: batches from raw samples on disk,
per-task bookkeeping, progress, the question whether it is time for a checkpoint. Of both, the time is that of the steps
alone: not setting up, nor what ours does between epochs.
"""

import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from mtl_edge.artifact import ModelInput
from mtl_edge.bench.machine import this_machine
from mtl_edge.data.source import prepare
from mtl_edge.data.splits import Splits, load_splits_from
from mtl_edge.nets.build import build_net
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.progress import console, progress_bar
from mtl_edge.recipe import Recipe, load_recipe
from mtl_edge.train.checkpoint import Checkpoint
from mtl_edge.train.distributed import ALONE
from mtl_edge.train.learner import Learner
from mtl_edge.train.log import TrainingLog
from mtl_edge.train.training import FitOptions, Training
from mtl_edge.zoo import find_recipe

BATCH = 128
FORMS = {
    "plain fp32 NCHW": ("plain", False, torch.contiguous_format),
    "plain fp32 channels-last": ("plain", False, torch.channels_last),
    "plain bf16 channels-last": ("plain", True, torch.channels_last),
    "ours fp32 channels-last": ("ours", False, torch.channels_last),
    "ours bf16 channels-last": ("ours", True, torch.channels_last),
}


class Problem:
    """The reference recipe with as many samples as a round takes, prepared in a folder."""

    def __init__(self, count: int, folder: Path) -> None:
        recipe = load_recipe(find_recipe("mnist-pairs"))
        data = msgspec.structs.replace(recipe.data, samples=(count, 32, 32), calibration=32)
        self.recipe: Recipe = msgspec.structs.replace(recipe, data=data)
        self.preprocessing = prepare(self.recipe, folder)
        self.splits: Splits = load_splits_from(folder)
        statistics_ = {task.name: task.fit(self.splits.train[task.target]) for task in recipe.tasks}
        self.learner = Learner(recipe.tasks, statistics_, self.preprocessing, data.input)

    def net(self) -> MultiTaskNet:
        """The reference network with fresh weights."""
        torch.manual_seed(0)
        shape = ("batch", *self.splits.train[self.learner.input].shape[1:])
        source = ModelInput(name="image", dtype="float32", shape=shape, preprocessing=self.preprocessing)
        return build_net(self.recipe.net, self.recipe.tasks, source, self.learner.statistics)


class Stopwatch(TrainingLog):
    """A log that also knows when the last step was done."""

    stopped = 0.0

    def step(self, epoch: int, losses: Tensor) -> None:
        """One step is done."""
        super().step(epoch, losses)
        self.stopped = time.perf_counter()


def plain(problem: Problem, bf16: bool, layout: torch.memory_format) -> float:
    """Seconds of one epoch of a loop as one would write it by hand."""
    net = problem.net().train()
    net.to(memory_format=layout)  # type: ignore[call-overload]
    images = problem.learner.inputs(problem.splits.train).contiguous(memory_format=layout)
    labels = problem.learner.labels(problem.splits.train)
    steps = len(images) // BATCH
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=0.05, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    started = time.perf_counter()
    for indices in torch.randperm(len(images)).split(BATCH):  # type: ignore[no-untyped-call]
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            outputs = net(images[indices])
        losses = [
            task.losses(
                outputs[task.name].float(), labels[task.name][indices], problem.learner.statistics[task.name]
            ).mean()
            for task in problem.recipe.tasks
        ]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return time.perf_counter() - started


def ours(problem: Problem, bf16: bool) -> float:
    """Seconds of the steps of one epoch of the loop that runs use."""
    spec = msgspec.structs.replace(problem.recipe.train, epochs=1, batch_size=BATCH, device="cpu")
    options = FitOptions(**msgspec.structs.asdict(spec), bf16=bf16, seed=0)
    training = Training(problem.net(), problem.learner, problem.splits, options, "speed", None, ALONE)
    with (
        tempfile.TemporaryDirectory() as folder,
        progress_bar("speed", total=training.total) as bar,
    ):
        log = Stopwatch("speed", problem.learner.tasks, options.epochs, bar, None)
        checkpoint = Checkpoint(Path(folder), options.checkpoint_seconds)
        started = time.perf_counter()
        training.run(log, checkpoint)
        return log.stopped - started


def main() -> None:
    """Prepare the samples, then measure with one thread and with as many as there are cores."""
    console.quiet = True
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 7680
    with tempfile.TemporaryDirectory(prefix="training-speed-") as folder:
        compare(Problem(count // BATCH * BATCH, Path(folder)), rounds)


def compare(problem: Problem, rounds: int) -> None:
    """Measure all forms; print medians, keep every round."""
    forms: dict[str, Callable[[], float]] = {
        name: partial(plain, problem, bf16, layout) if kind == "plain" else partial(ours, problem, bf16)
        for name, (kind, bf16, layout) in FORMS.items()
    }
    machine = this_machine()
    speeds: dict[str, dict[str, list[float]]] = {}
    for threads in sorted({1, machine.cores}):
        torch.set_num_threads(threads)
        found: dict[str, list[float]] = {name: [] for name in forms}
        for _ in range(rounds):
            for name in random.sample(list(forms), len(forms)):
                found[name].append(len(problem.splits.train) / forms[name]())
        speeds[f"{threads} threads"] = found
        for name, values in found.items():
            base = found[name.replace("ours", "plain")]
            ratio = statistics.median(value / other for value, other in zip(values, base, strict=True))
            beside = f"{ratio:>7.2f}x of plain" if name.startswith("ours") else ""
            print(f"{threads} threads  {name:<26}{statistics.median(values):>8.0f} samples/s{beside}")
    result = {"batch": BATCH, "machine": msgspec.to_builtins(machine), "samples_per_second": speeds}
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
