"""The loop takes enough samples, and only when the model has warmed up."""

from collections.abc import Callable
from types import SimpleNamespace

import onnx
import pytest

from mtl_edge.bench import loop


class Clock:
    """Time that only passes when a run takes some."""

    def __init__(self) -> None:
        self.now = 0.0

    def run_of(self, latencies: list[float]) -> Callable[[], None]:
        """Runs that take these seconds, the last again and again."""
        left = list(latencies)

        def run() -> None:
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the loop takes for the time."""
    clock = Clock()
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def test_samples_are_taken_for_so_long_and_so_often(clock: Clock) -> None:
    """Both must be reached: seconds by a fast model, runs by a slow one."""
    assert loop.sample(clock.run_of([0.25]), 2.0, 3) == [250.0] * 8
    assert loop.sample(clock.run_of([4.0]), 2.0, 3) == [4000.0] * 3


def test_warm_up_lasts_until_runs_become_no_faster(clock: Clock) -> None:
    """Chunks of 0.1 s get faster by a tenth each until they stay as they are."""
    latencies = [second for step in (0.05, 0.045, 0.04, 0.036) for second in [step] * 3]
    runs = loop.warm_up(clock.run_of([*latencies, 0.036]), 2.0)
    assert len(latencies) < runs <= len(latencies) + 6


def test_warm_up_ends_where_runs_never_stop_getting_faster(clock: Clock) -> None:
    """After the time that it may take, and the run that was under way."""
    loop.warm_up(clock.run_of([0.1 * 0.9**step for step in range(200)]), 0.8)
    assert 0.8 <= clock.now < 0.8 + 0.2


def test_the_model_that_does_nothing_is_valid_and_does_nothing() -> None:
    """Its bytes were written by hand."""
    model = onnx.load_model_from_string(loop.DOES_NOTHING)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Identity"]
    loop.do_nothing()()
