"""Runs the reference recipes with several seeds, and keeps what they gave.

Usage: python benchmarks/zoo/measure.py [--workdir DIR] [--seeds N] [NAME…]     (writes NAME.json beside this file)

Without a name, all are run. The model of seed 0 is put into ``models/NAME/``; the tables of the cards are made of the
results by ``cards.py``. Whatever stands in the working folder is used again, so that recipes can be trained on a busy
machine and measured on a quiet one: remove ``stages/bench-*`` there, and the latencies are measured anew.
"""

import datetime
import shutil
import time
from pathlib import Path

import click
import msgspec

from mtl_edge.artifact import MANIFEST_FILE, MODEL_FILE
from mtl_edge.bench.machine import Machine
from mtl_edge.bench.results import Benchmark
from mtl_edge.pipeline import run
from mtl_edge.recipe import BenchSpec, load_recipe
from mtl_edge.report.sharing import sharing
from mtl_edge.storage import write_atomically
from mtl_edge.zoo.find import reference_recipes

HERE = Path(__file__).parent
MODELS = HERE.parents[1] / "models"
SHIPPED = "pruned-int8"
_QUICK = BenchSpec(rounds=2, round_seconds=0.02, cold_starts=1)
"""Costs are those of seed 0; of other seeds only the metrics count."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a variant of seed 0 costs: the median latency of each round by the number of threads, and its sizes."""

    latency_ms: dict[int, tuple[float, ...]]
    peak_rss_bytes: float
    file_bytes: int


class SeedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What one seed gave: metrics by variant, task and name, and the gain of sharing by variant and task.

    ``seconds`` is the time of the whole run, or None where parts of it had been done before.
    """

    seconds: float | None
    metrics: dict[str, dict[str, dict[str, float]]]
    gains: dict[str, dict[str, float]]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured of one recipe."""

    date: str
    machine: Machine
    parameters: dict[str, int]
    costs: dict[str, Cost]
    seeds: dict[int, SeedRun]


@click.command()
@click.option("--workdir", type=click.Path(file_okay=False, path_type=Path), default=Path("runs/zoo"))
@click.option("--seeds", type=click.IntRange(1), default=3)
@click.argument("names", nargs=-1)
def main(workdir: Path, seeds: int, names: tuple[str, ...]) -> None:
    """Run, and keep what was found after each seed."""
    for name in names or tuple(reference_recipes()):
        for seed in range(seeds):
            measure(name, seed, workdir / name / str(seed))


def measure(name: str, seed: int, workdir: Path) -> None:
    """Run one recipe with one seed, and add what it gave to the recipe's file."""
    recipe = msgspec.structs.replace(load_recipe(reference_recipes()[name]), seed=seed)
    if seed:
        recipe = msgspec.structs.replace(recipe, bench=_QUICK)
    fresh = not workdir.exists()
    print(f"{name}, seed {seed}", flush=True)
    started = time.perf_counter()
    report = run(recipe, workdir)
    seconds: float | None = round(time.perf_counter() - started, 1)
    file = HERE / f"{name}.json"
    before = msgspec.json.decode(file.read_bytes(), type=Measured) if file.exists() else None
    known = before.seeds if before else {}
    if not fresh:
        seconds = known[seed].seconds if seed in known else None
    benchmark = report.benchmark
    mine = SeedRun(
        seconds=seconds,
        metrics={result.name: result.metrics or {} for result in benchmark.results},
        gains={pair.multi.name: pair.gains for pair in sharing(benchmark)},
    )
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    measured = Measured(
        date=date if seed == 0 or before is None else before.date,
        machine=benchmark.machine,
        parameters=_parameters(benchmark) if seed == 0 or before is None else before.parameters,
        costs=_costs(benchmark) if seed == 0 or before is None else before.costs,
        seeds=dict(sorted({**known, seed: mine}.items())),
    )
    write_atomically(file, msgspec.json.format(msgspec.json.encode(measured), indent=1) + b"\n")
    if seed == 0:
        for part in (MODEL_FILE, MANIFEST_FILE):
            shutil.copy(workdir / "artifacts" / SHIPPED / part, MODELS / name / part)


def _parameters(benchmark: Benchmark) -> dict[str, int]:
    return {result.name: sum(manifest.parameters for manifest in result.manifests) for result in benchmark.results}


def _costs(benchmark: Benchmark) -> dict[str, Cost]:
    return {
        result.name: Cost(
            latency_ms={latency.threads: latency.round_medians_ms for latency in result.latencies},
            peak_rss_bytes=result.peak_rss_bytes,
            file_bytes=result.file_bytes,
        )
        for result in benchmark.results
    }


if __name__ == "__main__":
    main()
