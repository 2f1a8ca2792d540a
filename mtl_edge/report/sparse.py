"""What zeros in weights save, which is size alone, with what they do to latency beside it."""

from mtl_edge.bench.compressed import LEVEL
from mtl_edge.bench.results import Benchmark, Result
from mtl_edge.report.table import SIZE_ONLY, Cell, Table, ratio_cell, threads_title


def sparse_tables(benchmark: Benchmark) -> list[Table]:
    """Every model's file as it is and compressed, and how fast a sparse one is against the same without zeros.

    No table where no model is sparse.
    """
    if all(result.size_only is None for result in benchmark.results):
        return []
    table = Table(
        "What zeros save",
        (
            "model",
            "pattern",
            "file",
            f"compressed\nzlib, level {LEVEL}",
            *(f"latency\n{threads_title(threads)}" for threads in benchmark.threads),
        ),
        tuple(_row(result, benchmark) for result in benchmark.results),
        caption=f"Sizes are relative to {benchmark.base}'s, latencies to those of the same model without zeros. "
        "Of a pattern N:M, N of M weights stay; a number is the share that leaves.",
    )
    return [table]


def without_zeros(benchmark: Benchmark, result: Result) -> Result | None:
    """What came about by the same steps as a sparse model, but that which made it sparse; None where there is none."""
    if result.size_only is None:
        return None
    made = _made(result)
    return next((other for other in benchmark.results if other.size_only is None and _made(other) == made), None)


def _made(result: Result) -> list[tuple[list[str], list[str]]]:
    """Each file's tasks, and its steps without the one that made it sparse."""
    return [
        (
            [task.name for task in manifest.tasks],
            [step for step in manifest.lineage.steps if step != f"sparsify {manifest.sparse}"],
        )
        for manifest in result.manifests
    ]


def _row(result: Result, benchmark: Benchmark) -> tuple[Cell, ...]:
    base, sparse = benchmark.base_result, result.size_only is not None
    whole = without_zeros(benchmark, result)
    return (
        Cell(result.name, SIZE_ONLY if sparse else ""),
        Cell(result.size_only or "-"),
        _size(result.file_bytes, base.file_bytes, result is base),
        _size(result.compressed_bytes, base.compressed_bytes, result is base),
        *(
            Cell("-") if whole is None else ratio_cell(benchmark.ratio(result, threads, whole), f"of {whole.name}")
            for threads in benchmark.threads
        ),
    )


def _size(size: int | None, base: int | None, is_base: bool) -> Cell:
    if size is None:  # an older benchmark
        return Cell("-")
    return Cell(f"{size / 1024:.0f} KiB", "" if is_base or not base else f"{size / base:.2f}x", sort=size)
