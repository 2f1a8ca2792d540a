"""Tests of :mod:`mtl_edge.report.table`."""

import msgspec

from mtl_edge.bench.machine import this_machine
from mtl_edge.bench.results import Benchmark
from mtl_edge.report.table import comparison, slower_than_base


def test_a_slower_model_is_told_but_not_several_that_work_together(result) -> None:  # type: ignore[no-untyped-def]
    """One sentence for the model that was meant to be faster; its cell calls for attention."""
    together = msgspec.structs.replace(result("single-task/dense", 0.9, 1.0, latency_ms=3.0), paths=("a", "b"))
    named = (result("dense", 0.9, 1.0), result("int8", 0.9, 1.0, latency_ms=2.0), result("pruned", 0.9, 1.0), together)
    benchmark = Benchmark(machine=this_machine(), base="dense", results=named)
    assert slower_than_base(benchmark) == ["int8 is slower than dense: its latency is 2.00x with 1 thread"]
    _, cost = comparison(benchmark, first_metric_only=True)
    assert [row[1].warning for row in cost.rows] == [False, True, False, False]
