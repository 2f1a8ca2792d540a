"""What the peak of a process's memory is made of."""

import statistics
from collections.abc import Sequence

from mtl_edge.bench.memory import Memory
from mtl_edge.bench.results import Result

_MIB = 2**20


def memory_stacks(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """Model -> part -> MiB, medians over fresh processes; a model's parts add up to its peak.

    Where memory was measured in detail, a model has a row with the runtime's arena on and one with it off; elsewhere
    there is only what the runtime needs without a model, and the rest.
    """
    if not all(result.memory for result in results):
        return {result.name: _coarse(result) for result in results}
    stacks = {}
    for result in results:
        for arena, name in ((True, result.name), (False, f"{result.name}, arena off")):
            if measured := result.with_arena(arena):
                stacks[name] = _fine(measured)
    return stacks


def _coarse(result: Result) -> dict[str, float]:
    return {
        "runtime": (result.peak_rss_bytes - result.model_rss_bytes) / _MIB,
        "model": result.model_rss_bytes / _MIB,
    }


def _fine(measured: Sequence[Memory]) -> dict[str, float]:
    """Of the process whose peak is the median, so that its parts belong together."""
    peak = statistics.median_low(memory.peak_rss_bytes for memory in measured)
    memory = next(memory for memory in measured if memory.peak_rss_bytes == peak)
    return {
        "runtime": memory.runtime_bytes / _MIB,
        "weights": memory.weights_bytes / _MIB,
        "kept by runs": memory.run_bytes / _MIB,
        "peak beyond": max(memory.peak_rss_bytes - memory.resident_bytes, 0) / _MIB,
    }
