"""Tests of :mod:`mtl_edge.report.table`."""

import msgspec
import pytest

from mtl_edge.bench.machine import this_machine
from mtl_edge.bench.results import Benchmark
from mtl_edge.export.ort_format import OrtFile, Platform, Style
from mtl_edge.report.table import comparison, misplaced, slower_than_base, warnings


def test_a_slower_model_is_told_but_not_several_that_work_together(result) -> None:  # type: ignore[no-untyped-def]
    """One sentence for the model that was meant to be faster; its cell calls for attention."""
    together = msgspec.structs.replace(result("single-task/dense", 0.9, 1.0, latency_ms=3.0), paths=("a", "b"))
    named = (result("dense", 0.9, 1.0), result("int8", 0.9, 1.0, latency_ms=2.0), result("pruned", 0.9, 1.0), together)
    benchmark = Benchmark(machine=this_machine(), base="dense", results=named)
    assert slower_than_base(benchmark) == ["int8 is slower than dense: its latency is 2.00x with 1 thread"]
    _, cost = comparison(benchmark, first_metric_only=True)
    assert [row[1].warning for row in cost.rows] == [False, True, False, False]


@pytest.mark.parametrize("style", ["fixed", "runtime"])
@pytest.mark.parametrize(
    ("platform", "system", "told"),
    [
        ("arm", "Linux x86_64", True),
        ("arm", "Windows AMD64", True),
        ("arm", "Linux aarch64", False),
        ("arm", "Darwin arm64", False),
        ("amd64", "Linux x86_64", False),
    ],
)
def test_an_ort_for_arm_is_told_to_mean_nothing_on_x86(  # type: ignore[no-untyped-def]
    result, platform: Platform, style: Style, system: str, told: bool
) -> None:
    """One line for it, by the name that its export gave it, and none for the others."""
    name = OrtFile(platform, style, b"", "", int8=True, warnings=()).name
    results = (result("dense", 0.9, 1.0), msgspec.structs.replace(result("small", 0.9, 1.0), paths=(f"out/{name}",)))
    machine = msgspec.structs.replace(this_machine(), system=system)
    benchmark = Benchmark(machine=machine, base="dense", results=results)
    said = misplaced(benchmark)
    assert len(said) == told
    assert all(line.startswith("small is an .ort for ARM") and "mean nothing on x86" in line for line in said)
    assert warnings(benchmark) == said
