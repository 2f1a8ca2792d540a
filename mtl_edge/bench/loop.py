"""The loop that takes the samples: what is in it is in every figure, so there is next to nothing in it."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import onnxruntime

from mtl_edge.session import open_session

DOES_NOTHING = (
    b'\x08\x08:=\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x07nothingZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08'
    b"\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x11"
)
"""An .onnx of one Identity, ``x (1,) -> y (1,)``, in opset 17."""

_STABLE = 0.98
_CHUNKS = 20


def sample(run: Callable[[], object], seconds: float, least: int) -> list[float]:
    """Latencies in ms of one run after the other, for at least so many seconds AND runs."""
    clock = time.perf_counter
    samples: list[float] = []
    end = clock() + seconds
    while True:
        started = clock()
        run()
        ended = clock()
        samples.append(ended - started)
        if ended >= end and len(samples) >= least:
            return [round(1e3 * sample, 5) for sample in samples]  # the clock's steps are about 20 ns


def warm_up(run: Callable[[], object], seconds: float) -> int:
    """Run until it becomes no faster, at most about so many seconds; how many runs that took.

    It is stable when the median of a twentieth of that time is less than 2 % below that of the twentieth before.
    """
    runs, before = 0, float("inf")
    end = time.perf_counter() + seconds
    while True:
        chunk = sample(run, seconds / _CHUNKS, 1)
        runs += len(chunk)
        median = float(np.median(chunk))
        if median >= _STABLE * before or time.perf_counter() >= end:
            return runs
        before = median


def bind(session: onnxruntime.InferenceSession, arrays: dict[str, np.ndarray]) -> Callable[[], object]:
    """A call that runs a session on inputs that stay where they are."""
    binding = session.io_binding()
    for name, array in arrays.items():
        binding.bind_cpu_input(name, array)
    for output in session.get_outputs():
        binding.bind_output(output.name)
    return partial(session.run_with_iobinding, binding)


def do_nothing() -> Callable[[], object]:
    """A run of a model of one Identity: it costs what the loop, Python's call and the runtime's call cost."""
    return bind(open_session(DOES_NOTHING, 1), {"x": np.zeros(1, np.float32)})
