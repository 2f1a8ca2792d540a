"""What fine-tuning an int8 model gives next to better rounding and to layers that go back to float.

A small mobilenet is trained on mnist-pairs, and quantized in each way; all layers go to int8, for processors without
VNNI, so that nothing else differs. Metrics and signal to noise are those of test samples that no step has seen. Results
are written to ``finetune.json`` beside this file.
"""

import tempfile
import time
from pathlib import Path

import click
import msgspec
import torch

from mtl_edge.bench.machine import Machine, TargetName, this_machine
from mtl_edge.data.splits import Samples, load_samples
from mtl_edge.quantize.file import quantize_file
from mtl_edge.quantize.finetune.course import FinetuneName
from mtl_edge.quantize.noise import output_noise
from mtl_edge.quantize.refinements import Refinements
from mtl_edge.recipe import load_recipe
from mtl_edge.runtime import Metrics, evaluate, manifest_of, open_session
from mtl_edge.stages import Stages
from mtl_edge.storage import StageCache, write_atomically
from mtl_edge.variants import make_variants

HERE = Path(__file__).parent
FILE = HERE / "finetune.json"
TARGET: TargetName = "x86-avx2"
BUDGETS = ("left=0.2pt", "right=0.2pt", "sum=0.5%")
_NEAREST = Refinements(rounding="nearest", correct_bias=False)
_NOISE_SAMPLES = 1000


class Way(msgspec.Struct, frozen=True):
    """One way to quantize."""

    name: str
    refinements: Refinements = _NEAREST
    finetune: FinetuneName = "never"
    budgets: bool = False


WAYS = (
    Way("nearest"),
    Way("better rounding", Refinements()),
    Way("nearest, fine-tuned", finetune="always"),
    Way("better rounding, fine-tuned", Refinements(), "always"),
    Way("nearest, guilty layers in float", budgets=True),
)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What one of them gave; seconds are those of the whole tool."""

    way: Way
    metrics: Metrics
    noise_db: dict[str, float]
    finetuned: str
    reverted: tuple[str, ...]
    file_bytes: int
    seconds: float


class Results(msgspec.Struct, kw_only=True):
    """All that was measured: network -> its metrics in fp32, and its int8 forms."""

    machine: Machine
    steps: int
    fp32: dict[str, Metrics] = {}
    rows: dict[str, list[Row]] = {}


@click.command()
@click.option("--workdir", type=click.Path(file_okay=False, path_type=Path), required=True, help="Where it is trained.")
@click.option("--steps", type=int, default=400, show_default=True, help="Of fine-tuning.")
@click.option("--variant", type=click.Choice(["dense", "pruned"]), multiple=True, default=("dense",), show_default=True)
@click.option("--threads", type=int, default=1, show_default=True, help="Of torch.")
def main(workdir: Path, steps: int, variant: tuple[str, ...], threads: int) -> None:
    """Train once, quantize in each way, and print a table."""
    torch.set_num_threads(threads)
    stages = Stages(load_recipe(HERE / "mobilenet.toml"), StageCache(workdir / "stages"))
    data = stages.data()
    exported = stages.export(data, make_variants(stages, data).variants)
    results = Results(machine=this_machine(), steps=steps)
    test = load_samples(data.folder / "test")
    for name in variant:
        source = exported.folder / name / "model.onnx"
        session = open_session(source)
        manifest = manifest_of(source, session)
        assert manifest is not None
        results.fp32[name] = evaluate(session, manifest.tasks, manifest.inputs[0], test.arrays)
        print(f"{name:<36}", line(results.fp32[name]))
        for way in WAYS:
            row = measured(source, data.folder, test, way, steps)
            results.rows.setdefault(name, []).append(row)
            noise = ", ".join(f"{task} {level:.1f}" for task, level in row.noise_db.items())
            rest = [f"{noise} dB", f"{row.seconds:.0f} s", row.finetuned, *row.reverted]
            print(f"  {way.name:<34}", line(row.metrics), " ", "  ".join(rest), flush=True)
            write_atomically(FILE, msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def measured(source: Path, data: Path, test: Samples, way: Way, steps: int) -> Row:
    """One int8 form."""
    session = open_session(source)
    manifest = manifest_of(source, session)
    assert manifest is not None
    item = manifest.inputs[0]
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "int8.onnx"
        started = time.perf_counter()
        found = quantize_file(
            source,
            data / "train",
            target,
            target=TARGET,
            placement="all",
            refinements=way.refinements,
            max_drop=BUDGETS if way.budgets else (),
            labelled=data / "val" if way.budgets else None,
            finetune=way.finetune,
            finetune_steps=steps,
        )
        seconds = time.perf_counter() - started
        int8 = open_session(target)
        raw = test[item.name]
        batch = {item.name: item.preprocessing.apply(raw[:: -(-len(raw) // _NOISE_SAMPLES)])}
        told = found.finetuned
        return Row(
            way=way,
            metrics=evaluate(int8, manifest.tasks, item, test.arrays),
            noise_db=output_noise(session, int8, batch),
            finetuned="" if told is None else told.remark or f"kept the best of {told.steps} steps",
            reverted=found.budgets.reverted if found.budgets is not None else (),
            file_bytes=found.file_bytes,
            seconds=seconds,
        )


def line(metrics: Metrics) -> str:
    """The first metric of each task."""
    return "  ".join(f"{task} {next(iter(values.values())):.4f}" for task, values in metrics.items())


if __name__ == "__main__":
    main()
