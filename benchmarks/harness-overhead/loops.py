"""Do the loop of ``mtl-edge bench`` and that of the C++ client give the same latency?

Usage: python benchmarks/harness-overhead/loops.py [--rounds N] [--add] [--batch N] [--headers DIR] KIT …

KIT is a folder that ``mtl-edge export MODEL --for cpp`` wrote; its benchmark is compiled there, with g++. The runtime's
library for C is the one that MTL_EDGE_ONNXRUNTIME names, its headers are in ``--headers``. Writes loops.json.gz
beside this file; with ``--add`` the rounds join those that are there of the same models.

The Python package links the runtime into its own module, which is another build of the same kernels than the library
for C. So there are three loops: ours as it is, ours calling the library for C (through shim.cpp), and that of C++.
"""

import argparse
import ctypes
import gc
import gzip
import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from mtl_edge.bench.contender import contenders
from mtl_edge.bench.latency import Ratio
from mtl_edge.bench.loop import sample, warm_up
from mtl_edge.bench.machine import this_machine
from mtl_edge.bench.process import Process
from mtl_edge.bench.results import Benchmark

SECONDS = 0.3
"""A short turn in each process, many times: a box that is shared is slower for seconds, which then meets all alike."""
RUNS = 5
ALLOWED = 0.03
MATTERS_MS = 0.2
SHIM = Path(__file__).with_name("shim.cpp")
LOOPS = ("C++", "Python, library for C", "Python")


def build(kit: Path, headers: list[str]) -> None:
    """Compile the kit's benchmark, and its model behind C functions."""
    common = ["g++", "-std=c++17", "-O2", f"-I{kit}", *(f"-I{folder}" for folder in headers)]
    subprocess.run([*common, kit / "mtl_edge_bench.cpp", "-o", kit / "mtl_edge_bench", "-ldl"], check=True)
    subprocess.run([*common, "-fPIC", "-shared", SHIM, "-o", kit / "shim.so", "-ldl"], check=True)


def python(kit: Path, batch: int) -> dict[str, Any]:
    """A fresh measuring process: the samples of its turn, and what a call costs."""
    (contender,) = contenders([kit / "model.onnx"])
    with Process(contender, timeout_s=600, threads=1, batch=batch, dims={}) as process:
        turn = process.ask("round", seconds=SECONDS, least=RUNS, keep=None)
    return {"samples_ms": turn["samples_ms"], "call_ms": turn["call_ms"]}


def library(kit: Path, batch: int) -> dict[str, Any]:
    """A fresh process of this file, with our loop and the library for C."""
    command = [sys.executable, __file__, "--measure", str(batch), str(kit)]
    return {"samples_ms": json.loads(subprocess.run(command, check=True, capture_output=True).stdout)}


def measure_library(kit: Path, batch: int) -> list[float]:
    """What :func:`library` does in its process."""
    shim = ctypes.CDLL(str(kit / "shim.so"))
    if shim.prepare(str(kit / "model.onnx").encode(), ctypes.c_size_t(batch)):
        raise SystemExit(f"{kit}: the library for C cannot load the model")
    gc.disable()
    warm_up(shim.infer, SECONDS)
    return sample(shim.infer, SECONDS, RUNS)


def cpp(kit: Path, batch: int) -> dict[str, Any]:
    """A fresh process of the C++ client: the samples of its turn."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cpp.json"
        command = [str(kit / "mtl_edge_bench"), "--model", str(kit / "model.onnx"), "--threads", "1"]
        command += ["--batch", str(batch), "--cold-starts", "1", "--rounds", "1", "--seconds", str(SECONDS)]
        subprocess.run([*command, "--json", str(file)], check=True, stdout=subprocess.DEVNULL)
        measured = msgspec.json.decode(file.read_bytes(), type=Benchmark)
    return {"samples_ms": measured.results[0].latency(1).samples_ms}


def compare(kit: Path, *, rounds: int, batch: int, before: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """All loops in random order, round after round, each time in fresh processes; after the rounds of before."""
    kinds: dict[str, Callable[[Path, int], dict[str, Any]]] = dict(zip(LOOPS, (cpp, library, python), strict=True))
    found: dict[str, list[dict[str, Any]]] = {loop: list(before.get(loop, ())) for loop in kinds}
    for _ in range(rounds):
        for loop in random.sample(LOOPS, len(LOOPS)):
            turn = kinds[loop](kit, batch)
            turn["samples_ms"] = [round(sample, 5) for sample in turn["samples_ms"]]
            found[loop].append(turn)
    medians = {loop: [statistics.median(turn["samples_ms"]) for turn in turns] for loop, turns in found.items()}
    least = {loop: min(min(turn["samples_ms"]) for turn in turns) for loop, turns in found.items()}
    latency = statistics.median(medians["C++"])
    call = statistics.median(turn["call_ms"] for turn in found["Python"])
    print(f"{kit.name}: C++ {latency:.4f} ms, a call from Python {call:.4f} ms")
    ratios = {}
    for loop in LOOPS[1:]:
        ratio = Ratio.of([mine / other for mine, other in zip(medians[loop], medians["C++"], strict=True)])
        verdict = _verdict(ratio) if latency >= MATTERS_MS else "below 0.2 ms"
        ratios[loop] = {
            **msgspec.to_builtins(ratio),
            "of_least": least[loop] / least["C++"],
            "verdict": verdict,
        }
        print(
            f"  {loop:<22} {ratio.median:.3f}x ({ratio.low:.3f}-{ratio.high:.3f}), "
            f"fastest runs {ratios[loop]['of_least']:.3f}x: {verdict}",
            flush=True,
        )
    return {"model": kit.name, "batch": batch, "call_ms": call, "ratios": ratios, "rounds": found}


def _verdict(ratio: Ratio) -> str:
    """From where the whole interval lies."""
    if ratio.low >= 1 - ALLOWED and ratio.high <= 1 + ALLOWED:
        return "agree"
    return "DIFFER" if ratio.high < 1 - ALLOWED or ratio.low > 1 + ALLOWED else "too noisy to tell"


def main() -> None:
    """Compare the loops on each model; keep every sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--add", action="store_true")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--headers", action="append", default=[], metavar="DIR")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    parser.add_argument("kits", nargs="+", type=Path, metavar="KIT")
    given = parser.parse_args()
    if given.measure is not None:
        print(json.dumps(measure_library(given.kits[0], given.measure)))
        return
    for kit in given.kits:
        build(kit, given.headers)
    results = Path(__file__).with_suffix(".json.gz")
    known = json.loads(gzip.decompress(results.read_bytes())) if given.add else {"models": []}
    known = {(model["model"], model["batch"]): model for model in known["models"]}
    for kit in given.kits:
        key = kit.name, given.batch
        before = known.get(key, {}).get("rounds", {})
        known[key] = compare(kit, rounds=given.rounds, batch=given.batch, before=before)
    result = {"seconds": SECONDS, "machine": msgspec.to_builtins(this_machine()), "models": list(known.values())}
    results.write_bytes(gzip.compress(json.dumps(result).encode(), mtime=0))


if __name__ == "__main__":
    main()
