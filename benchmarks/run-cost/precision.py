"""How fast a training step is in float32 and bfloat16, with images in NCHW and in channels-last memory.

Usage: python benchmarks/run-cost/precision.py [ROUNDS]     (writes precision.json beside this file)
"""

import itertools
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch

from mtl_edge.artifact import ModelInput
from mtl_edge.bench.machine import this_machine
from mtl_edge.nets.build import build_net
from mtl_edge.preprocessing import Pixels
from mtl_edge.recipe import load_recipe
from mtl_edge.tasks import TargetStatistics
from mtl_edge.zoo import find_recipe

BATCH = 128
STEPS_PER_ROUND = 5
IMAGE = (1, 36, 36)


def make_step(bf16: bool, layout: torch.memory_format) -> Callable[[], None]:
    """A whole training step of the reference network on random images."""
    recipe = load_recipe(find_recipe("mnist-pairs"))
    torch.manual_seed(0)
    pixels = Pixels(raw_dtype="uint8", scale=1 / 255, mean=(0.0,), std=(1.0,))
    source = ModelInput(name="image", dtype="float32", shape=("batch", *IMAGE), preprocessing=pixels)
    net = build_net(recipe.net, recipe.tasks, source, {task.name: TargetStatistics() for task in recipe.tasks})
    net.to(memory_format=layout)  # type: ignore[call-overload]
    images = torch.randn(BATCH, *IMAGE).contiguous(memory_format=layout)
    labels = {task.name: torch.randint(0, 10, (BATCH,)) for task in recipe.tasks}
    optimizer = torch.optim.AdamW(net.parameters())

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            outputs = net(images)
        losses = [
            task.losses(outputs[task.name].float(), labels[task.name], TargetStatistics()).mean()
            for task in recipe.tasks
        ]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def main() -> None:
    """Measure the four in random order, round after round; print medians."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    forms = {
        f"{'bf16' if bf16 else 'fp32'} {name}": make_step(bf16, layout)
        for bf16, (name, layout) in itertools.product(
            (False, True), (("NCHW", torch.contiguous_format), ("channels-last", torch.channels_last))
        )
    }
    samples: dict[str, list[float]] = {name: [] for name in forms}
    for step in forms.values():
        step()
    for _ in range(rounds):
        for name in random.sample(list(forms), len(forms)):
            started = time.perf_counter()
            for _ in range(STEPS_PER_ROUND):
                forms[name]()
            samples[name].append(BATCH * STEPS_PER_ROUND / (time.perf_counter() - started))
    base = samples["fp32 NCHW"]
    for name, values in samples.items():
        ratio = statistics.median(value / other for value, other in zip(values, base, strict=True))
        print(f"{name:<20}{statistics.median(values):>8.0f} samples/s{ratio:>7.2f}x")
    result = {"batch": BATCH, "machine": msgspec.to_builtins(this_machine()), "samples_per_second": samples}
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
