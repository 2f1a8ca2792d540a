"""Runs the reference recipes with several seeds, and writes what they gave into their cards.

Usage: python benchmarks/zoo/zoo.py run [--workdir DIR] [--seeds N] [NAME…]     (writes NAME.json beside this file)
       python benchmarks/zoo/zoo.py cards [--check]                             (writes models/NAME/card.md)

Without a name, all are run. The last variant of seed 0 is put into ``models/NAME/``. Whatever stands in the working
folder is used again, so that recipes can be trained on a busy machine and measured on a quiet one: remove
``stages/bench-*`` there, and the latencies are measured anew.

In each card the lines between ``<!-- measured -->`` and ``<!-- end -->`` are made of ``NAME.json``. With ``--check``
nothing is written; the exit code is 1 where a card says something else.
"""

import datetime
import shutil
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import msgspec

from mtl_edge.artifact import MANIFEST_FILE, MODEL_FILE
from mtl_edge.bench.machine import Machine
from mtl_edge.bench.results import Benchmark
from mtl_edge.pipeline import run as run_recipe
from mtl_edge.recipe import BenchSpec, load_recipe
from mtl_edge.report.sharing import sharing
from mtl_edge.storage import write_atomically
from mtl_edge.tasks import Task
from mtl_edge.zoo.find import reference_recipes

HERE = Path(__file__).parent
MODELS = HERE.parents[1] / "models"
START, END = "<!-- measured -->\n", "<!-- end -->\n"
_QUICK = BenchSpec(rounds=2, round_seconds=0.02, cold_starts=1, memory_repeats=1)
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


@click.group()
def main() -> None:
    """Run the reference recipes, or write their cards."""


@main.command("run")
@click.option("--workdir", type=click.Path(file_okay=False, path_type=Path), default=Path("runs/zoo"))
@click.option("--seeds", type=click.IntRange(1), default=3)
@click.argument("names", nargs=-1)
def run_recipes(workdir: Path, seeds: int, names: tuple[str, ...]) -> None:
    """Run, and keep what was found after each seed."""
    for name in names or tuple(reference_recipes()):
        for seed in range(seeds):
            measure(name, seed, workdir / name / str(seed))


@main.command("cards")
@click.option("--check", is_flag=True, help="Write nothing; fail where a card is not what was measured.")
def write_cards(check: bool) -> None:
    """Write the tables into all cards."""
    stale = []
    for name, recipe in reference_recipes().items():
        card = MODELS / name / "card.md"
        measured = msgspec.json.decode((HERE / f"{name}.json").read_bytes(), type=Measured)
        text = card.read_text(encoding="utf-8")
        before, _, rest = text.partition(START)
        _, _, after = rest.partition(END)
        new = f"{before}{START}\n{tables(measured, load_recipe(recipe).tasks)}\n{END}{after}"
        if new != text:
            stale.append(name)
            if not check:
                card.write_text(new, encoding="utf-8")
    print(f"{'stale' if check else 'written'}: {', '.join(stale) or 'none'}")
    sys.exit(check and bool(stale))


def measure(name: str, seed: int, workdir: Path) -> None:
    """Run one recipe with one seed, and add what it gave to the recipe's file."""
    recipe = msgspec.structs.replace(load_recipe(reference_recipes()[name]), seed=seed)
    if seed:
        recipe = msgspec.structs.replace(recipe, bench=_QUICK)
    fresh = not workdir.exists()
    print(f"{name}, seed {seed}", flush=True)
    started = time.perf_counter()
    report = run_recipe(recipe, workdir)
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
        shipped = [result.name for result in benchmark.results if "/" not in result.name][-1]
        for part in (MODEL_FILE, MANIFEST_FILE):
            shutil.copy(workdir / "artifacts" / shipped / part, MODELS / name / part)


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


def tables(measured: Measured, tasks: Sequence[Task]) -> str:
    """All tables of one card."""
    parts = [_variants(measured, tasks)]
    if len(measured.seeds) > 1:
        parts.append(_seeds(measured, tasks))
    if any(run.gains for run in measured.seeds.values()):
        parts.append(_sharing(measured, tasks))
    return "\n".join(parts)


def _variants(measured: Measured, tasks: Sequence[Task]) -> str:
    machine, run = measured.machine, measured.seeds[0]
    threads = list(measured.costs["dense"].latency_ms)
    rows = []
    for variant in (name for name in measured.costs if "/" not in name):
        cost, base = measured.costs[variant], measured.costs["dense"]
        latencies = [_latency(cost, base, count) for count in threads]
        figures = _figures(run, variant, tasks)
        sizes = [f"{cost.file_bytes / 1024:.0f} KiB", f"{measured.parameters[variant]:,}"]
        rows.append([f"`{variant}`", *figures, *latencies, *sizes])
    columns = [
        "model",
        *_titles(tasks),
        *(f"{count} thread{'s' * (count > 1)}" for count in threads),
        "file",
        "parameters",
    ]
    caption = (
        f"Under ONNX Runtime {machine.versions['onnxruntime']} on {machine.cpu}, {machine.cores} cores "
        f"({', '.join(machine.isa)}), {measured.date}, seed 0: metrics on the test split; latency at batch 1, and the "
        "median of its ratio to `dense` over interleaved rounds."
    )
    if run.seconds:
        caption += f" The whole run took {run.seconds / 60:.1f} minutes."
    return f"{caption}\n\n{_table(columns, rows)}"


def _seeds(measured: Measured, tasks: Sequence[Task]) -> str:
    rows = []
    for variant in (name for name in measured.costs if "/" not in name):
        for seed, run in measured.seeds.items():
            if variant not in run.metrics:  # withheld with this seed
                continue
            rows.append([f"`{variant}`" if seed == 0 else "", str(seed), *_figures(run, variant, tasks)])
    columns = ["model", "seed", *_titles(tasks)]
    return (
        "The same recipe with other seeds, which change what is drawn and split at random, and the training:\n\n"
        f"{_table(columns, rows)}"
    )


def _sharing(measured: Measured, tasks: Sequence[Task]) -> str:
    runs = {seed: run for seed, run in measured.seeds.items() if run.gains}
    rows = []
    for variant in next(iter(runs.values())).gains:
        alone = f"single-task/{variant}"
        found = [run.gains[variant] for run in runs.values() if variant in run.gains]
        gains = [_spread([100 * each[task.name] for each in found]) for task in tasks]
        mean = _spread([100 * statistics.mean(each.values()) for each in found])
        mine, theirs = measured.costs[variant], measured.costs[alone]
        ratios = [_ratio(mine.latency_ms[count], theirs.latency_ms[count]) for count in mine.latency_ms]
        memory = f"{mine.peak_rss_bytes / theirs.peak_rss_bytes:.2f}x"
        rows.append([f"`{variant}`", *gains, mean, *ratios, memory, f"{mine.file_bytes / theirs.file_bytes:.2f}x"])
    columns = [
        "model",
        *(task.name for task in tasks),
        "Δm",
        *(f"latency, {count} thread{'s' * (count > 1)}" for count in measured.costs["dense"].latency_ms),
        "peak memory",
        "file",
    ]
    seeds = f"median and range of {len(runs)} seeds" if len(runs) > 1 else "seed 0"
    return (
        f"Did sharing help? One multi-task model against {len(tasks)} single-task ones with the same trunk: relative "
        f"change of each task's metric in per cent, positive = multi-task better ({seeds}), and its cost over that of "
        f"all single-task models in one process.\n\n{_table(columns, rows)}"
    )


def _figures(run: SeedRun, variant: str, tasks: Sequence[Task]) -> list[str]:
    """Each task's first metric."""
    return [task.metrics[0].format(run.metrics[variant][task.name][task.metrics[0].name]) for task in tasks]


def _titles(tasks: Sequence[Task]) -> list[str]:
    return [f"{task.name} {task.metrics[0].title}" for task in tasks]


def _latency(cost: Cost, base: Cost, threads: int) -> str:
    mine, theirs = cost.latency_ms[threads], base.latency_ms[threads]
    return f"{statistics.median(mine):.3f} ms" + ("" if cost is base else f" ({_ratio(mine, theirs)})")


def _ratio(mine: Sequence[float], base: Sequence[float]) -> str:
    return f"{statistics.median(a / b for a, b in zip(mine, base, strict=True)):.2f}x"


def _spread(values: Sequence[float]) -> str:
    middle = f"{statistics.median(values) + 0.0:+.1f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):+.1f} to {max(values):+.1f})"


def _table(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    names = list(columns)
    lines = [names, ["---", *["---:"] * (len(names) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
