"""What each form of ``mtl-edge quantize`` gives: latency, file, metrics, and signal to noise.

Usage: python benchmarks/quantize-forms/quantize_forms.py --runs DIR [NAME…]   (adds to quantize-forms.json beside this)

DIR is where ``benchmarks/zoo/zoo.py run --workdir DIR`` has run the reference recipes: their dense fp32 models are
written in every form, and measured on their test samples. Two networks with random weights, which are larger in what
``dynamic`` and ``weights4`` are for, have latencies and noise only. ``--table`` prints what was measured before.
"""

import dataclasses
import tempfile
from pathlib import Path
from typing import get_args

import click
import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.bench.contender import Contender
from mtl_edge.bench.machine import Machine, this_machine
from mtl_edge.bench.settings import Settings
from mtl_edge.bench.suite import benchmark
from mtl_edge.quantize.convert import convert_file
from mtl_edge.quantize.file import quantize_file
from mtl_edge.quantize.forms import FormName
from mtl_edge.runtime import manifest_of, open_session
from mtl_edge.storage import write_atomically
from mtl_edge.tasks import Task

HERE = Path(__file__).parent
FILE = HERE / "quantize-forms.json"
NAMES = ("fashion-pairs", "fashion-pairs-mobilenet", "adult-mmoe", "river-flow", "reviews-transformer")
RANDOM = ("random MLP 1024", "random LSTM 256")
_SETTINGS = Settings(threads=(1,), rounds=15, round_seconds=0.2, cold_starts=1)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One form of a model: ratio of latencies to fp32 with one thread, metrics by task, noise by output."""

    form: str
    latency_ratio: float
    file_ratio: float
    metrics: dict[str, dict[str, float]]
    noise_db: dict[str, float]


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """One network, its metrics in fp32, and its forms."""

    tasks: tuple[Task, ...]
    fp32: dict[str, dict[str, float]]
    rows: tuple[Row, ...]


class Results(msgspec.Struct, kw_only=True):
    """All that was measured."""

    machine: Machine
    networks: dict[str, Network] = {}


@click.command()
@click.option("--runs", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The folder of zoo.py run.")
@click.option("--table", is_flag=True, help="Only print what was measured before.")
@click.argument("names", nargs=-1)
def main(runs: Path | None, table: bool, names: tuple[str, ...]) -> None:
    """Measure network after network, and keep what was found after each."""
    results = Results(machine=this_machine())
    if FILE.exists():
        results = msgspec.json.decode(FILE.read_bytes(), type=Results)
    for name in () if table else names or (*NAMES, *RANDOM):
        with tempfile.TemporaryDirectory() as scratch:
            if name in RANDOM:
                results.networks[name] = measured(*random_network(name, Path(scratch)), Path(scratch), test=None)
            else:
                assert runs is not None, "--runs is needed"
                folder = runs / name / "0"
                data = max(folder.glob("stages/data-*"), key=lambda path: path.stat().st_mtime)
                source = folder / "artifacts" / "dense" / "model.onnx"
                results.networks[name] = measured(source, data / "calib", Path(scratch), test=data / "test")
        write_atomically(FILE, msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
        print(f"{name} done", flush=True)
    show(results)


def measured(source: Path, samples: Path, scratch: Path, *, test: Path | None) -> Network:
    """All forms of one network."""
    manifest = manifest_of(source, open_session(source))
    noise: dict[str, dict[str, float]] = {}
    for form in ("static", *get_args(FormName)):
        target = scratch / f"{form}.onnx"
        if form == "static":
            noise[form] = quantize_file(source, samples, target).noise_db
        else:
            noise[form] = convert_file(source, target, form, measured_on=samples).noise_db
    found = benchmark(
        [Contender(form, (scratch / f"{form}.onnx",)) for form in noise],
        base=Contender("fp32", (source,)),
        settings=dataclasses.replace(_SETTINGS, data=test),
    )
    rows = []
    for form, levels in noise.items():
        result = found.result(form)
        assert result is not None
        rows.append(
            Row(
                form=form,
                latency_ratio=found.ratio(result, 1).median,
                file_ratio=(scratch / f"{form}.onnx").stat().st_size / source.stat().st_size,
                metrics=result.metrics or {},
                noise_db=levels,
            )
        )
    return Network(
        tasks=manifest.tasks if manifest is not None else (),
        fp32=found.base_result.metrics or {},
        rows=tuple(rows),
    )


def random_network(name: str, scratch: Path) -> tuple[Path, Path]:
    """Three layers of 1024 x 1024; or an LSTM of 256 units over 32 steps, and a layer. And samples for it."""
    rng = np.random.default_rng(0)

    def weight(*shape: int) -> np.ndarray:
        drawn: np.ndarray = (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)
        return drawn

    if name == "random MLP 1024":
        shape: list[int | str] = ["n", 1024]
        tensors = {f"w{number}": weight(1024, 1024) for number in range(3)}
        nodes = [
            helper.make_node("MatMul", ["x", "w0"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("MatMul", ["b", "w1"], ["c"]),
            helper.make_node("Relu", ["c"], ["d"]),
            helper.make_node("MatMul", ["d", "w2"], ["y"]),
        ]
    else:
        shape = [32, 1, 256]
        tensors = {"w": weight(1, 1024, 256), "r": weight(1, 1024, 256), "head": weight(256, 64)}
        nodes = [
            helper.make_node("LSTM", ["x", "w", "r"], ["", "last"], hidden_size=256),
            helper.make_node("MatMul", ["last", "head"], ["y"]),
        ]
    graph = helper.make_graph(
        nodes,
        "random",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, key) for key, value in tensors.items()],
    )
    source, samples = scratch / "fp32.onnx", scratch / "samples.npz"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), source)
    np.savez(samples, x=rng.standard_normal((512, *shape[1:])).astype(np.float32))  # type: ignore[arg-type]
    return source, samples


def show(results: Results) -> None:
    """A line for each form of each network."""
    print(f"{'network':<25}{'form':<10}{'latency':>8}{'file':>7}  {'worst task':<26}{'noise, least':>12}")
    for name, network in results.networks.items():
        for position, row in enumerate(network.rows):
            print(
                f"{'' if position else name:<25}{row.form:<10}{row.latency_ratio:>7.2f}x{row.file_ratio:>6.2f}x"
                f"  {_worst(network, row):<26}{min(row.noise_db.values()):>9.0f} dB"
            )


def _worst(network: Network, row: Row) -> str:
    """The task whose first metric changed for the worst: points of a share, per cent of anything else."""
    changes = {}
    for task in network.tasks:
        metric = task.metrics[0]
        value, base = row.metrics[task.name][metric.name], network.fp32[task.name][metric.name]
        share = metric.unit == "share"
        gain = 100 * (value - base) if share else 100 * metric.gain(value, base)
        changes[f"{task.name} {gain:+.2f} {'pt' if share else '%'}"] = gain
    return min(changes, key=lambda text: changes[text]) if changes else "-"


if __name__ == "__main__":
    main()
