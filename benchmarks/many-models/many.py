"""A thousand models in a folder, some of which crash, are cut off or want too much memory, and two kills on the way.

Usage: python benchmarks/many-models/many.py [--models N] [--workdir DIR]     (writes many.json beside this file)
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import psutil
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.bench.machine import this_machine
from mtl_edge.bench.results import Benchmark

LIMIT_GIB = 1
QUICK = ["--threads", "1", "--rounds", "2", "--seconds", "0.02", "--runs", "2", "--cold-starts", "1"]
COMMAND = [sys.executable, "-m", "mtl_edge", "bench", *QUICK, "--memory-repeats", "0", "--memory-limit", str(LIMIT_GIB)]
_float = TensorProto.FLOAT


def _save(path: Path, nodes: list[Any], weights: dict[str, np.ndarray], x: Any, outputs: list[Any]) -> None:
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, path.stem, [x], outputs, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def conv_net(path: Path, chance: random.Random) -> None:
    """Convolutions with residual additions, pooled into two heads."""
    numbers = np.random.default_rng(chance.randrange(1 << 32))
    width, depth, side = chance.choice([8, 16, 24, 32, 64]), chance.randint(1, 6), chance.choice([16, 28, 32])
    weights = {"w": _normal(numbers, width, 3, 3, 3)}
    nodes = [helper.make_node("Conv", ["image", "w"], ["c0"], pads=[1, 1, 1, 1])]
    for at in range(depth):
        weights[f"w{at}"] = _normal(numbers, width, width, 3, 3)
        nodes += [
            helper.make_node("Relu", [f"c{at}"], [f"r{at}"]),
            helper.make_node("Conv", [f"r{at}", f"w{at}"], [f"d{at}"], pads=[1, 1, 1, 1]),
            helper.make_node("Add", [f"d{at}", f"c{at}"], [f"c{at + 1}"]),
        ]
    nodes += [
        helper.make_node("GlobalAveragePool", [f"c{depth}"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
    ]
    outputs = _heads(nodes, weights, numbers, width)
    _save(path, nodes, weights, helper.make_tensor_value_info("image", _float, ["batch", 3, side, side]), outputs)


def mlp(path: Path, chance: random.Random) -> None:
    """Dense layers, up to some 30 MB of them, into two heads."""
    numbers = np.random.default_rng(chance.randrange(1 << 32))
    width, depth = chance.choice([32, 128, 512, 1024]), chance.randint(1, 6)
    weights: dict[str, np.ndarray] = {}
    nodes = []
    for at in range(depth):
        weights[f"w{at}"] = _normal(numbers, width, width)
        nodes += [
            helper.make_node("MatMul", [f"x{at}", f"w{at}"], [f"m{at}"]),
            helper.make_node("Relu", [f"m{at}"], ["features" if at == depth - 1 else f"x{at + 1}"]),
        ]
    outputs = _heads(nodes, weights, numbers, width)
    _save(path, nodes, weights, helper.make_tensor_value_info("x0", _float, ["batch", width]), outputs)


def attention(path: Path, chance: random.Random) -> None:
    """One attention over a sequence, into two heads."""
    numbers = np.random.default_rng(chance.randrange(1 << 32))
    width, length = chance.choice([32, 64, 128]), chance.choice([16, 64, 128])
    weights = {name: _normal(numbers, width, width) for name in ("q", "k", "v")}
    nodes = [helper.make_node("MatMul", ["tokens", name], [f"{name}x"]) for name in ("q", "k", "v")]
    nodes += [
        helper.make_node("Transpose", ["kx"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["qx", "kt"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["shares"], axis=-1),
        helper.make_node("MatMul", ["shares", "vx"], ["mixed"]),
        helper.make_node("ReduceMean", ["mixed"], ["features"], axes=[1], keepdims=0),
    ]
    outputs = _heads(nodes, weights, numbers, width)
    _save(path, nodes, weights, helper.make_tensor_value_info("tokens", _float, ["batch", length, width]), outputs)


def _heads(nodes: list[Any], weights: dict[str, np.ndarray], numbers: np.random.Generator, width: int) -> list[Any]:
    for task, classes in (("kind", 10), ("size", 1)):
        weights[f"{task}_w"] = _normal(numbers, width, classes)
        nodes.append(helper.make_node("MatMul", ["features", f"{task}_w"], [task]))
    return [helper.make_tensor_value_info(task, _float, ["batch", n]) for task, n in (("kind", 10), ("size", 1))]


def _normal(numbers: np.random.Generator, *shape: int) -> np.ndarray:
    scale = np.sqrt(2 / np.prod(shape[1:]) if len(shape) > 2 else 2 / shape[0])
    drawn: np.ndarray = (scale * numbers.standard_normal(shape)).astype(np.float32)
    return drawn


def crashing(path: Path, _: random.Random) -> None:
    """The least int64 over -1 stops the process on x86."""
    constants = {"zero": 0, "least": -(2**63), "one": 1}
    nodes = [
        helper.make_node("Mul", ["x", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "least"], ["above"]),
        helper.make_node("Sub", ["zeros", "one"], ["below"]),
        helper.make_node("Div", ["above", "below"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.INT64, ["n"]) for name in ("x", "y"))
    _save(path, nodes, {name: np.array([value], np.int64) for name, value in constants.items()}, x, [y])


def hungry(path: Path, chance: random.Random) -> None:
    """Makes several GiB of floats out of one."""
    size = chance.choice([1 << 29, 1 << 30])
    nodes = [helper.make_node("Expand", ["x", "size"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, _float, [n]) for name, n in (("x", 1), ("y", size)))
    _save(path, nodes, {"size": np.array([size])}, x, [y])


def cut_off(path: Path, chance: random.Random) -> None:
    """Half of a file."""
    mlp(path, chance)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def make(folder: Path, count: int) -> Counter[str]:
    """``count`` models below a folder, one of fifty of each bad kind; how many there are of each."""
    kinds: list[Callable[[Path, random.Random], None]] = [conv_net, mlp, attention]
    bad = {10: crashing, 20: hungry, 30: cut_off}
    chance, made = random.Random(0), Counter[str]()
    for number in range(count):
        kind = bad.get(number % 50) or kinds[number % 3]
        place = folder / f"{number // 100:02}" / f"{kind.__name__}-{number:04}.onnx"
        place.parent.mkdir(parents=True, exist_ok=True)
        kind(place, chance)
        made[kind.__name__] += 1
    return made


def run(folder: Path, file: Path, log: Path, stop_at: int | None) -> dict[str, Any]:
    """The command, killed once so many models are done: how long it took, and what memory it had meanwhile."""
    shelf, before = file.with_name(f"{file.name}.partial"), time.perf_counter()
    kept = {path.name: path.stat().st_mtime_ns for path in shelf.glob("*.json")}
    memory: list[tuple[int, float]] = []
    with log.open("a") as lines:
        child = subprocess.Popen([*COMMAND, str(folder), "--json", str(file)], stdout=lines, stderr=lines)
        process, done = psutil.Process(child.pid), len(kept)
        while child.poll() is None:
            try:
                memory.append((done, process.memory_info().rss / 2**20))
            except psutil.Error:
                break
            done = len(list(shelf.glob("*.json"))) or done
            if stop_at is not None and done >= stop_at:
                child.send_signal(signal.SIGKILL)
                break
            time.sleep(0.5)
        child.wait()
    now = {path.name: path.stat().st_mtime_ns for path in shelf.glob("*.json")}
    return {
        "seconds": time.perf_counter() - before,
        "status": child.returncode,
        "found_done": len(kept),
        "left_done": len(now),
        "measured_again": sum(now[name] != at for name, at in kept.items() if name in now),
        "rss_mib": memory[:: max(1, len(memory) // 50)],
        "peak_rss_mib": max(rss for _, rss in memory),
    }


def main() -> None:
    """Make the models, measure them with two kills on the way, and say what became of each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--workdir", type=Path, help="Kept; default: a temporary folder.")
    given = parser.parse_args()
    work = given.workdir or Path(tempfile.mkdtemp())
    try:
        made = make(work / "models", given.models)
        file, log = work / "all.json", work / "log.txt"
        runs = [run(work / "models", file, log, stop) for stop in (given.models // 3, 2 * given.models // 3, None)]
        found = msgspec.json.decode(file.read_bytes(), type=Benchmark)
        became = Counter(f"{result.name.split('-')[0]}: measured" for result in found.results)
        reasons = {failed.name.split("-")[0]: failed.reason.split(": ", 1)[1] for failed in found.failures}
        became.update(f"{failed.name.split('-')[0]}: failed" for failed in found.failures)
    finally:
        if given.workdir is None:
            shutil.rmtree(work)
    for part in runs:
        again = f"{part['measured_again']} measured again" if part["found_done"] else "a fresh start"
        print(
            f"{part['seconds']:.0f} s, {part['found_done']} -> {part['left_done'] or given.models} done, {again}, "
            f"the command's memory at most {part['peak_rss_mib']:.0f} MiB, exit status {part['status']}"
        )
    for kind, count in sorted(became.items()):
        print(f"{kind:<24}{count:>5} of {made[kind.split(':')[0]]}  {reasons.get(kind.split(':')[0], '')[:80]}")
    result = {
        "machine": msgspec.to_builtins(this_machine()),
        "command": COMMAND[1:],
        "made": made,
        "became": became,
        "reasons": reasons,
        "runs": runs,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
