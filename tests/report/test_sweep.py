"""The picture shows every model at every point."""

from collections.abc import Callable

import msgspec
import pytest

from mtl_edge.bench.latency import Latency
from mtl_edge.bench.machine import this_machine
from mtl_edge.bench.results import Benchmark, Result
from mtl_edge.report.sweep import chart, draw


def _benchmark(result: Callable[..., Result], points: list[tuple[int, int, dict[str, int]]]) -> Benchmark:
    latencies = tuple(
        Latency(threads=threads, batch=batch, dims=dims, rounds_ms=((1.0 * batch,), (2.0 * batch,)), base_ms=(1.0, 1.0))
        for threads, batch, dims in points
    )
    models = tuple(msgspec.structs.replace(result(name, 0.9, 1.0), latencies=latencies) for name in ("dense", "int8"))
    return Benchmark(machine=this_machine(), base="dense", results=models)


def _rows(picture: object) -> list[dict[str, object]]:
    (values,) = picture.to_dict()["datasets"].values()  # type: ignore[attr-defined]
    return list(values)


def test_the_first_size_that_was_swept_is_the_axis_and_the_rest_are_panels(
    result: Callable[..., Result],
) -> None:
    """Two batches, two sequence lengths and two numbers of threads: four panels of two lines of two points."""
    points = [(threads, batch, {"seq": seq}) for threads in (1, 2) for batch in (1, 8) for seq in (64, 128)]
    rows = _rows(chart(_benchmark(result, points)))
    assert len(rows) == 2 * 8
    assert {row["panel"] for row in rows} == {
        f"seq {seq}, threads {threads}" for seq in (64, 128) for threads in (1, 2)
    }
    assert {row["size"] for row in rows} == {1, 8}
    assert next(row for row in rows if row["size"] == 8)["p50"] == 8.0


def test_without_sizes_there_is_a_panel_for_each_number_of_threads(result: Callable[..., Result]) -> None:
    """Each model has its marks in each."""
    rows = _rows(chart(_benchmark(result, [(1, 1, {}), (2, 1, {})])))
    assert [(row["model"], row["panel"]) for row in rows] == [
        ("dense", "threads 1"),
        ("dense", "threads 2"),
        ("int8", "threads 1"),
        ("int8", "threads 2"),
    ]


@pytest.mark.parametrize(
    ("form", "beginning"), [(".svg", b"<svg"), (".png", b"\x89PNG"), (".html", b"<!DOCTYPE html>")]
)
def test_a_picture_is_of_the_form_that_was_asked_for(
    result: Callable[..., Result], form: str, beginning: bytes
) -> None:
    """And of the page, nothing is fetched from elsewhere."""
    content = draw(_benchmark(result, [(1, 1, {}), (1, 8, {})]), form).lstrip()
    assert content.startswith(beginning)
    assert b"<script src" not in content
