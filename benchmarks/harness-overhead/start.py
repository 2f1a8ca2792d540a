"""How long until the first measured run, beside a bare import of the runtime.

Usage: python benchmarks/harness-overhead/start.py [ROUNDS]     (writes start.json beside this file)
"""

import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from mtl_edge.bench.contender import contenders
from mtl_edge.bench.latency import Ratio
from mtl_edge.bench.machine import this_machine
from mtl_edge.bench.process import Process

MODEL = Path(__file__).parents[2] / "models" / "hello-mlp" / "model.onnx"

_COMMAND = """
import sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "mtl_edge.bench.ahead":
            sys.meta_path.remove(self)
            import os, time
            from mtl_edge.bench.process import Process
            ask = Process.ask
            def until_the_first_run(process, what, **details):
                answer = ask(process, what, **details)
                print(1e3 * time.perf_counter(), answer["load_ms"], flush=True)
                os._exit(0)
            Process.ask = until_the_first_run

sys.meta_path.insert(0, Watch())  # so that nothing is imported earlier than the command itself does
sys.argv = ["mtl-edge", "bench", {model!r}]
from mtl_edge.__main__ import main
main()
"""


def runtime() -> float:
    """Milliseconds of a process that imports the runtime and ends."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import onnxruntime"], check=True)
    return 1e3 * (time.perf_counter() - started)


def process() -> float:
    """Milliseconds until a measuring process has measured its first run, less the time that the model took to load."""
    started = time.perf_counter()
    (model,) = contenders([MODEL])
    with Process(model, timeout_s=60, threads=1, batch=1, dims={}) as worker:
        found = worker.ask("cold-start")
        return 1e3 * (time.perf_counter() - started) - float(found["load_ms"])


def command() -> float:
    """The same of the whole command, from its start to its first measured run."""
    started = 1e3 * time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND.format(model=str(MODEL))], capture_output=True, text=True, check=True
    )
    at, load_ms = map(float, done.stdout.split())
    return at - started - load_ms


def main() -> None:
    """Measure the three in random order, round after round; print medians and ratios of the same round."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    kinds: dict[str, Callable[[], float]] = {
        "import onnxruntime": runtime,
        "measuring process": process,
        "whole command": command,
    }
    for measure in kinds.values():
        measure()  # files are in memory from here on
    samples: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name in random.sample(list(kinds), len(kinds)):
            samples[name].append(kinds[name]())
    base = samples["import onnxruntime"]
    for name, values in samples.items():
        ratio = Ratio.of([value / other for value, other in zip(values, base, strict=True)])
        print(
            f"{name:<20}{statistics.median(values):>8.0f} ms, least {min(values):.0f} ms"
            f"{ratio.median:>7.2f}x ({ratio.low:.2f}-{ratio.high:.2f})"
        )
    result = {"model": MODEL.parent.name, "machine": msgspec.to_builtins(this_machine()), "ms": samples}
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
