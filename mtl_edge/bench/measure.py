"""What a measuring process does with the models that it loaded."""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from mtl_edge.bench.arrivals import serve
from mtl_edge.bench.energy import joules_between, read_energy
from mtl_edge.bench.inputs import describe, random_inputs
from mtl_edge.bench.loop import bind, do_nothing, sample, warm_up
from mtl_edge.bench.resident import (
    Resident,
    forget_peak,
    peak_bytes,
    proportional_bytes,
    resident,
    resident_bytes,
    trim,
)
from mtl_edge.errors import BenchError, last_words
from mtl_edge.session import open_session

_WARM_RUNS = 10
_CALL_SHARE = 1 / 20
_CALL_RUNS = 100


@dataclass(frozen=True)
class _Loaded:
    """One model, ready to run on inputs that stay where they are."""

    path: Path
    session: onnxruntime.InferenceSession
    arrays: dict[str, np.ndarray]
    run: Callable[[], object]


@dataclass(frozen=True)
class _Stages:
    """What was resident before the models were loaded and when they were."""

    before: Resident
    loaded: Resident
    load_peak: int


class Subject:
    """The models of one process; several are run one after the other, as one."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._dims: dict[str, int] = request["dims"]
        self._arena: bool = request.get("arena", True)
        paths = [Path(path) for path in request["paths"]]
        self._folders = list(dict.fromkeys(path.parent for path in paths))
        self._runtime_rss = peak_bytes()
        before = _quiet_resident(self._folders) if request.get("memory") else None
        started = time.perf_counter()
        sessions = [open_session(path, request["threads"], arena=self._arena) for path in paths]
        self._load_ms = 1e3 * (time.perf_counter() - started)
        self._stages: _Stages | None = None
        if before is not None:
            load_peak = peak_bytes()
            trim()
            self._stages = _Stages(before, resident(self._folders), load_peak)
        self._models = [_ready(path, session, request) for path, session in zip(paths, sessions, strict=True)]
        self._call: Callable[[], object] | None = None

    def answer(self, request: Mapping[str, Any]) -> object:
        """Do what a request asks for."""
        match request["do"]:
            case "describe":
                return self._describe()
            case "cold-start":
                return self._cold_start()
            case "memory":
                return self._memory()
            case "round":
                return self._round(request["seconds"], request["least"], request["keep"])
            case "serve":
                return serve(self._run(), request["rate"], request["seconds"], request["least"], request["give_up_ms"])
            case "evaluate":
                return self._evaluate(Path(request["data"]))
            case unknown:
                raise BenchError(f"worker: no such request {unknown!r}")

    def _describe(self) -> dict[str, object]:
        import msgspec

        from mtl_edge.runtime import manifest_of

        manifests = [manifest_of(model.path, model.session) for model in self._models]
        axes = {size for model in self._models for item in model.session.get_inputs() for size in item.shape}
        return {
            "inputs": "; ".join(dict.fromkeys(describe(model.arrays) for model in self._models)),
            "manifests": msgspec.to_builtins(manifests),
            "unused_dims": [name for name in self._dims if name not in axes],
        }

    def _cold_start(self) -> dict[str, float]:
        started = time.perf_counter()
        self._try()
        first_run_ms = 1e3 * (time.perf_counter() - started)
        for _ in range(_WARM_RUNS):
            self._try()
        return {
            "load_ms": self._load_ms,
            "first_run_ms": first_run_ms,
            "runtime_rss_bytes": self._runtime_rss,
            "peak_rss_bytes": peak_bytes(),
        }

    def _memory(self) -> dict[str, object] | None:
        """Where memory goes; None where the system does not tell.

        Pages of the runtime's own files that only the model made resident count as the runtime's.
        """
        stages = self._stages
        if stages is None:
            return None
        forget_peak()
        for _ in range(1 + _WARM_RUNS):
            self._try()
        run_peak = peak_bytes()
        after = resident(self._folders)
        return {
            "arena": self._arena,
            "runtime_bytes": stages.before.own + after.files,
            "weights_bytes": stages.loaded.own - stages.before.own,
            "run_bytes": after.own - stages.loaded.own,
            "load_peak_bytes": stages.load_peak,
            "run_peak_bytes": run_peak,
            "pss_bytes": proportional_bytes(),
        }

    def _round(self, seconds: float, least: int, keep: int | None) -> dict[str, object]:
        """Latencies in ms, after a warm-up, and what they are to be seen beside."""
        run = self._run()
        self._try()
        self._call = self._call or do_nothing()
        gc.disable()
        try:
            call = sample(self._call, seconds * _CALL_SHARE, _CALL_RUNS)
            warm_up_runs = warm_up(run, seconds)
            before = read_energy()
            samples = sample(run, seconds, least)
            energy_j = joules_between(before, read_energy())
        finally:
            gc.enable()
        step = max(len(samples) // keep, 1) if keep else 1
        return {
            "samples_ms": samples[::step],
            "runs": len(samples),
            "call_ms": float(np.median(call)),
            "warm_up_runs": warm_up_runs,
            "energy_j": energy_j,
            "resident_bytes": resident_bytes(),
        }

    def _evaluate(self, data: Path) -> dict[str, dict[str, float]] | None:
        from mtl_edge.data.splits import load_samples
        from mtl_edge.runtime import evaluate, manifest_of

        arrays = load_samples(data).arrays
        metrics: dict[str, dict[str, float]] = {}
        for model in self._models:
            manifest = manifest_of(model.path, model.session)
            if manifest is None:
                return None
            metrics |= evaluate(model.session, manifest.tasks, manifest.inputs, arrays)
        return metrics

    def _run(self) -> Callable[[], object]:
        """One run of all models, with as little as possible around it."""
        runs = [model.run for model in self._models]
        if len(runs) == 1:
            return runs[0]

        def run_all() -> None:
            for run in runs:
                run()

        return run_all

    def _try(self) -> None:
        for model in self._models:
            try:
                model.run()
            except Exception as error:  # the runtime's own exception types are not public
                raise BenchError(
                    f"{model.path}: cannot run on {describe(model.arrays)}: {last_words(error)}"
                ) from error


def _ready(path: Path, session: onnxruntime.InferenceSession, request: Mapping[str, Any]) -> _Loaded:
    arrays = random_inputs(session.get_inputs(), batch=request["batch"], dims=request["dims"], place=str(path))
    return _Loaded(path, session, arrays, bind(session, arrays))


def _quiet_resident(folders: list[Path]) -> Resident | None:
    """What is resident before a model is loaded; None where the system does not tell."""
    np.random.default_rng(0).standard_normal(1)  # numpy imports this late, and it is not the model's
    trim()
    try:
        forget_peak()
        return resident(folders)
    except OSError:
        return None
