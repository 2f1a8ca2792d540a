"""The child process that loads one model, or several, and measures them, on the word of its parent.

Each line of standard input is a JSON request, each line of standard output its JSON answer; the process ends when its
input does, so it never outlives its parent. A crash of the runtime stays in here.
"""

import gc
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import psutil

from mtl_edge.bench.inputs import describe, random_inputs
from mtl_edge.data.splits import load_samples
from mtl_edge.errors import BenchError, MtlEdgeError
from mtl_edge.runtime import evaluate, manifest_of, open_session

_WARM_RUNS = 10


@dataclass(frozen=True)
class _Loaded:
    """One model, ready to run on inputs that stay where they are."""

    path: Path
    session: onnxruntime.InferenceSession
    arrays: Mapping[str, np.ndarray]
    binding: onnxruntime.IOBinding


class Worker:
    """The models of one process; several are run one after the other, as one."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._dims: dict[str, int] = request["dims"]
        self._runtime_rss = _peak_rss()
        paths = [Path(path) for path in request["paths"]]
        started = time.perf_counter()
        sessions = [open_session(path, request["threads"]) for path in paths]
        self._load_ms = _since(started)
        self._models = [
            _bound(path, session, request["batch"], self._dims) for path, session in zip(paths, sessions, strict=True)
        ]

    def answer(self, request: Mapping[str, Any]) -> object:
        """Do what a request asks for."""
        match request["do"]:
            case "describe":
                return self._describe()
            case "cold-start":
                return self._cold_start()
            case "round":
                return self._round(request["seconds"])
            case "evaluate":
                return self._evaluate(Path(request["data"]))
            case unknown:
                raise BenchError(f"worker: no such request {unknown!r}")

    def _describe(self) -> dict[str, object]:
        manifests = [manifest_of(model.path, model.session) for model in self._models]
        axes = {size for model in self._models for item in model.session.get_inputs() for size in item.shape}
        return {
            "inputs": "; ".join(dict.fromkeys(describe(model.arrays) for model in self._models)),
            "manifests": msgspec.to_builtins(manifests),
            "unused_dims": [name for name in self._dims if name not in axes],
        }

    def _cold_start(self) -> dict[str, float]:
        started = time.perf_counter()
        self._run()
        first_run_ms = _since(started)
        for _ in range(_WARM_RUNS):
            self._run()
        return {
            "load_ms": self._load_ms,
            "first_run_ms": first_run_ms,
            "runtime_rss_bytes": self._runtime_rss,
            "peak_rss_bytes": _peak_rss(),
        }

    def _round(self, seconds: float) -> list[float]:
        """Latencies in ms for at least this long, after a warm-up of a tenth of it."""
        gc.disable()
        try:
            self._sample(seconds / 10)
            return self._sample(seconds)
        finally:
            gc.enable()

    def _sample(self, seconds: float) -> list[float]:
        samples: list[float] = []
        end = time.perf_counter() + seconds
        while not samples or time.perf_counter() < end:
            started = time.perf_counter()
            for model in self._models:
                model.session.run_with_iobinding(model.binding)
            samples.append(_since(started))
        return samples

    def _evaluate(self, data: Path) -> dict[str, dict[str, float]] | None:
        arrays = load_samples(data).arrays
        metrics: dict[str, dict[str, float]] = {}
        for model in self._models:
            manifest = manifest_of(model.path, model.session)
            if manifest is None:
                return None
            metrics |= evaluate(model.session, manifest.tasks, manifest.inputs, arrays)
        return metrics

    def _run(self) -> None:
        for model in self._models:
            try:
                model.session.run_with_iobinding(model.binding)
            except Exception as error:  # the runtime's own exception types are not public
                reason = " ".join(str(error).split())[:200]
                raise BenchError(f"{model.path}: cannot run on {describe(model.arrays)}: {reason}") from error


def _bound(path: Path, session: onnxruntime.InferenceSession, batch: int, dims: Mapping[str, int]) -> _Loaded:
    arrays = random_inputs(session.get_inputs(), batch=batch, dims=dims, place=str(path))
    binding = session.io_binding()
    for name, array in arrays.items():
        binding.bind_cpu_input(name, array)
    for output in session.get_outputs():
        binding.bind_output(output.name)
    return _Loaded(path, session, arrays, binding)


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1e3, 5)  # the clock's steps are about 20 ns


def _peak_rss() -> int:
    """Peak resident memory of this process in bytes.

    Linux: VmHWM, because ``ru_maxrss`` starts at the peak of the parent. Windows has a counter of its own; elsewhere
    the present size has to do.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024
    except (OSError, StopIteration):
        memory = psutil.Process().memory_info()
        return int(getattr(memory, "peak_wset", memory.rss))


def main() -> None:
    """Serve requests until the input ends; the first one says which model to load."""
    worker: Worker | None = None
    for line in sys.stdin:
        request = json.loads(line)
        reply: dict[str, object]
        try:
            if worker is None:
                worker = Worker(request)
            reply = {"value": worker.answer(request) if "do" in request else None}
        except MtlEdgeError as error:
            reply = {"error": str(error)}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    onnxruntime.set_default_logger_severity(4)
    main()
