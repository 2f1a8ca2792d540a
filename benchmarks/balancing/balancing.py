"""What do balancing methods give each task, and what do they cost? Against the plain sum of the losses.

Usage: python benchmarks/balancing/balancing.py [PROBLEM …] [--seeds N] [--samples N] [--epochs N] [--rounds N]
                                                [--into FILE.json]

Writes balancing.json beside this file after every measurement, and goes on from it: what was measured with the same
settings is not measured again. Linux only: memory is what /proc says.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import numpy as np
import torch

from mtl_edge.artifact import ModelInput
from mtl_edge.bench.machine import Machine, this_machine
from mtl_edge.data.source import prepare
from mtl_edge.data.splits import Splits, load_splits_from
from mtl_edge.nets.build import build_net
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.preprocessing import Preprocessing
from mtl_edge.progress import console
from mtl_edge.recipe import Recipe, load_recipe
from mtl_edge.storage import write_atomically
from mtl_edge.tasks import Task
from mtl_edge.train.device import bf16_is_fast
from mtl_edge.train.distributed import ALONE
from mtl_edge.train.learner import Learner
from mtl_edge.train.loop import fit
from mtl_edge.train.measure import measure
from mtl_edge.train.training import FitOptions, Training
from mtl_edge.zoo import find_recipe

METHODS = ("equal", "uw", "famo", "pcgrad", "upgrad")
BASE = "equal"
PREPROCESSING_FILE = "preprocessing.json"
STEPS_PER_ROUND = 30
STEPS_FOR_MEMORY = 20
MEMORY_RUNS = 3
MIB = 2**20

Found = TypeVar("Found")


class Problem(msgspec.Struct, frozen=True):
    """A reference recipe, as much of it as is trained: so many training samples and epochs, or None for all."""

    recipe: str
    samples: int | None = None
    epochs: int | None = None


PROBLEMS = (Problem("fashion-pairs", 20_000, 6), Problem("adult"))


class Job(msgspec.Struct, frozen=True):
    """What one child process does, with data that were prepared in a folder."""

    what: Literal["train", "memory", "time"]
    problem: Problem
    seed: int
    methods: tuple[str, ...]
    folder: str
    rounds: int = 1


class Run(msgspec.Struct, frozen=True):
    """One training: the test metrics of each task, by name."""

    problem: Problem
    seed: int
    method: str
    metrics: dict[str, dict[str, float]]
    seconds: float


class Cost(msgspec.Struct, frozen=True):
    """What a step costs: method -> seconds per step in each round, and MiB that training adds in each process."""

    problem: Problem
    rounds: int
    step_seconds: dict[str, list[float]]
    memory_mib: dict[str, list[float]]


class Results(msgspec.Struct):
    """All that was measured so far."""

    machine: Machine
    runs: list[Run]
    costs: list[Cost]


class Workbench:
    """A problem's data, as a child process finds them, and what trains on them."""

    def __init__(self, job: Job) -> None:
        folder = Path(job.folder)
        self.recipe = recipe_of(job.problem, job.seed)
        preprocessing = msgspec.json.decode((folder / PREPROCESSING_FILE).read_bytes(), type=Preprocessing)
        splits = load_splits_from(folder)
        train = splits.train.take(np.arange(min(job.problem.samples or len(splits.train), len(splits.train))))
        self.splits = Splits(train, splits.val, splits.calib, splits.test)
        found = {task.name: task.fit(train[task.target]) for task in self.recipe.tasks}
        self.learner = Learner(self.recipe.tasks, found, preprocessing, self.recipe.data.input)

    def net(self) -> MultiTaskNet:
        """The recipe's network with the weights that it begins with, the same for every method."""
        learner = self.learner
        torch.manual_seed(self.recipe.seed)
        source = ModelInput(
            name=learner.input,
            dtype=learner.preprocessing.dtype,
            shape=("batch", *self.splits.train[learner.input].shape[1:]),
            preprocessing=learner.preprocessing,
        )
        return build_net(self.recipe.net, self.recipe.tasks, source, learner.statistics, folder=self.recipe.folder)

    def options(self, method: str, at_least: int = 0) -> FitOptions:
        """The recipe's way to train, balanced by a method; so many epochs that there are as many steps, or more."""
        spec = self.recipe.train
        batches = max(len(self.splits.train) // spec.batch_size, 1)
        bf16 = spec.precision == "bf16" or (spec.precision == "auto" and bf16_is_fast(torch.device("cpu")))
        spec = msgspec.structs.replace(
            spec, balance=method, device="cpu", epochs=max(spec.epochs, -(-at_least // batches))
        )
        return FitOptions(**msgspec.structs.asdict(spec), bf16=bf16, seed=self.recipe.seed)


class Stepper(Training):
    """A training whose steps are taken a few at a time, and never end an epoch."""

    def __init__(self, bench: Workbench, method: str, steps: int) -> None:
        super().__init__(bench.net(), bench.learner, bench.splits, bench.options(method, steps), method, None, ALONE)
        self.net.train()

    def take(self, steps: int) -> float:
        """Seconds of each of so many steps, in the mean."""
        batches = self.sampler.epoch(0)
        batches = [batch for batch in batches if len(batch) == len(batches[0])]
        started = time.perf_counter()
        for position in range(steps):
            self._step(batches[position % len(batches)])
            self.step += 1
        return (time.perf_counter() - started) / steps


def recipe_of(problem: Problem, seed: int) -> Recipe:
    """The problem's recipe; the seed decides the split of the data, the first weights and the order of the batches."""
    recipe = load_recipe(find_recipe(problem.recipe))
    train = msgspec.structs.replace(recipe.train, epochs=problem.epochs or recipe.train.epochs)
    return msgspec.structs.replace(recipe, train=train, seed=seed)


def train(bench: Workbench, method: str) -> tuple[dict[str, dict[str, float]], float]:
    """A whole training: the metrics of the test samples, and its seconds."""
    net = bench.net()
    options = bench.options(method)
    started = time.perf_counter()
    fit(net, bench.learner, bench.splits, options, title=method)
    seconds = time.perf_counter() - started
    return measure(net, bench.learner, bench.splits.test, options.batch_size), seconds


def anonymous_mib() -> float:
    """What this process has allocated and touched."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024 / MIB


def added_memory(bench: Workbench, method: str) -> float:
    """MiB that the first steps add at their peak to a process that has data and network."""
    stepper = Stepper(bench, method, STEPS_FOR_MEMORY)
    before = peak = anonymous_mib()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.001):
            peak = max(peak, anonymous_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    stepper.take(STEPS_FOR_MEMORY)
    done.set()
    watcher.join()
    return peak - before


def step_seconds(bench: Workbench, methods: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Method -> seconds of a step in each round; within a round, the methods take turns in random order."""
    steppers = {method: Stepper(bench, method, (rounds + 1) * STEPS_PER_ROUND) for method in methods}
    for stepper in steppers.values():
        stepper.take(STEPS_PER_ROUND // 5)  # what happens only once
    found: dict[str, list[float]] = {method: [] for method in methods}
    for _ in range(rounds):
        for method in random.sample(methods, len(methods)):
            found[method].append(steppers[method].take(STEPS_PER_ROUND))
    return found


def work(job: Job) -> object:
    """What a child process was started for."""
    bench = Workbench(job)
    match job.what:
        case "train":
            return train(bench, *job.methods)
        case "memory":
            return added_memory(bench, *job.methods)
        case "time":
            return step_seconds(bench, job.methods, job.rounds)


def in_child(job: Job, kind: type[Found]) -> Found:
    """The result of a job in a process of its own, so that none inherits another's memory or chance."""
    command = [sys.executable, __file__, "--work", msgspec.json.encode(job).decode()]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=kind)


def prepared(problem: Problem, seed: int, folder: str) -> None:
    """Data for all methods, split as the seed says."""
    preprocessing = prepare(recipe_of(problem, seed), Path(folder))
    write_atomically(Path(folder) / PREPROCESSING_FILE, msgspec.json.encode(preprocessing))


def measure_all(problem: Problem, seeds: int, rounds: int, results: Results, into: Path) -> None:
    """Everything of one problem that is still missing; each finding is written down at once."""

    def keep() -> None:
        write_atomically(into, msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")

    for seed in range(seeds):
        done = {run.method for run in results.runs if (run.problem, run.seed) == (problem, seed)}
        missing = [method for method in METHODS if method not in done]
        measured = seed > 0 or any((cost.problem, cost.rounds) == (problem, rounds) for cost in results.costs)
        if not missing and measured:
            continue
        with tempfile.TemporaryDirectory(prefix="balancing-") as folder:
            prepared(problem, seed, folder)
            for method in missing:
                job = Job("train", problem, seed, (method,), folder)
                metrics, seconds = in_child(job, tuple[dict[str, dict[str, float]], float])
                results.runs.append(Run(problem, seed, method, metrics, seconds))
                keep()
                console.print(f"  {problem.recipe}, seed {seed}: {method} in {seconds:.1f} s")
            if not measured:
                results.costs.append(cost_of(problem, seed, rounds, folder))
                keep()


def cost_of(problem: Problem, seed: int, rounds: int, folder: str) -> Cost:
    """Time and memory of a step by every method."""
    steps = in_child(Job("time", problem, seed, METHODS, folder, rounds), dict[str, list[float]])
    memory: dict[str, list[float]] = {method: [] for method in METHODS}
    for _ in range(MEMORY_RUNS):
        for method in random.sample(METHODS, len(METHODS)):
            memory[method].append(in_child(Job("memory", problem, seed, (method,), folder), float))
    return Cost(problem, rounds, steps, memory)


def delta_m(run: Run, base: Run, tasks: Sequence[Task]) -> float:
    """The mean of the tasks' relative gains in their first metric; positive: better than the base."""
    firsts = {task.name: task.metrics[0] for task in tasks}
    return statistics.fmean(
        metric.gain(run.metrics[task][metric.name], base.metrics[task][metric.name]) for task, metric in firsts.items()
    )


def show(problem: Problem, seeds: int, rounds: int, results: Results) -> None:
    """The table of one problem: means over the seeds, and the extremes of Δm."""
    tasks = recipe_of(problem, 0).tasks
    runs = {(run.method, run.seed): run for run in results.runs if run.problem == problem}
    cost = next(cost for cost in results.costs if (cost.problem, cost.rounds) == (problem, rounds))
    titles = [f"{task.name} {task.metrics[0].title}" for task in tasks]
    widths = [max(len(title), 10) + 2 for title in titles]
    print(f"\n{problem.recipe}: test samples, {seeds} seeds; Δm, time and memory of a step against {BASE}")
    heads = "".join(f"{title:>{width}}" for title, width in zip(titles, widths, strict=True))
    print(f"{'method':<8}{heads}{'Δm %':>9}{'(least … most)':>18}{'time':>8}{'memory':>9}")
    for method in METHODS:
        cells = ""
        for task, width in zip(tasks, widths, strict=True):
            metric = task.metrics[0]
            value = statistics.fmean(runs[method, seed].metrics[task.name][metric.name] for seed in range(seeds))
            cells += f"{metric.format(value):>{width}}"
        gains = [100 * delta_m(runs[method, seed], runs[BASE, seed], tasks) for seed in range(seeds)]
        extremes = f"({min(gains):+.2f} … {max(gains):+.2f})"
        seconds, base = cost.step_seconds[method], cost.step_seconds[BASE]
        slower = statistics.median(mine / theirs for mine, theirs in zip(seconds, base, strict=True))
        larger = statistics.median(cost.memory_mib[method]) / statistics.median(cost.memory_mib[BASE])
        print(
            f"{method:<8}{cells}{statistics.fmean(gains):>+9.2f}{extremes:>18}{f'{slower:.2f}x':>8}{f'{larger:.2f}x':>9}"
        )
    step, memory = statistics.median(cost.step_seconds[BASE]), statistics.median(cost.memory_mib[BASE])
    print(f"a step with {BASE}: {1e3 * step:.1f} ms, {memory:.0f} MiB")


def main() -> None:
    """Measure what is asked for and still missing; print a table for each problem."""
    if sys.argv[1:2] == ["--work"]:
        console.quiet = True
        print(json.dumps(work(msgspec.json.decode(sys.argv[2], type=Job))))
        return
    known = {problem.recipe: problem for problem in PROBLEMS}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*", metavar="PROBLEM", help=f"any of {', '.join(known)}; else all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, help="training samples, in place of the problem's own number")
    parser.add_argument("--epochs", type=int, help="likewise")
    parser.add_argument("--rounds", type=int, default=7, help=f"of {STEPS_PER_ROUND} timed steps per method")
    parser.add_argument("--into", type=Path, default=Path(__file__).with_suffix(".json"))
    chosen = parser.parse_args()
    if unknown := set(chosen.problems) - set(known):
        parser.error(f"problems are {', '.join(known)}, found {', '.join(sorted(unknown))}")
    results = Results(this_machine(), [], [])
    if chosen.into.exists():
        results = msgspec.json.decode(chosen.into.read_bytes(), type=Results)
    for name in chosen.problems or known:
        problem = msgspec.structs.replace(
            known[name],
            samples=chosen.samples or known[name].samples,
            epochs=chosen.epochs or known[name].epochs,
        )
        measure_all(problem, chosen.seeds, chosen.rounds, results, chosen.into)
        show(problem, chosen.seeds, chosen.rounds, results)


if __name__ == "__main__":
    main()
