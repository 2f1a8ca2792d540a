"""What a benchmark on several boxes found."""

import msgspec

from mtl_edge.bench.results import Benchmark


class BoxResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one box: a benchmark, or why there is none, in one line."""

    name: str
    benchmark: Benchmark | None = None
    failure: str = ""


class Boxes(msgspec.Struct, frozen=True, kw_only=True):
    """One result for each box, in the order in which they were named."""

    boxes: tuple[BoxResult, ...]

    @property
    def complete(self) -> bool:
        """Whether every model was measured on every box."""
        return all(box.benchmark is not None and not box.benchmark.failures for box in self.boxes)
