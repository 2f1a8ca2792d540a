"""Static int8 by ONNX Runtime's quantize_static and by mtl-edge: metrics, latency, file, and what the tool costs.

Usage: python benchmarks/static-int8/static_int8.py --runs DIR [NAME…]     (writes static-int8.json beside this file)

DIR is where ``benchmarks/zoo/zoo.py run --workdir DIR`` has run the reference recipes: their dense fp32 models are
quantized with their calibration samples, and measured on their test samples. Each tool runs in a process of its own.
``--calibration`` measures instead what 128 to 8,192 samples cost in time and memory.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import click
import msgspec
import numpy as np
import onnx

from mtl_edge.artifact import Manifest, seal
from mtl_edge.bench.contender import Contender
from mtl_edge.bench.machine import Machine, this_machine
from mtl_edge.bench.resident import peak_bytes
from mtl_edge.bench.settings import Settings
from mtl_edge.bench.suite import benchmark
from mtl_edge.data.splits import load_samples
from mtl_edge.runtime import manifest_of, open_session
from mtl_edge.storage import write_atomically

HERE = Path(__file__).parent
NAMES = ("fashion-pairs", "fashion-pairs-mobilenet", "adult-mmoe", "river-flow", "reviews-transformer")
SAMPLES = (128, 512, 2048, 8192)
BATCH = 32


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool and its settings."""

    name: str
    options: dict[str, str] = {}


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool took: wall and processor time of the call, and the most memory that its process ever had."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float
    error: str = ""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One int8 model beside its fp32 parent; metrics by task and name, latency ratios with one thread, by round."""

    tool: Tool
    cost: Cost
    metrics: dict[str, dict[str, float]]
    ratio: float
    file_bytes: int


class Results(msgspec.Struct, kw_only=True):
    """All that was measured; ``fp32`` are the parents' metrics."""

    machine: Machine
    fp32: dict[str, dict[str, dict[str, float]]] = {}
    rows: dict[str, list[Row]] = {}
    calibration: dict[str, dict[str, list[Cost]]] = {}


def tools() -> list[Tool]:
    """ONNX Runtime's own default, its forms and types, its methods in the best form; and ours."""
    found = [Tool(name="ort default")]
    for form in ("QDQ", "QOperator"):
        for types in ("U8S8", "S8S8", "U8U8"):
            for channel in ("per-channel", "per-tensor"):
                found.append(Tool(name="ort", options={"form": form, "types": types, "weights": channel}))
    best = {"form": "QDQ", "types": "U8S8", "weights": "per-channel"}
    found += [Tool(name="ort", options={**best, "method": method}) for method in ("Percentile", "Entropy")]
    for method in ("minmax", "moving-average", "percentile", "entropy", "mse"):
        found.append(Tool(name="mtl-edge all", options={"method": method}))
    return [
        *found,
        Tool(name="mtl-edge measured", options={"method": "minmax"}),
        Tool(name="mtl-edge default", options={"method": "mse"}),
    ]


@click.command()
@click.option("--runs", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--calibration", is_flag=True, help="Measure what calibration costs.")
@click.option(
    "--json",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=HERE / "static-int8.json",
    help="Where results are kept; one file for each machine.",
)
@click.option("--work", hidden=True)
@click.argument("names", nargs=-1)
def main(runs: Path | None, calibration: bool, file: Path, work: str | None, names: tuple[str, ...]) -> None:
    """Quantize, measure, and keep what was found after each model."""
    if work is not None:
        print(json.dumps(msgspec.to_builtins(do(json.loads(work)))))
        return
    assert runs is not None, "--runs is needed"
    results = Results(machine=this_machine())
    if file.exists():
        results = msgspec.json.decode(file.read_bytes(), type=Results)
    for name in names or (("fashion-pairs",) if calibration else NAMES):
        folder = runs / name / "0"
        data = max(folder.glob("stages/data-*"), key=lambda path: path.stat().st_mtime)
        source = folder / "artifacts" / "dense" / "model.onnx"
        if calibration:
            results.calibration[name] = calibration_costs(source, data)
        else:
            results.fp32[name], results.rows[name] = rows(source, data)
        write_atomically(file, msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def rows(source: Path, data: Path) -> tuple[dict[str, dict[str, float]], list[Row]]:
    """Every tool on one model."""
    manifest = manifest_of(source, open_session(source))
    assert manifest is not None
    with tempfile.TemporaryDirectory() as scratch:
        costs: list[tuple[Tool, Cost, Path]] = []
        for number, tool in enumerate(tools()):
            target = Path(scratch) / str(number) / "model.onnx"
            target.parent.mkdir()
            cost = run_tool(tool, source, data / "calib", target, samples=512)
            print(
                f"{source.parents[3].name}: {tool.name} {tool.options}: {cost.wall_seconds:.1f} s {cost.error}",
                flush=True,
            )
            if not cost.error:
                target.write_bytes(sealed(target, manifest))
            costs.append((tool, cost, target))
        made = [(tool, cost, path) for tool, cost, path in costs if not cost.error]
        models = [Contender(str(number), (path,)) for number, (_, _, path) in enumerate(made)]
        base = Contender("fp32", (source,))
        measured = benchmark(
            models,
            base=base,
            settings=Settings(threads=(1,), rounds=25, round_seconds=0.1, cold_starts=1, data=data / "test"),
        )
        found = []
        for number, (tool, cost, path) in enumerate(made):
            result = measured.result(str(number))
            assert result is not None
            found.append(
                Row(
                    tool=tool,
                    cost=cost,
                    metrics=result.metrics or {},
                    ratio=measured.ratio(result, 1).median,
                    file_bytes=path.stat().st_size,
                )
            )
        failed = [
            Row(tool=tool, cost=cost, metrics={}, ratio=0.0, file_bytes=0) for tool, cost, _ in costs if cost.error
        ]
        return measured.base_result.metrics or {}, [*found, *failed]


def sealed(path: Path, parent: Manifest) -> bytes:
    """The model with its parent's manifest, so that its tasks can be measured; the one that a tool copied is void."""
    proto = onnx.load(path)
    del proto.metadata_props[:]
    content, _ = seal(proto.SerializeToString(), parent)
    return content


def calibration_costs(source: Path, data: Path) -> dict[str, list[Cost]]:
    """What calibration samples cost: tool and method -> one entry for each number of samples, three times over."""
    forms = [Tool(name="ort", options={"method": method}) for method in ("MinMax", "Percentile", "Entropy")]
    forms += [Tool(name="mtl-edge all", options={"method": method}) for method in ("minmax", "percentile", "entropy")]
    found: dict[str, list[Cost]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for repeat in range(3):
            for samples in SAMPLES:
                for tool in forms:
                    cost = run_tool(tool, source, data / "train", Path(scratch) / "int8.onnx", samples=samples)
                    key = f"{tool.name} {tool.options['method']}, {samples} samples"
                    found.setdefault(key, []).append(cost)
                    print(
                        f"{repeat}: {key}: {cost.wall_seconds:.2f} s, {cost.peak_mib:.0f} MiB {cost.error}", flush=True
                    )
    return found


def run_tool(tool: Tool, source: Path, data: Path, target: Path, *, samples: int) -> Cost:
    """Let a tool work in a process of its own."""
    job = {
        "tool": msgspec.to_builtins(tool),
        "source": str(source),
        "data": str(data),
        "target": str(target),
        "samples": samples,
    }
    command = [sys.executable, __file__, "--work", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if done.returncode:
        return Cost(
            wall_seconds=0, cpu_seconds=0, peak_mib=0, error=(done.stderr.strip().splitlines() or ["?"])[-1][:300]
        )
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Cost)


# --- in the child process -------------------------------------------------------------------------------------------


def do(job: Mapping[str, object]) -> Cost:
    """Quantize one model; imports are not timed."""
    tool = msgspec.convert(job["tool"], Tool)
    source, data, target = (Path(str(job[key])) for key in ("source", "data", "target"))
    samples = int(str(job["samples"]))
    act = _ours if tool.name.startswith("mtl-edge") else _ort
    work = act(tool, source, data, target, samples)
    started, before = time.perf_counter(), time.process_time()
    work()
    peak = peak_bytes() / 2**20
    return Cost(wall_seconds=time.perf_counter() - started, cpu_seconds=time.process_time() - before, peak_mib=peak)


def _ours(tool: Tool, source: Path, data: Path, target: Path, samples: int):  # type: ignore[no-untyped-def]
    from mtl_edge.quantize.file import quantize_file
    from mtl_edge.quantize.refinements import Refinements

    placement: Literal["all", "measured"] = "all" if tool.name.endswith("all") else "measured"
    plain = Refinements(equalize=False, rounding="nearest", correct_bias=False)

    def work() -> None:
        quantize_file(
            source,
            data,
            target,
            method=tool.options["method"],  # type: ignore[arg-type]
            placement=placement,
            samples=samples,
            batch_size=BATCH,
            refinements=Refinements() if tool.name.endswith("default") else plain,
            guarding=tool.name.endswith("default"),  # no other tool looks at what it ships
        )

    return work


def _ort(tool: Tool, source: Path, data: Path, target: Path, samples: int):  # type: ignore[no-untyped-def]
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    manifest = manifest_of(source, open_session(source))
    assert manifest is not None
    item = manifest.inputs[0]
    raw = load_samples(data)[item.name][:samples]

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """One batch after the other; what is missing is zero, which its calibrators cannot do without."""

        def __init__(self) -> None:
            self._starts = iter(range(0, len(raw), BATCH))

        def get_next(self) -> dict[str, np.ndarray] | None:
            """The next batch, or None at the end."""
            start = next(self._starts, None)
            if start is None:
                return None
            batch = item.preprocessing.apply(raw[start : start + BATCH])
            return {item.name: np.nan_to_num(batch) if batch.dtype.kind == "f" else batch}

    kinds = {"U": QuantType.QUInt8, "S": QuantType.QInt8}
    options: dict[str, object] = {}
    if tool.options:
        types = tool.options.get("types", "U8S8")
        options = {
            "quant_format": QuantFormat[tool.options.get("form", "QDQ")],
            "activation_type": kinds[types[0]],
            "weight_type": kinds[types[2]],
            "per_channel": tool.options.get("weights", "per-channel") == "per-channel",
            "calibrate_method": CalibrationMethod[tool.options.get("method", "MinMax")],
        }

    def work() -> None:
        with tempfile.TemporaryDirectory() as scratch:
            prepared = Path(scratch) / "prepared.onnx"
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            quantize_static(prepared, target, Reader(), **options)

    return work


if __name__ == "__main__":
    main()
