"""How fast the training loop is, beside a plain loop that does nothing but train, in several forms.

Usage: python benchmarks/training-speed/speed.py [ROUNDS] [SAMPLES]     (writes speed.json beside this file)

Each form trains the reference network for one epoch, in a random order within each round. The plain loop has all
samples preprocessed in memory; ours does all that it does in a run: batches from raw samples, per-task bookkeeping,
progress, checkpoints every minute.
"""

import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch

from mtl_edge.artifact import ModelInput
from mtl_edge.bench.machine import this_machine
from mtl_edge.data.source import load_splits
from mtl_edge.data.splits import Splits
from mtl_edge.nets.build import build_net
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.preprocessing import fit_pixels
from mtl_edge.recipe import Recipe, load_recipe
from mtl_edge.train.learner import Learner
from mtl_edge.train.loop import fit
from mtl_edge.train.training import FitOptions
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
    """The reference recipe with as many samples as a round takes."""

    def __init__(self, count: int) -> None:
        recipe = load_recipe(find_recipe("mnist-pairs"))
        data = msgspec.structs.replace(recipe.data, samples=(count, 32, 32), calibration=32)
        self.recipe: Recipe = msgspec.structs.replace(recipe, data=data)
        self.splits: Splits = load_splits(self.recipe)
        train = self.splits.train
        statistics_ = {task.name: task.fit(train[task.target]) for task in recipe.tasks}
        self.learner = Learner(recipe.tasks, statistics_, fit_pixels(train["image"]), "image")

    def net(self) -> MultiTaskNet:
        """The reference network with fresh weights."""
        torch.manual_seed(0)
        shape = ("batch", *self.splits.train["image"].shape[1:])
        source = ModelInput(name="image", dtype="float32", shape=shape, preprocessing=self.learner.preprocessing)
        return build_net(self.recipe.net, self.recipe.tasks, source, self.learner.statistics)


def plain(problem: Problem, bf16: bool, layout: torch.memory_format) -> float:
    """Seconds of one epoch of a loop as one would write it by hand."""
    net = problem.net().to(memory_format=layout).train()
    images = problem.learner.inputs(problem.splits.train).contiguous(memory_format=layout)
    labels = problem.learner.labels(problem.splits.train)
    steps = len(images) // BATCH
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    started = time.perf_counter()
    for indices in torch.randperm(len(images)).split(BATCH):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            outputs = net(images[indices])
        loss = sum(
            task.losses(
                outputs[task.name].float(), labels[task.name][indices], problem.learner.statistics[task.name]
            ).mean()
            for task in problem.recipe.tasks
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return time.perf_counter() - started


def ours(problem: Problem, bf16: bool) -> float:
    """Seconds of one epoch of the loop that runs use, with the evaluation of 32 samples in it."""
    net = problem.net()
    spec = msgspec.structs.replace(problem.recipe.train, epochs=1, batch_size=BATCH, device="cpu")
    options = FitOptions(**msgspec.structs.asdict(spec), bf16=bf16, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        fit(net, problem.learner, problem.splits, options, title="speed", checkpoint=Path(folder))
        return time.perf_counter() - started


def main() -> None:
    """Measure all forms with one thread and with as many as there are cores; print medians."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 3840
    problem = Problem(count // BATCH * BATCH)
    forms: dict[str, Callable[[], float]] = {
        name: (lambda b=bf16, m=layout: plain(problem, b, m)) if kind == "plain" else (lambda b=bf16: ours(problem, b))
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
