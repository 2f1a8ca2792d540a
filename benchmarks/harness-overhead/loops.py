"""Do the loop of ``mtl-edge bench`` and that of the C++ client give the same latency?

Usage: python benchmarks/harness-overhead/loops.py [--rounds N] [--batch N] BINARY MODEL [BINARY MODEL …]

BINARY is the ``mtl_edge_bench`` of the C++ kit that was made of MODEL. Writes loops.json beside this file.
"""

import argparse
import json
import random
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from mtl_edge.bench.contender import contenders
from mtl_edge.bench.latency import Ratio
from mtl_edge.bench.machine import this_machine
from mtl_edge.bench.process import Process
from mtl_edge.bench.results import Benchmark

TURNS = 1
SECONDS = 0.3
"""Short ones, many times: a box that is shared is slower for seconds at a time, which then meets both alike."""
RUNS = 5
ALLOWED = 0.03
MATTERS_MS = 0.2


def ours(model: Path, batch: int) -> dict[str, list[float]]:
    """A fresh measuring process: all samples of its turns, and what a call costs."""
    (contender,) = contenders([model])
    with Process(contender, timeout_s=600, threads=1, batch=batch, dims={}) as process:
        turns: list[dict[str, Any]] = [
            process.ask("round", seconds=SECONDS, least=RUNS, keep=None) for _ in range(TURNS)
        ]
    return {
        "samples_ms": [sample for turn in turns for sample in turn["samples_ms"]],
        "call_ms": [turn["call_ms"] for turn in turns],
    }


def theirs(binary: Path, model: Path, batch: int) -> dict[str, list[float]]:
    """A fresh process of the C++ client: all samples of its turns."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cpp.json"
        command = [str(binary), "--model", str(model), "--threads", "1", "--batch", str(batch), "--cold-starts", "1"]
        command += ["--rounds", str(TURNS), "--seconds", str(SECONDS), "--json", str(file)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        measured = msgspec.json.decode(file.read_bytes(), type=Benchmark)
    return {"samples_ms": measured.results[0].latency(1).samples_ms}


def compare(binary: Path, model: Path, *, rounds: int, batch: int) -> dict[str, Any]:
    """Both in random order, round after round, each time in fresh processes."""
    found: dict[str, list[dict[str, list[float]]]] = {"python": [], "c++": []}
    for _ in range(rounds):
        for loop in random.sample(list(found), 2):
            found[loop].append(ours(model, batch) if loop == "python" else theirs(binary, model, batch))
    medians = {loop: [statistics.median(turn["samples_ms"]) for turn in turns] for loop, turns in found.items()}
    ratio = Ratio.of([mine / other for mine, other in zip(medians["python"], medians["c++"], strict=True)])
    latency = statistics.median(medians["c++"])
    least = {loop: min(min(turn["samples_ms"]) for turn in turns) for loop, turns in found.items()}
    verdict = _verdict(ratio) if latency >= MATTERS_MS else "below 0.2 ms"
    call = statistics.median(ms for turn in found["python"] for ms in turn["call_ms"])
    print(
        f"{model.parent.name}: C++ {latency:.4f} ms, Python {ratio.median:.3f}x ({ratio.low:.3f}-{ratio.high:.3f}), "
        f"least {least['python'] / least['c++']:.3f}x, a call {call:.4f} ms: {verdict}",
        flush=True,
    )
    return {
        "model": model.parent.name,
        "batch": batch,
        "ratio": msgspec.to_builtins(ratio),
        "ratio_of_least": least["python"] / least["c++"],
        "verdict": verdict,
        "rounds": found,
    }


def _verdict(ratio: Ratio) -> str:
    """From where the whole interval lies."""
    if ratio.low >= 1 - ALLOWED and ratio.high <= 1 + ALLOWED:
        return "agree"
    return "DIFFER" if ratio.high < 1 - ALLOWED or ratio.low > 1 + ALLOWED else "too noisy to tell"


def main() -> None:
    """Compare the loops on each model; keep every sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("pairs", nargs="+", type=Path, metavar="BINARY MODEL")
    given = parser.parse_args()
    if len(given.pairs) % 2:
        parser.error("a model for each binary")
    pairs = list(zip(given.pairs[::2], given.pairs[1::2], strict=True))
    models = [compare(binary, model, rounds=given.rounds, batch=given.batch) for binary, model in pairs]
    result = {
        "turns": TURNS,
        "seconds": SECONDS,
        "machine": msgspec.to_builtins(this_machine()),
        "models": models,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
