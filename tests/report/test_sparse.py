"""Tests of :mod:`mtl_edge.report.sparse`, and of who is called fast where a model is sparse."""

import io

import msgspec
import pytest
from rich.console import Console

from mtl_edge.bench.results import Benchmark, Result
from mtl_edge.report.csv_rows import to_csv
from mtl_edge.report.document import RunReport
from mtl_edge.report.headline import headline
from mtl_edge.report.html import bench_to_html
from mtl_edge.report.markdown import bench_to_markdown
from mtl_edge.report.sparse import sparse_tables, without_zeros
from mtl_edge.report.terminal import show
from mtl_edge.report.verdicts import chosen, fastest

replace = msgspec.structs.replace


def _sparse(like: Result, name: str) -> Result:
    """The same model made by one more step, a mask of 2:4; faster by chance."""
    (manifest,) = like.manifests
    trained, *int8 = [step for step in manifest.lineage.steps if step != "prune + distill"]
    steps = (trained, "prune + distill", "sparsify 2:4", *int8)
    child = replace(manifest, variant=name, sparse="2:4", lineage=replace(manifest.lineage, steps=steps))
    faster = tuple(
        replace(latency, rounds_ms=tuple(tuple(0.97 * ms for ms in turn) for turn in latency.rounds_ms))
        for latency in like.latencies
    )
    return replace(like, name=name, manifests=(child,), latencies=faster)


@pytest.fixture
def benchmark(finished: RunReport) -> Benchmark:
    """The finished run with the masked children of both pruned models, and every file compressed."""
    measured = finished.benchmark
    found = {result.name: result for result in measured.results}
    results = (
        *measured.results,
        _sparse(found["pruned"], "sparse"),
        _sparse(found["pruned-int8"], "sparse-int8"),
    )
    small = {"sparse": 0.5, "sparse-int8": 0.6}
    return replace(
        measured,
        results=tuple(
            replace(result, compressed_bytes=int(result.file_bytes * small.get(result.name, 0.9))) for result in results
        ),
    )


def test_each_model_has_both_sizes_and_a_sparse_one_its_latency_beside(benchmark: Benchmark) -> None:
    """Latency is relative to what is the same without zeros, float to float and int8 to int8."""
    (table,) = sparse_tables(benchmark)
    rows = {row[0].value: row for row in table.rows}
    assert list(rows) == [result.name for result in benchmark.results]
    assert [rows["pruned"][0].note, *(cell.value for cell in rows["pruned"])] == [
        "", "pruned", "-", "334 KiB", "301 KiB", "-", "-",
    ]  # fmt: skip
    name, pattern, file, compressed, *latencies = rows["sparse-int8"]
    assert (name.note, pattern.value) == ("size only", "2:4")
    assert (file.value, compressed.value, compressed.note) == ("94 KiB", "56 KiB", "0.05x")
    assert [cell.value for cell in latencies] == ["0.97x", "0.97x"]
    assert all(cell.note.startswith("of pruned-int8\n0.9") for cell in latencies)


def test_every_form_of_the_report_says_size_only(benchmark: Benchmark) -> None:
    """In the terminal, in Markdown and on the page, beside the name wherever costs are told; figures are in the CSV."""
    terminal = io.StringIO()
    show(benchmark, Console(file=terminal, width=200))
    for text in (terminal.getvalue(), bench_to_markdown("pairs", benchmark, picture=None)):
        assert text.count("size only") == 4
        assert "What zeros save" in text
    plain = tuple(replace(result, metrics=None, latencies=result.latencies[:1]) for result in benchmark.results)
    page = bench_to_html("pairs", replace(benchmark, results=plain))
    assert page.count("<br><small>size only</small>") == 4
    assert "of pruned-int8" in page
    assert "\nsparse,compressed_file,,,,171000,bytes," in to_csv(benchmark)


def test_a_sparse_model_is_not_called_faster_than_the_same_without_zeros(benchmark: Benchmark) -> None:
    """However the clock fell; it is chosen where it keeps budgets that the other one misses, as size only."""
    best, first = chosen(benchmark), headline(benchmark)
    assert best is benchmark.result("pruned")
    assert first is not None
    assert first.model == "pruned"
    assert fastest(benchmark, benchmark.results) is benchmark.result("pruned-int8")
    missed = tuple(
        replace(result, metrics={**(result.metrics or {}), "sum": {"mae": 9.0, "mse": 9.0, "r2": 0.0}})
        if result.name == "pruned"
        else result
        for result in benchmark.results
    )
    worse = replace(benchmark, results=missed)
    first = headline(worse)
    assert first is not None
    assert first.model == "sparse"
    assert first.reason == "the fastest of those within all 3 budgets; its zeros save size only"


def test_without_a_sparse_model_there_is_nothing_to_tell(finished: RunReport) -> None:
    """No table, no compressed sizes; and one whose fellow was not measured has no latency beside it."""
    assert sparse_tables(finished.benchmark) == []
    assert "compressed" not in to_csv(finished.benchmark)
    pruned = finished.benchmark.result("pruned")
    assert pruned is not None
    sparse = _sparse(pruned, "sparse")
    assert without_zeros(replace(finished.benchmark, results=(finished.benchmark.base_result, sparse)), sparse) is None
