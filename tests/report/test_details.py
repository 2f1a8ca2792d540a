"""What a benchmark tells beside its comparison follows from its samples."""

from collections.abc import Callable

import msgspec
import pytest

from mtl_edge.bench.latency import Latency
from mtl_edge.bench.machine import Conditions, this_machine
from mtl_edge.bench.memory import Memory
from mtl_edge.bench.results import Benchmark, ColdStart, Result
from mtl_edge.bench.server import Server, Trial
from mtl_edge.report.details import detail_tables, doubts, remarks
from mtl_edge.report.table import Table

MIB = 2**20


def _memory(arena: bool, activations_mib: int) -> Memory:
    return Memory(
        arena=arena,
        runtime_bytes=40 * MIB,
        weights_bytes=10 * MIB,
        run_bytes=5 * MIB,
        load_peak_bytes=45 * MIB,
        run_peak_bytes=(50 + activations_mib) * MIB,
    )


@pytest.fixture
def measured(result: Callable[..., Result]) -> Benchmark:
    """One model at two batch sizes, with everything that can be measured."""
    latencies = tuple(
        Latency(
            threads=1,
            batch=batch,
            rounds_ms=((0.5,) * 60, (1.0,) * 60),
            base_ms=(0.5, 1.0),
            call_ms=(0.04, 0.06),
            energy_j=(0.6, 0.6),
            resident_bytes=(50 * MIB, 60 * MIB),
        )
        for batch in (1, 8)
    )
    start = ColdStart(
        process_ms=10, import_ms=100, load_ms=5, first_run_ms=2, runtime_rss_bytes=1, peak_rss_bytes=2 * MIB
    )
    trials = (Trial(rate_per_s=90.0, latencies_ms=(3.0,) * 100), Trial(rate_per_s=120.0, latencies_ms=(30.0,) * 100))
    model = msgspec.structs.replace(
        result("dense", 0.9, 1.0),
        latencies=latencies,
        cold_starts=(start,),
        memory=(_memory(True, 20), _memory(False, 8)),
        server=(Server(threads=1, bound_ms=10, share=90, trials=trials),),
    )
    noisy = Conditions(
        governor="powersave",
        frequency_mhz=(1800.0, 3600.0),
        temperature_c=71.2,
        noise=("other work kept 1.5 of 2 cores busy",),
    )
    return Benchmark(machine=this_machine(), base="dense", results=(model,), conditions=noisy)


def _table(tables: list[Table], title: str) -> list[list[str]]:
    """The values of the table whose title begins so."""
    (found,) = (table for table in tables if table.title.startswith(title))
    return [[cell.value for cell in row] for row in found.rows]


def test_a_cold_start_is_the_sum_of_its_parts(measured: Benchmark) -> None:
    """Process, import, load and first run, in ms."""
    assert _table(detail_tables(measured), "From nothing") == [["dense", "10.0", "100.0", "5.0", "2.0", "117.0"]]


def test_memory_is_told_with_the_arena_on_and_off(measured: Benchmark) -> None:
    """What the runs need is what the peak is above the loaded model."""
    (table,) = (table for table in detail_tables(measured) if table.title.startswith("Where memory"))
    (row,) = table.rows
    assert [cell.value for cell in row] == ["dense", "40.0", "10.0", "20.0", "70.0", "-"]
    assert [cell.note for cell in row] == ["peak ±0.00", "off 40.0", "off 10.0", "off 8.0", "off 58.0", "off -"]


def test_every_point_of_a_sweep_has_a_row(measured: Benchmark) -> None:
    """Named by its threads and sizes."""
    assert [row[0] for row in _table(detail_tables(measured), "Latency p50 by size")] == ["t=1 b=1", "t=1 b=8"]


@pytest.mark.parametrize(
    ("scenario", "title", "row"),
    [
        ("single-stream", "Single stream", ["dense", "t=1 b=8", "0.500", "1.000", "-"]),
        ("offline", "Offline", ["dense", "t=1 b=8", "10,667/s"]),
        ("server", "Queries that come by chance: p90 within 10 ms", ["dense", "t=1 b=1", "90"]),
    ],
)
def test_a_scenario_has_its_table(measured: Benchmark, scenario: str, title: str, row: list[str]) -> None:
    """p99 is not told by 120 samples; eight samples of data take 0.75 ms on average."""
    assert _table(detail_tables(measured, scenario), title)[-1] == row  # type: ignore[arg-type]


def test_a_soak_compares_its_end_with_its_beginning(measured: Benchmark) -> None:
    """Latency doubled, and ten MiB were not given back."""
    rows = _table(detail_tables(measured, soak=True), "First tenth")
    assert rows[0] == ["dense", "t=1 b=1", "0.500 -> 1.000 ms", "50.0 -> 60.0 MiB"]


def test_what_is_part_of_every_figure_is_said(measured: Benchmark) -> None:
    """The call's own cost and that it is not taken off; the processor; energy per run; and the noise."""
    call, processor, energy = remarks(measured)
    assert "0.0500 ms of Python's and the runtime's call, which is not taken off: 10%" in call
    assert processor == "the processor: powersave, 1800 to 3600 MHz, up to 71 °C"
    assert energy == "energy of a run, the whole processor's: dense 10 mJ"
    assert doubts(measured) == ["other work kept 1.5 of 2 cores busy"]
