"""``[bench]``."""

from typing import Annotated

from msgspec import Meta

from mtl_edge.recipe.section import Count, Positive, Section


class BenchSpec(Section, frozen=True):
    """``[bench]``: batch-1 latency in interleaved rounds, and cold starts in fresh processes."""

    threads: Annotated[tuple[Count, ...], Meta(min_length=1)] = (1, 2)
    rounds: Annotated[int, Meta(ge=2)] = 10
    round_seconds: Positive = 0.2
    cold_starts: Count = 5
    memory_repeats: Annotated[int, Meta(ge=0)] = 2
