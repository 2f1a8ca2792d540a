"""What data parallel training sends in a step, and how fast one and two processes are.

Usage: python benchmarks/scaling/scaling.py [ROUNDS] [SAMPLES]     (writes scaling.json beside this file)

Each process has one thread, and the batch of the recipe is shared among them. Rounds are interleaved.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import torch
import torch.distributed as dist
from torch import Tensor

from mtl_edge.artifact import ModelInput
from mtl_edge.bench.machine import this_machine
from mtl_edge.data.source import prepare
from mtl_edge.data.splits import load_splits_from
from mtl_edge.nets.build import build_net
from mtl_edge.recipe import load_recipe
from mtl_edge.train.distributed import joined
from mtl_edge.train.learner import Learner
from mtl_edge.train.loop import fit
from mtl_edge.train.training import FitOptions
from mtl_edge.zoo import find_recipe

BATCH = 128
METHODS = ("equal", "pcgrad")
PROCESSES = (1, 2)


class Meter:
    """Counts what goes through ``all_reduce``, and how long it takes."""

    def __init__(self) -> None:
        self.messages, self.bytes, self.seconds = 0, 0, 0.0
        self._honest = dist.all_reduce
        dist.all_reduce = self  # type: ignore[assignment]

    def __call__(self, values: Tensor) -> None:
        """Stand in for it."""
        started = time.perf_counter()
        self._honest(values)
        self.seconds += time.perf_counter() - started
        self.messages += 1
        self.bytes += values.numel() * values.element_size()


def worker(method: str, count: int, folder: Path) -> None:
    """Train for one epoch as one of the processes; the first one prints what it found."""
    torch.set_num_threads(1)
    recipe = load_recipe(find_recipe("mnist-pairs"))
    recipe = msgspec.structs.replace(
        recipe, data=msgspec.structs.replace(recipe.data, samples=(count, 32, 32), calibration=32)
    )
    preprocessing, splits = prepare(recipe, folder), load_splits_from(folder)
    statistics_ = {task.name: task.fit(splits.train[task.target]) for task in recipe.tasks}
    learner = Learner(recipe.tasks, statistics_, preprocessing, recipe.data.input)
    shape = ("batch", *splits.train[learner.input].shape[1:])
    source = ModelInput(name=learner.input, dtype=preprocessing.dtype, shape=shape, preprocessing=preprocessing)
    torch.manual_seed(0)
    net = build_net(recipe.net, recipe.tasks, source, learner.statistics)
    spec = msgspec.structs.replace(recipe.train, epochs=1, batch_size=BATCH, device="cpu", balance=method)
    options = FitOptions(**msgspec.structs.asdict(spec), bf16=False, seed=0)
    meter = Meter()
    with joined(torch.device("cpu")) as ranks:
        started = time.perf_counter()
        fit(net, learner, splits, options, title="scaling", ranks=ranks)
        seconds = time.perf_counter() - started
        if ranks.leads:
            steps = count // BATCH
            print(
                json.dumps(
                    {
                        "parameters": net.parameter_count,
                        "samples_per_second": count / seconds,
                        "messages_per_step": meter.messages / steps,
                        "bytes_per_step": meter.bytes / steps,
                        "all_reduce_share": meter.seconds / seconds,
                    }
                )
            )


def measure(processes: int, method: str, count: int) -> dict[str, float]:
    """One training in processes of its own."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    with tempfile.TemporaryFile("w+") as out:
        subprocess.run(
            [*command, __file__, "--worker", method, str(count)],
            check=True,
            stdout=out,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        out.seek(0)
        found: dict[str, float] = json.loads(out.read().strip().splitlines()[-1])
        return found


def main() -> None:
    """Measure one and two processes in turn; print medians."""
    if "--worker" in sys.argv:
        with tempfile.TemporaryDirectory(prefix="scaling-") as folder:
            worker(sys.argv[2], int(sys.argv[3]), Path(folder))
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    count = (int(sys.argv[2]) if len(sys.argv) > 2 else 3840) // BATCH * BATCH
    found: dict[str, list[dict[str, float]]] = {f"{m} {n}": [] for m in METHODS for n in PROCESSES}
    for _ in range(rounds):
        for method in METHODS:
            for processes in PROCESSES:
                found[f"{method} {processes}"].append(measure(processes, method, count))
    for name, runs in found.items():
        alone = found[f"{name.split()[0]} 1"]
        ratio = statistics.median(
            run["samples_per_second"] / other["samples_per_second"] for run, other in zip(runs, alone, strict=True)
        )
        speed = statistics.median(run["samples_per_second"] for run in runs)
        share = statistics.median(run["all_reduce_share"] for run in runs)
        print(
            f"{name:<10}{speed:>7.0f} samples/s{ratio:>6.2f}x  {runs[0]['messages_per_step']:>4.0f} messages and "
            f"{runs[0]['bytes_per_step'] / 2**20:>5.2f} MiB a step, {100 * share:.0f} % of the time in them"
        )
    result = {"batch": BATCH, "machine": msgspec.to_builtins(this_machine()), "runs": found}
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
