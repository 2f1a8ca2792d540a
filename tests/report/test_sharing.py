"""Tests of :mod:`mtl_edge.report.sharing`."""

import msgspec
import pytest

from mtl_edge.bench.machine import this_machine
from mtl_edge.bench.results import Benchmark, Result
from mtl_edge.report.sharing import sharing, sharing_tables


def _benchmark(*results: Result) -> Benchmark:
    return Benchmark(machine=this_machine(), base=results[0].name, results=results)


def test_a_gain_is_positive_where_the_multi_task_model_is_better(result) -> None:  # type: ignore[no-untyped-def]
    """More accuracy and less error are both gains; Δm is their mean."""
    (pair,) = sharing(_benchmark(result("dense", 0.99, 0.8), result("single-task/dense", 0.9, 1.0)))
    assert pair.gains == pytest.approx({"kind": 0.1, "size": 0.2})
    assert pair.delta_m == pytest.approx(0.15)


def test_swapping_the_two_turns_the_sign(result) -> None:  # type: ignore[no-untyped-def]
    """What is a gain one way is a loss the other way."""
    (pair,) = sharing(_benchmark(result("dense", 0.9, 1.0), result("single-task/dense", 0.99, 0.8)))
    assert pair.gains["kind"] < 0
    assert pair.gains["size"] < 0


def test_each_variant_is_compared_to_its_own_kind(result) -> None:  # type: ignore[no-untyped-def]
    """Int8 stands against int8; a variant without single-task models has no row."""
    pairs = sharing(
        _benchmark(
            result("dense", 0.9, 1.0),
            result("pruned", 0.9, 1.0),
            result("dense-int8", 0.8, 1.0),
            result("single-task/dense", 0.9, 1.0),
            result("single-task/dense-int8", 0.4, 1.0),
        )
    )
    assert [(pair.multi.name, pair.single.name) for pair in pairs] == [
        ("dense", "single-task/dense"),
        ("dense-int8", "single-task/dense-int8"),
    ]
    assert pairs[1].gains["kind"] == pytest.approx(1.0)


def test_the_table_says_sign_costs_and_losses(result) -> None:  # type: ignore[no-untyped-def]
    """The heading gives the meaning of the sign; ratios are the multi-task model over all single-task ones."""
    measured = _benchmark(
        result("dense", 0.9, 1.0, latency_ms=1.0, file_bytes=100),
        result("single-task/dense", 1.0, 2.0, latency_ms=4.0, file_bytes=300),
    )
    (table,) = sharing_tables(measured)
    assert "positive = multi-task better" in table.title
    cells = [(cell.value, cell.note, cell.warning) for cell in table.rows[0]]
    assert cells == [
        ("dense", "", False),
        ("-10.00 %", "alone 100.00 %", True),
        ("+50.00 %", "alone 2.0000", False),
        ("+20.00 %", "", False),
        ("0.25x", "", False),
        ("1.00x", "model 1.00x", False),
        ("0.33x", "", False),
    ]


def test_without_single_task_models_there_is_no_table(result) -> None:  # type: ignore[no-untyped-def]
    """Nothing is said of what was not measured."""
    assert sharing_tables(_benchmark(result("dense", 0.9, 1.0))) == []


def test_a_result_survives_json(result) -> None:  # type: ignore[no-untyped-def]
    """report.json can be read again."""
    measured = _benchmark(result("dense", 0.9, 1.0))
    assert msgspec.json.decode(msgspec.json.encode(measured), type=Benchmark) == measured
