"""What a benchmark tells beside its comparison: cold starts, memory, sweeps, scenarios, soaks, and what to doubt."""

import statistics
from collections.abc import Callable, Iterable, Sequence

from mtl_edge.bench.latency import Latency, Point
from mtl_edge.bench.machine import Conditions
from mtl_edge.bench.memory import Memory
from mtl_edge.bench.results import Benchmark, ColdStart, Result
from mtl_edge.bench.server import Server
from mtl_edge.bench.settings import Scenario
from mtl_edge.report.table import Cell, Table, latency_cell

_MIB = 2**20
_FELT = 0.02
"""A part of a latency that is worth a word."""


def detail_tables(benchmark: Benchmark, scenario: Scenario = "latency", *, soak: bool = False) -> list[Table]:
    """The tables that apply to what was measured."""
    tables = [_cold_starts(benchmark.results)]
    if any(result.memory for result in benchmark.results):
        tables.append(_memory(benchmark.results))
    if len(benchmark.points) > len(benchmark.threads):
        tables.append(_sweep(benchmark))
    match scenario:
        case "single-stream":
            tables.append(_per_point("Single stream, ms", benchmark, ("p50", "p90", "p99"), _percentiles))
        case "offline":
            tables.append(_per_point("Offline", benchmark, ("throughput",), _throughput))
        case "server":
            tables.append(_servers(benchmark))
        case "latency":
            pass
    if soak:
        tables.append(_per_point("First tenth of the time -> last tenth", benchmark, ("p50", "memory"), _drift))
    return tables


def remarks(benchmark: Benchmark) -> list[str]:
    """What is part of every figure, and why the figures may be doubted; a line each."""
    lines = []
    latency = min((result.latencies[0] for result in benchmark.results), key=lambda latency: latency.p50_ms)
    call = latency.call_p50_ms
    if call is not None and call > _FELT * latency.p50_ms:
        lines.append(
            f"every latency includes {call:.4f} ms of Python's and the runtime's call, which is not taken off: "
            f"{call / latency.p50_ms:.0%} of the fastest"
        )
    if benchmark.conditions is not None and (seen := _seen(benchmark.conditions)):
        lines.append(f"the processor: {seen}")
    energy = [
        f"{result.name} {millijoules:.3g} mJ"
        for result in benchmark.results
        if (millijoules := result.latencies[0].energy_per_run_mj) is not None
    ]
    if energy:
        lines.append(f"energy of a run, the whole processor's: {', '.join(energy)}")
    return lines


def _seen(conditions: Conditions) -> str:
    """What the box shows of itself; empty where it shows nothing."""
    parts = [conditions.governor] if conditions.governor else []
    if conditions.frequency_mhz is not None:
        low, high = conditions.frequency_mhz
        parts.append(f"{low:.0f} to {high:.0f} MHz")
    if conditions.temperature_c is not None:
        parts.append(f"up to {conditions.temperature_c:.0f} °C")
    return ", ".join(parts)


def doubts(benchmark: Benchmark) -> list[str]:
    """Why the figures are noisy; empty where the box was quiet."""
    return list(benchmark.conditions.noise) if benchmark.conditions is not None else []


def _cold_starts(results: Iterable[Result]) -> Table:
    def median(result: Result, part: Callable[[ColdStart], float | None]) -> Cell:
        values = [value for start in result.cold_starts if (value := part(start)) is not None]
        return Cell(f"{statistics.median(values):.1f}" if values else "-")

    return Table(
        "From nothing to the first answer, ms",
        ("model", "process", "import", "load", "first run", "sum"),
        tuple(
            (
                Cell(result.name),
                median(result, lambda start: start.process_ms),
                median(result, lambda start: start.import_ms),
                median(result, lambda start: start.load_ms),
                median(result, lambda start: start.first_run_ms),
                median(result, lambda start: start.total_ms),
            )
            for result in results
            if result.cold_starts
        ),
    )


def _memory(results: Iterable[Result]) -> Table:
    """Medians, with the runtime's arena on; below them, with it off."""

    def median(memories: Sequence[Memory], part: Callable[[Memory], float | None]) -> str:
        values = [value / _MIB for memory in memories if (value := part(memory)) is not None]
        return f"{statistics.median(values):.1f}" if values else "-"

    def cell(result: Result, part: Callable[[Memory], float | None]) -> Cell:
        return Cell(median(result.with_arena(True), part), f"off {median(result.with_arena(False), part)}")

    return Table(
        "Where memory goes with the arena on, and off; MiB",
        ("model", "runtime", "weights", "runs", "peak RSS", "PSS"),
        tuple(
            (
                Cell(result.name, _spread(result)),
                cell(result, lambda memory: memory.runtime_bytes),
                cell(result, lambda memory: memory.weights_bytes),
                cell(result, lambda memory: memory.activations_bytes),
                cell(result, lambda memory: memory.peak_rss_bytes),
                cell(result, lambda memory: memory.pss_bytes),
            )
            for result in results
            if result.memory
        ),
    )


def _spread(result: Result) -> str:
    """By how much the repeats' peaks differ."""
    widest = 0.0
    for arena in (True, False):
        peaks = [memory.peak_rss_bytes / _MIB for memory in result.with_arena(arena)]
        widest = max(widest, (max(peaks) - min(peaks)) / 2)
    return f"peak ±{widest:.2f}"


def _sweep(benchmark: Benchmark) -> Table:
    """A row for each point, a column for each model."""
    return Table(
        "Latency p50 by size",
        ("point", *(result.name for result in benchmark.results)),
        tuple(
            (Cell(_short(point)), *(latency_cell(result, benchmark, point) for result in benchmark.results))
            for point in benchmark.points
        ),
    )


def _per_point(
    title: str, benchmark: Benchmark, columns: tuple[str, ...], cells: Callable[[Latency], tuple[Cell, ...]]
) -> Table:
    return Table(
        title,
        ("model", "point", *columns),
        tuple(
            (Cell(result.name), Cell(_short(latency.point)), *cells(latency))
            for result in benchmark.results
            for latency in result.latencies
        ),
    )


def _percentiles(latency: Latency) -> tuple[Cell, ...]:
    found = (latency.percentile_ms(share) for share in (50, 90, 99))
    return tuple(Cell("-" if value is None else f"{value:.3f}") for value in found)


def _throughput(latency: Latency) -> tuple[Cell, ...]:
    return (Cell(f"{latency.throughput_per_s:,.0f}/s"),)


def _drift(latency: Latency) -> tuple[Cell, ...]:
    tenth = max(len(latency.rounds_ms) // 10, 1)
    medians = latency.round_medians_ms
    first, last = statistics.median(medians[:tenth]), statistics.median(medians[-tenth:])
    before, after = latency.resident_bytes[0], latency.resident_bytes[-1]
    return (
        Cell(f"{first:.3f} -> {last:.3f} ms", f"{last / first - 1:+.1%}"),
        Cell(f"{before / _MIB:.1f} -> {after / _MIB:.1f} MiB"),
    )


def _servers(benchmark: Benchmark) -> Table:
    rows = tuple(
        (Cell(result.name), Cell(_short(server.point)), _rate(server))
        for result in benchmark.results
        for server in result.server
    )
    first = next(server for result in benchmark.results for server in result.server)
    return Table(
        f"Queries that come by chance: p{first.share:g} within {first.bound_ms:g} ms",
        ("model", "point", "queries per second"),
        rows,
    )


def _rate(server: Server) -> Cell:
    if len(server.trials) == 1:
        trial = server.trials[0]
        found = trial.percentile_ms(server.share)
        shown = "the queue only grows" if found is None else f"p{server.share:g} {found:.2f} ms"
        kept = server.keeps(trial)
        return Cell(f"{trial.rate_per_s:,.0f} {'kept' if kept else 'NOT KEPT'}", shown, warning=not kept)
    highest = server.highest_rate_per_s
    return Cell("none kept", warning=True) if highest is None else Cell(f"{highest:,.0f}")


def _short(point: Point) -> str:
    sizes = "".join(f" {name}={size}" for name, size in point.dims)
    return f"t={point.threads} b={point.batch}{sizes}"
