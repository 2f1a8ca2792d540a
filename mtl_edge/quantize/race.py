"""Which layers are worth int8 is measured: the network is timed with regions of it in int8 and in float, by turns.

Int8 is no gain by itself. A small matrix product is over before its conversions are, and an operator without an int8
kernel puts conversions around itself. So the search starts from the faster of two forms, all in int8 or all in float,
and moves one region at a time to the other side as long as that makes the whole network faster.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime

from mtl_edge.quantize.moves import Moves, Seconds
from mtl_edge.quantize.placement import kept_in_float
from mtl_edge.runtime import open_session

ROUNDS = 9
"""Of one race."""
_TURN_SECONDS = 0.004
_SHORT_TURN_SECONDS = 0.001
_SHORT_TURNS = 40
_SHORT_TURNS_SECONDS = 0.2
"""After which no more of them are taken, if each has had as many as in a race."""
_GAIN = 0.97
"""A move must leave at most this share of the latency: less is noise."""
_LOST_AT_MOST = 2
"""Of the rounds of a race that is won."""

Feeds = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Placement:
    """What the search found.

    Attributes:
        kept: names of the nodes that stay in float.
        ratio: latency of the network with this placement, over that in float.
        trials: how many placements were timed.
        merged: whether it is one of the network with layers side by side as one.
    """

    kept: frozenset[str]
    ratio: float
    trials: int
    merged: bool = False


def find_placement(
    prepared: bytes,
    build: Callable[[frozenset[str]], bytes],
    feeds: Feeds,
    *,
    base: bytes | None = None,
    alone: Callable[[str], Seconds | None] = lambda name: None,
) -> Placement:
    """Search for the placement with the lowest latency on this box, with one thread.

    Args:
        prepared: the fp32 model, with a name for every node.
        build: writes the int8 model in which these nodes stay in float.
        feeds: input name -> the samples of one run.
        base: the fp32 model that latency is compared to; None means ``prepared``.
        alone: name of a node -> how long it takes where it stands alone, as far as that is known. What that leaves no
            hope for is not tried.
    """
    graph = onnx.load_from_string(prepared).graph
    movable = movable_nodes(graph)
    course, moves = _Course(base or prepared, build, feeds), Moves(graph, movable, alone)
    best = min((frozenset[str](), movable), key=course.ratio)
    for group in moves.groups():
        moved = best - group if group <= best else best | group
        least = (1 - _GAIN) * course.seconds(best)
        tried = moved in (best, frozenset(), movable)
        if not tried and moves.could_gain(group, best, least) and course.beats(moved, best):
            best = moved
    ratio = course.ratio(best)  # once, so that what is reported is what was decided by
    if ratio > _GAIN:
        best = movable
    if best == movable:
        ratio = 1.0 if base is None else course.ratio(movable)
    return Placement(kept=best, ratio=ratio, trials=course.trials)


def movable_nodes(graph: onnx.GraphProto) -> frozenset[str]:
    """The nodes that could be in float or in int8."""
    return frozenset(node.name for node in graph.node) - frozenset(kept_in_float(graph))


def latency_ratio(fp32: bytes, int8: bytes, batch: Feeds) -> float:
    """Latency of a model over that of its fp32 parent, on this box with one thread."""
    return _Course(fp32, lambda kept: int8, one_run(fp32, batch)).ratio(frozenset())


def fastest_ratio(base: bytes, model: bytes, batch: Feeds) -> float:
    """Latency of a model over that of another, on this box with one thread, each by the fastest of many short turns.

    What else the box does can only make a turn slower: repeated, this differs by half as much as a median of ratios
    that takes as long.
    """
    feeds = one_run(base, batch)
    sessions = [open_session(each, threads=1) for each in (base, model)]
    turns: list[list[float]] = []
    started = time.perf_counter()
    while len(turns) < ROUNDS or (len(turns) < _SHORT_TURNS and time.perf_counter() - started < _SHORT_TURNS_SECONDS):
        turns.append([seconds_of(session, feeds, turn=_SHORT_TURN_SECONDS) for session in sessions])
    shortest, shortest_of_base = (min(turn[place] for turn in turns) for place in (1, 0))
    return shortest / shortest_of_base


def is_faster(mine: bytes, theirs: bytes, batch: Feeds) -> bool:
    """Whether one model is clearly faster than another, on this box with one thread."""
    return best_is_faster((mine,), (theirs,), batch)


def best_is_faster(mine: Sequence[bytes], theirs: Sequence[bytes], batch: Feeds) -> bool:
    """Whether the fastest of some models is clearly faster than that of others, on this box with one thread."""
    named = [
        {frozenset({f"{side}{at}"}): model for at, model in enumerate(models)}
        for side, models in (("mine", mine), ("theirs", theirs))
    ]
    course = _Course(theirs[0], (named[0] | named[1]).__getitem__, one_run(theirs[0], batch))
    return course.beats(*(min(models, key=course.ratio) if len(models) > 1 else next(iter(models)) for models in named))


def one_run(model: bytes, batch: Feeds) -> dict[str, np.ndarray]:
    """Of a batch, as many samples as the graph demands, or one where it leaves that open; single values as they are."""
    dims = {value.name: value.type.tensor_type.shape.dim for value in onnx.load_from_string(model).graph.input}
    return {name: array[: dims[name][0].dim_value or 1] if len(dims[name]) else array for name, array in batch.items()}


class _Course:
    """Where placements are timed against each other."""

    def __init__(self, prepared: bytes, build: Callable[[frozenset[str]], bytes], feeds: Feeds) -> None:
        self._build, self._feeds = build, dict(feeds)
        self._float = open_session(prepared, threads=1)
        self._sessions: dict[frozenset[str], onnxruntime.InferenceSession] = {}
        self._seconds: dict[onnxruntime.InferenceSession, float] = {}

    @property
    def trials(self) -> int:
        return len(self._sessions)

    def seconds(self, kept: frozenset[str]) -> float:
        """The shortest latency seen so far of a placement that has been timed."""
        return self._seconds[self._sessions[kept]]

    def ratio(self, kept: frozenset[str]) -> float:
        """Latency over that in float."""
        return statistics.median(itertools.islice(self._race(self._session(kept), self._float), ROUNDS))

    def beats(self, mine: frozenset[str], theirs: frozenset[str]) -> bool:
        """Whether one placement is faster than another, by more than noise and in most rounds.

        That is a median below :data:`_GAIN`, and all rounds but two below 1. A race ends when that is out of reach, or
        is so whatever comes: most that are lost are so after a few rounds.
        """
        half, lost, slow, won = ROUNDS // 2, 0, 0, 0
        for ratio in self._race(self._session(mine), self._session(theirs)):
            lost, slow, won = lost + (ratio >= 1), slow + (ratio >= _GAIN), won + (ratio < 1)
            if lost > _LOST_AT_MOST or slow > half:
                return False
            if won >= ROUNDS - _LOST_AT_MOST and won + lost - slow > half:
                return True
        raise AssertionError("unreachable: a race has no end of its own")

    def _session(self, kept: frozenset[str]) -> onnxruntime.InferenceSession:
        if kept not in self._sessions:
            self._sessions[kept] = open_session(self._build(kept), threads=1)
        return self._sessions[kept]

    def _race(self, mine: onnxruntime.InferenceSession, theirs: onnxruntime.InferenceSession) -> Iterator[float]:
        """Ratios of latencies, round by round; the order changes, so that drift of the box hits both alike."""
        for number in itertools.count():
            first, second = (mine, theirs) if number % 2 else (theirs, mine)
            times = {first: self._time(first), second: self._time(second)}
            for session, seconds in times.items():
                self._seconds[session] = min(seconds, self._seconds.get(session, seconds))
            yield times[mine] / times[theirs]

    def _time(self, session: onnxruntime.InferenceSession) -> float:
        return seconds_of(session, self._feeds)


def seconds_of(session: onnxruntime.InferenceSession, feeds: Feeds, *, turn: float = _TURN_SECONDS) -> float:
    """Seconds of one run, the mean over a turn of so many."""
    fed = dict(feeds)
    session.run(None, fed)
    runs, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < turn or runs < 2:
        session.run(None, fed)
        runs += 1
    return passed / runs
