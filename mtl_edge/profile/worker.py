"""The child process that runs one model under ONNX Runtime's profiler, and in turn without it.

It reads one JSON request, prints one JSON answer and ends. It needs no package onnx, so it runs on a target box, too:
what it says of a node is what the profiler's own file says.
"""

import statistics
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime

from mtl_edge.bench.inputs import describe, random_inputs
from mtl_edge.errors import BenchError, MtlEdgeError, last_words
from mtl_edge.runtime import manifest_of, open_session

_WARM_RUNS = 3
_PROFILE_SHARE = 0.3
"""Of the time that there is; the rest goes to models without one of the tasks."""
_MOST_RUNS = 300
_ROUNDS, _FEWEST_ROUNDS = 25, 4
_HOLDS_GRAPHS = ("If", "Loop", "Scan")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure: ``without`` are files of the model cut by one task each, ``folder`` is for temporary files."""

    path: str
    folder: str
    batch: int
    dims: dict[str, int]
    threads: int
    seconds: float
    without: tuple[str, ...] = ()


class NodeTime(msgspec.Struct, frozen=True, kw_only=True):
    """One node that was run: the mean of the middle half of its times, because the profiler counts in whole µs."""

    name: str
    op_type: str
    us: float
    output_bytes: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured; an ``error`` instead where it could not be."""

    error: str = ""
    inputs: str = ""
    outputs: tuple[str, ...] = ()
    latency_ms: tuple[float, ...] = ()
    nodes: tuple[NodeTime, ...] = ()
    saved_ms: tuple[tuple[float, ...], ...] = ()


class _Arguments(msgspec.Struct):
    """What the profiler says of a node; values are strings."""

    op_name: str = ""
    output_size: str = "0"


class _Event(msgspec.Struct):
    """One event of the profiler's file: times in whole µs."""

    cat: str
    name: str
    ts: int
    dur: int
    args: _Arguments


class _Runner:
    """A session with inputs and outputs bound once."""

    def __init__(self, session: onnxruntime.InferenceSession, arrays: Mapping[str, np.ndarray], place: Path) -> None:
        self._session, self._place, self._inputs = session, place, describe(arrays)
        self._binding = session.io_binding()
        wanted = {item.name for item in session.get_inputs()}
        for name, array in arrays.items():
            if name in wanted:  # a model without some task may read less
                self._binding.bind_cpu_input(name, array)
        for output in session.get_outputs():
            self._binding.bind_output(output.name)
        for _ in range(_WARM_RUNS):
            self.run_ms()

    def run_ms(self) -> float:
        """Run once."""
        started = time.perf_counter()
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # the runtime's own exception types are not public
            raise BenchError(f"{self._place}: cannot run on {self._inputs}: {last_words(error)}") from error
        return (time.perf_counter() - started) * 1e3

    def median_ms(self, seconds: float) -> float:
        """Median of runs for at least this long."""
        samples, end = [self.run_ms()], time.perf_counter() + seconds
        while time.perf_counter() < end:
            samples.append(self.run_ms())
        return statistics.median(samples)


def measure(request: Request) -> Answer:
    """Profile the model, then run it in turn with each that lacks a task.

    Raises:
        ModelError: a model cannot be loaded, or contradicts its manifest.
        BenchError: it cannot be run on inputs of its shapes.
    """
    path, folder = Path(request.path), Path(request.folder)
    session = open_session(path, request.threads)
    manifest_of(path, session)
    arrays = random_inputs(session.get_inputs(), batch=request.batch, dims=request.dims, place=str(path))
    whole = _Runner(session, arrays, path)
    watched = open_session(
        path, request.threads, save_optimized=folder / "optimized.onnx", profile_into=folder / "profile"
    )
    profiled = _Runner(watched, arrays, path)
    latencies: list[float] = []
    end = time.perf_counter() + request.seconds * _PROFILE_SHARE
    while len(latencies) < 2 or (len(latencies) < _MOST_RUNS and time.perf_counter() < end):
        latencies.append(whole.run_ms())
        profiled.run_ms()
    events = Path(watched.end_profiling()).read_bytes()
    share = request.seconds * (1 - _PROFILE_SHARE) / max(len(request.without), 1)
    return Answer(
        inputs=describe(arrays),
        outputs=tuple(output.name for output in session.get_outputs()),
        latency_ms=tuple(round(sample, 5) for sample in latencies),
        nodes=read_events(events),
        saved_ms=tuple(
            _saved_ms(whole, _Runner(open_session(other, request.threads), arrays, other), share)
            for other in map(Path, request.without)
        ),
    )


def read_events(content: bytes) -> tuple[NodeTime, ...]:
    """The nodes of the profiler's file in the order in which they ran, over all runs but the warm-up.

    What ran inside of a loop or a branch counts as part of that node.
    """
    runs: list[list[_Event]] = [[]]
    for event in sorted(msgspec.json.decode(content, type=list[_Event]), key=lambda event: (event.ts, -event.dur)):
        if event.cat == "Session" and event.name == "model_run":
            runs.append([])
        elif event.cat == "Node" and event.name.endswith("_kernel_time"):
            runs[-1].append(event)
    sequences = [_outermost(run) for run in runs[1 + _WARM_RUNS :]]
    usual = Counter(map(_names, sequences)).most_common(1)[0][0] if sequences else ()
    kept = [sequence for sequence in sequences if _names(sequence) == usual]
    return tuple(_node_time(column) for column in zip(*kept, strict=True))


def _names(sequence: Sequence[_Event]) -> tuple[str, ...]:
    return tuple(event.name for event in sequence)


def _outermost(run: Sequence[_Event]) -> list[_Event]:
    """Without what ran inside of another node."""
    found: list[_Event] = []
    inside_until = -1
    for event in run:
        if event.ts >= inside_until:
            inside_until = event.ts + event.dur if event.args.op_name in _HOLDS_GRAPHS else -1
            found.append(event)
    return found


def _node_time(column: Sequence[_Event]) -> NodeTime:
    times = sorted(event.dur for event in column)
    quarter = len(times) // 4
    return NodeTime(
        name=column[0].name.removesuffix("_kernel_time"),
        op_type=column[0].args.op_name,
        us=statistics.fmean(times[quarter : len(times) - quarter]),
        output_bytes=int(column[-1].args.output_size or 0),
    )


def _saved_ms(whole: _Runner, without: _Runner, seconds: float) -> tuple[float, ...]:
    """Round by round, by how much the whole model takes longer; each begins every other round."""
    turn, saved = seconds / _ROUNDS / 2, list[float]()
    end = time.perf_counter() + seconds
    while len(saved) < _FEWEST_ROUNDS or time.perf_counter() < end:
        if len(saved) % 2:
            other, own = without.median_ms(turn), whole.median_ms(turn)
        else:
            own, other = whole.median_ms(turn), without.median_ms(turn)
        saved.append(round(own - other, 5))
    return tuple(saved)


def main() -> None:
    """Answer the request on standard input."""
    onnxruntime.set_default_logger_severity(4)
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    try:
        answer: Any = measure(request)
    except MtlEdgeError as error:
        answer = Answer(error=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
