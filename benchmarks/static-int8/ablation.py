"""What each step of static int8 gives: methods of taking ranges, equalization, compensated rounding, bias correction.

Every fp32 network is quantized without any step, with each alone and with all; all layers go to int8, so that nothing
but the steps differs. Signal to noise is measured on test samples, which no step has seen, as are the tasks' metrics.
Results are added to ``ablation.json`` beside this file.
"""

import statistics
import tempfile
import time
from pathlib import Path

import click
import msgspec

from mtl_edge.bench.machine import Machine, this_machine
from mtl_edge.data.splits import load_samples
from mtl_edge.quantize.file import quantize_file
from mtl_edge.quantize.noise import output_noise
from mtl_edge.quantize.ranges import Method
from mtl_edge.quantize.refinements import Refinements
from mtl_edge.runtime import evaluate, manifest_of, open_session
from mtl_edge.storage import write_atomically
from mtl_edge.tasks import Task

HERE = Path(__file__).parent
FILE = HERE / "ablation.json"
NAMES = (
    "fashion-pairs",
    "fashion-pairs-mobilenet",
    "fashion-scenes",
    "adult-mmoe",
    "river-flow",
    "reviews-transformer",
)
SAMPLES = 512
_NOISE_SAMPLES = 1000
_REPEATS = 3
_NONE = Refinements(equalize=False, rounding="nearest", correct_bias=False)


class Form(msgspec.Struct, frozen=True):
    """One choice of steps."""

    method: Method = "minmax"
    refinements: Refinements = _NONE

    @property
    def name(self) -> str:
        """``mse, equalized, compensated, biases``."""
        steps = {
            "equalized": self.refinements.equalize,
            "compensated": self.refinements.rounding == "compensated",
            "biases": self.refinements.correct_bias,
        }
        return ", ".join([self.method, *(name for name, done in steps.items() if done)])


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One int8 model: signal to noise on test samples by output, metrics by task, seconds of each call of the tool."""

    form: Form
    noise_db: dict[str, float]
    metrics: dict[str, dict[str, float]]
    seconds: tuple[float, ...]
    file_bytes: int


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """One trained network and its int8 forms."""

    tasks: tuple[Task, ...]
    fp32: dict[str, dict[str, float]]
    rows: tuple[Row, ...]


class Results(msgspec.Struct, kw_only=True):
    """All that was measured: recipe and seed -> network."""

    machine: Machine
    networks: dict[str, Network] = {}


def forms() -> list[Form]:
    """No step, each alone, and several."""
    methods: tuple[Method, ...] = ("minmax", "moving-average", "percentile", "entropy", "mse", "auto")
    found = [Form(method) for method in methods]
    found.append(Form(refinements=msgspec.structs.replace(_NONE, equalize=True)))
    for method in ("minmax", "mse"):
        found.append(Form(method, msgspec.structs.replace(_NONE, rounding="compensated")))
        found.append(Form(method, msgspec.structs.replace(_NONE, correct_bias=True)))
    both = msgspec.structs.replace(_NONE, rounding="compensated", correct_bias=True)
    found += [Form(method, both) for method in ("minmax", "percentile", "mse", "auto")]
    found.append(Form("mse", msgspec.structs.replace(both, equalize=True)))
    return found


@click.command()
@click.option("--runs", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The folder of zoo.py run.")
@click.option("--avx2", is_flag=True, help="For processors without VNNI, whose weights have fewer bits; mse only.")
@click.option("--table", is_flag=True, help="Only print what was measured before.")
@click.argument("names", nargs=-1)
def main(runs: Path | None, avx2: bool, table: bool, names: tuple[str, ...]) -> None:
    """Quantize every network in every form, keep what was found after each, and print a table."""
    results = Results(machine=this_machine())
    if FILE.exists():
        results = msgspec.json.decode(FILE.read_bytes(), type=Results)
    if not table:
        assert runs is not None, "--runs is needed"
        for name in names or NAMES:
            for folder in sorted((runs / name).iterdir()):
                place = f"{name}, x86-avx2/{folder.name}" if avx2 else f"{name}/{folder.name}"
                results.networks[place] = measured(folder, place, avx2=avx2)
                write_atomically(FILE, msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    show(results)


def measured(folder: Path, place: str, *, avx2: bool) -> Network:
    """All forms of one network."""
    chosen = [form for form in forms() if form.method == "mse" or not avx2]
    data = max(folder.glob("stages/data-*"), key=lambda path: path.stat().st_mtime)
    source = folder / "artifacts" / "dense" / "model.onnx"
    session = open_session(source)
    manifest = manifest_of(source, session)
    assert manifest is not None
    item, test = manifest.inputs[0], load_samples(data / "test")
    raw = test[item.name]
    batch = {item.name: item.preprocessing.apply(raw[:: -(-len(raw) // _NOISE_SAMPLES)])}
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "int8.onnx"
        for form in chosen:
            seconds = []
            for _ in range(_REPEATS):
                started = time.perf_counter()
                quantize_file(
                    source,
                    data / "calib",
                    target,
                    method=form.method,
                    target="x86-avx2" if avx2 else "x86-vnni",
                    placement="all",
                    samples=SAMPLES,
                    refinements=form.refinements,
                )
                seconds.append(time.perf_counter() - started)
            int8 = open_session(target)
            rows.append(
                Row(
                    form=form,
                    noise_db=output_noise(session, int8, batch),
                    metrics=evaluate(int8, manifest.tasks, item, test.arrays),
                    seconds=tuple(seconds),
                    file_bytes=target.stat().st_size,
                )
            )
            print(f"{place}: {form.name}: {statistics.median(seconds):.2f} s {rows[-1].noise_db}", flush=True)
    return Network(
        tasks=manifest.tasks,
        fp32=evaluate(session, manifest.tasks, item, test.arrays),
        rows=tuple(rows),
    )


def show(results: Results) -> None:
    """Recipe by recipe, the means over seeds: noise, the worst task, seconds."""
    recipes: dict[str, list[Network]] = {}
    for place, network in results.networks.items():
        recipes.setdefault(place.split("/")[0], []).append(network)
    for recipe, networks in recipes.items():
        print(f"\n{recipe}" + (f", means of {len(networks)} seeds" if len(networks) > 1 else ""))
        for position, row in enumerate(networks[0].rows):
            rows = [network.rows[position] for network in networks]
            noise = {name: statistics.mean(row.noise_db[name] for row in rows) for name in row.noise_db}
            changes = {
                task.name: statistics.mean(_change(network, network.rows[position], task) for network in networks)
                for task in networks[0].tasks
            }
            worst = min(networks[0].tasks, key=lambda task: changes[task.name])
            unit = "pt" if worst.metrics[0].unit == "share" else "%"
            seconds = statistics.median(value for row in rows for value in row.seconds)
            print(
                f"  {row.form.name:<35} {statistics.mean(noise.values()):5.1f} dB  {min(noise.values()):5.1f} dB"
                f"  {worst.name} {changes[worst.name]:+.2f} {unit}".ljust(88)
                + f"{seconds:5.2f} s"
            )


def _change(network: Network, row: Row, task: Task) -> float:
    """By how much a task's first metric is better than in fp32: points of a share, per cent of anything else."""
    metric = task.metrics[0]
    value, base = row.metrics[task.name][metric.name], network.fp32[task.name][metric.name]
    return 100 * (value - base) if metric.unit == "share" else 100 * metric.gain(value, base)


if __name__ == "__main__":
    main()
