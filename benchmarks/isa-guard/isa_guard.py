"""Does the prediction of int8 without VNNI hold, and what does the remedy cost? ONNX Runtime on an emulated CPU judges.

Usage: python benchmarks/isa-guard/isa_guard.py MODEL.onnx SPLITS [MODEL.onnx SPLITS …]     (writes isa-guard.json)

Each MODEL is an fp32 model that mtl-edge made, SPLITS the folder that holds its ``calib`` and ``test``. Needs an x86
processor with VNNI, and qemu-x86_64 (Debian's package qemu-user).
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mtl_edge.artifact import Manifest
from mtl_edge.bench.machine import this_machine
from mtl_edge.data.splits import Samples, load_samples
from mtl_edge.quantize.emulate import Emulator
from mtl_edge.quantize.file import quantize_file
from mtl_edge.quantize.noise import output_noise
from mtl_edge.runtime import Session, evaluate, manifest_of, open_session

SAMPLES = 500
ROUNDS, RUNS = 30, 50
PROCESSOR = "Haswell"
SCRIPT = """
import sys, numpy, onnxruntime
model, feeds, answers = sys.argv[1:]
session = onnxruntime.InferenceSession(model)
found = session.run(None, dict(numpy.load(feeds)))
numpy.savez(answers, **{item.name: value for item, value in zip(session.get_outputs(), found)})
"""


class Emulated:
    """ONNX Runtime in a process of its own on an emulated processor, as a session."""

    def __init__(self, model: Path) -> None:
        self._model = model
        self._outputs = open_session(model).get_outputs()

    def get_outputs(self) -> Sequence[Any]:
        """The outputs, each with its ``name``."""
        return list(self._outputs)

    def run(self, names: Sequence[str] | None, feeds: Mapping[str, np.ndarray], /) -> Sequence[np.ndarray]:
        """Compute them."""
        with tempfile.TemporaryDirectory() as folder:
            inputs, answers = Path(folder) / "in.npz", Path(folder) / "out.npz"
            np.savez(inputs, **feeds)  # type: ignore[arg-type]
            command = ["qemu-x86_64", "-cpu", PROCESSOR, sys.executable, "-c", SCRIPT]
            subprocess.run([*command, self._model, inputs, answers], check=True, stderr=subprocess.DEVNULL)
            with np.load(answers) as found:
                return [found[name] for name in names or [item.name for item in self._outputs]]


def judge(manifest: Manifest, test: Samples, fp32: Path, int8: Path, avx2: Path) -> list[dict[str, Any]]:
    """Metrics and noise of each form of the model, wherever it runs."""
    source = manifest.inputs[0]
    batch = {source.name: source.preprocessing.apply(test[source.name][:250])}
    reference = open_session(fp32)
    emulator = Emulator(int8.read_bytes())
    forms: list[tuple[str, str, Session]] = [
        ("fp32", "here", reference),
        ("int8", "here", open_session(int8)),
        ("int8", "predicted", emulator),
        ("int8", PROCESSOR, Emulated(int8)),
        ("int8 for x86-avx2", "here", open_session(avx2)),
        ("int8 for x86-avx2", PROCESSOR, Emulated(avx2)),
    ]
    names = [item.name for item in reference.get_outputs()]
    answers: dict[tuple[str, str], Sequence[np.ndarray]] = {}
    rows: list[dict[str, Any]] = []
    for form, place, session in forms:
        answers[form, place] = session.run(names, batch)
        noise = {} if form == "fp32" else output_noise(reference, session, batch)
        metrics = evaluate(session, manifest.tasks, source, test.arrays)
        rows.append({"form": form, "on": place, "noise_db": noise, "metrics": metrics})
        shown = ", ".join(f"{task} {next(iter(found.values())):.4f}" for task, found in metrics.items())
        print(f"  {form:<18}{place:<10}{shown}  {', '.join(f'{level:.1f} dB' for level in noise.values())}", flush=True)
    for row in rows:
        rival = {"predicted": ("int8", PROCESSOR), PROCESSOR: (row["form"], "here")}.get(row["on"])
        if rival is not None:
            pairs = zip(answers[row["form"], row["on"]], answers[rival], strict=True)
            row["same_bits_as"] = {" on ".join(rival): all(bool((mine == theirs).all()) for mine, theirs in pairs)}
    rows[2]["layers"] = msgspec.to_builtins(emulator.risks)
    return rows


def latency_ratio(int8: Path, avx2: Path, batch: Mapping[str, np.ndarray]) -> float:
    """Time of the narrowed form over that of the other, one thread, median of ratios of neighbouring turns."""
    sessions = [open_session(path, threads=1) for path in (int8, avx2)]
    ratios = []
    for _ in range(ROUNDS):
        times = []
        for session in sessions:
            started = time.perf_counter()
            for _ in range(RUNS):
                session.run(None, batch)
            times.append(time.perf_counter() - started)
        ratios.append(times[1] / times[0])
    return statistics.median(ratios)


def measure(model: Path, splits: Path, folder: Path) -> dict[str, Any]:
    """Quantize a model both ways, and compare."""
    manifest = manifest_of(model, open_session(model))
    if manifest is None:
        raise SystemExit(f"{model}: must be a model that mtl-edge made")
    test = load_samples(splits / "test").take(np.arange(SAMPLES))
    int8, avx2 = folder / "int8.onnx", folder / "avx2.onnx"
    # All that can be in int8: here a measured placement would keep some in float.
    quantize_file(model, splits / "calib", int8, target="x86-vnni", placement="all")
    narrowed = quantize_file(model, splits / "calib", avx2, target="x86-avx2", placement="all").narrowed
    name = f"{manifest.name} {manifest.variant}"
    print(name)
    source = manifest.inputs[0]
    one = {source.name: source.preprocessing.apply(test[source.name][:1])}
    return {
        "model": name,
        "results": judge(manifest, test, model, int8, avx2),
        "narrowed": msgspec.to_builtins(narrowed),
        "avx2_over_int8": {
            "file_bytes": avx2.stat().st_size / int8.stat().st_size,
            "latency_here": latency_ratio(int8, avx2, one),
        },
    }


def main() -> None:
    """Measure all models that are named."""
    arguments = [Path(item) for item in sys.argv[1:]]
    if not arguments or len(arguments) % 2:
        raise SystemExit(__doc__)
    found = []
    for model, splits in zip(arguments[::2], arguments[1::2], strict=True):
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(model, splits, Path(folder)))
    result = {"samples": SAMPLES, "machine": msgspec.to_builtins(this_machine()), "models": found}
    Path(__file__).with_name("isa-guard.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
