"""Whether the nodes of a graph can run one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """A node: what people call it, which tensors it reads, and which it makes."""

    name: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]


def find_cycle(steps: Sequence[Step]) -> tuple[str, ...]:
    """The names of steps that wait for one another, the first one again at the end; none where all can run."""
    makers = {name: index for index, step in enumerate(steps) for name in step.makes}
    done = [False] * len(steps)
    for start in range(len(steps)):
        path = [] if done[start] else [(start, iter(steps[start].reads))]
        waiting = {start}
        while path:
            index, reads = path[-1]
            before = next((makers[name] for name in reads if name in makers and not done[makers[name]]), None)
            if before is None:
                done[index] = True
                waiting.discard(index)
                path.pop()
            elif before in waiting:
                circle = [at for at, _ in path]
                return tuple(steps[at].name for at in (*circle[circle.index(before) :], before))
            else:
                waiting.add(before)
                path.append((before, iter(steps[before].reads)))
    return ()
