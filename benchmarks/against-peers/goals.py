"""What was promised of each network, and whether it was kept."""

from collections.abc import Callable, Sequence

import msgspec
from results import Measured, Point

HARMLESS = 0.5
"""What the task that fares worst may lose, in points or per cent, where a model is to do in place of the dense one."""
TIE = 0.1
"""Differences up to this are none: 10 samples of 10,000."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One goal: what was asked, whether it is met (None: cannot be said), and the figures that decide."""

    goal: str
    met: bool | None
    why: str


def verdicts(measured: Measured) -> list[Verdict]:
    """All goals, in their order."""
    points = measured.points()
    found = []
    alone = [point for point in points if point.row.kind == "int8"]
    found += _alone([point for point in alone if point.row.ours], [point for point in alone if not point.row.ours])
    pruned = [point for point in points if point.row.kind == "pruned"]
    ours = [point for point in pruned if point.row.ours]
    found += _pruned(ours, [point for point in pruned if not point.row.ours])
    found.append(_harmless(ours))
    found.append(_never_slower([point for point in points if point.row.ours]))
    return found


def best(points: Sequence[Point], most: float = HARMLESS) -> Point | None:
    """The fastest of those that lose no more than so much, or else the one that loses least."""
    good = [point for point in points if point.worst <= most]
    if good:
        return min(good, key=lambda point: point.ratio.median)
    return min(points, key=lambda point: point.worst, default=None)


def _alone(ours: Sequence[Point], peers: Sequence[Point]) -> list[Verdict]:
    """Int8 alone, with that of our settings that meets most, the default one where several do."""

    def search(mine: Point, peer: Point) -> tuple[bool, str]:
        """Who does not know yet which setting is best has to try them all."""
        settings = [point for point in peers if point.row.tool == peer.row.tool]
        met, why = _costs(mine, settings, _seconds, 1 / 3, "s")
        return met, f"{why}, {len(settings)} settings"

    goals = {
        "int8 alone: the worst task loses no more than with the best peer": _loses_no_more,
        "int8 alone: no slower than the best peer": _no_slower,
        "int8 alone: at most a third of that peer's tool time": _third_of_the_time,
        "int8 alone: at most a third of the time of all that tool's settings, of which that one was best": search,
        "int8 alone: no more memory of the tool": _no_more_memory,
    }
    peer = best(peers)
    if peer is None or not ours:
        return [_unknown(goal, ours, peers) for goal in goals]
    tried = []
    for mine in ours:
        names = f"({mine.row.setting} against {peer.row.name})"
        found = [check(mine, peer) for check in goals.values()]
        tried.append([(met, f"{why} {names}") for met, why in found])
    return _that_meets_most(list(goals), tried)


def _that_meets_most(goals: Sequence[str], tried: Sequence[Sequence[tuple[bool, str]]]) -> list[Verdict]:
    """The verdicts of that model, of those tried, which meets most goals; the first one where several do."""
    chosen = max(tried, key=lambda found: sum(met for met, _ in found))
    return [Verdict(goal=goal, met=met, why=why) for goal, (met, why) in zip(goals, chosen, strict=True)]


def _loses_no_more(mine: Point, peer: Point) -> tuple[bool, str]:
    return mine.worst <= peer.worst + TIE, f"{mine.worst:+.2f} against {peer.worst:+.2f}"


def _no_slower(mine: Point, peer: Point) -> tuple[bool, str]:
    ratio = mine.against(peer)
    return ratio.low <= 1, f"{ratio.median:.2f}x, {ratio.low:.2f} to {ratio.high:.2f}"


def _third_of_the_time(mine: Point, peer: Point) -> tuple[bool, str]:
    return _costs(mine, [peer], _seconds, 1 / 3, "s")


def _no_more_memory(mine: Point, peer: Point) -> tuple[bool, str]:
    return _costs(mine, [peer], _mib, 1, "MiB")


def _seconds(point: Point) -> float | None:
    return point.row.cost.wall_seconds if point.row.cost else None


def _mib(point: Point) -> float | None:
    return point.row.cost.peak_mib if point.row.cost else None


def _costs(
    mine: Point, theirs: Sequence[Point], of: Callable[[Point], float | None], share: float, unit: str
) -> tuple[bool, str]:
    a, them = of(mine), [cost for point in theirs if (cost := of(point)) is not None]
    if a is None or len(them) < len(theirs):
        return False, "not measured"
    b = sum(them)
    return a <= share * b, f"{a:.1f} against {b:.1f} {unit}"


def _pruned(ours: Sequence[Point], peers: Sequence[Point]) -> list[Verdict]:
    """The whole recipe against the best pruned peer: of ours that lose no more that which meets most, the fastest."""
    goals = (
        "whole recipe: at most half the latency of the best pruned peer at the same loss",
        "whole recipe: at most half its size",
    )
    peer = best(peers)
    if peer is None or not ours:
        return [_unknown(goal, ours, peers) for goal in goals]
    equal = [point for point in ours if point.worst <= peer.worst + TIE]
    if not equal:
        nearest = min(ours, key=lambda point: point.worst)
        why = f"none of ours loses so little: {nearest.worst:+.2f} against {peer.worst:+.2f} ({peer.row.name})"
        return [Verdict(goal=goal, met=False, why=why) for goal in goals]
    tried = [_half_of(peer, mine) for mine in sorted(equal, key=lambda point: point.ratio.median)]
    return _that_meets_most(goals, tried)


def _half_of(peer: Point, mine: Point) -> list[tuple[bool, str]]:
    """Whether latency and size are at most half of a peer's."""
    names = f"({mine.row.setting}, {mine.worst:+.2f}, against {peer.row.name}, {peer.worst:+.2f})"
    ratio = mine.against(peer)
    size = mine.model.file_bytes / peer.model.file_bytes
    return [
        (ratio.median <= 0.5, f"{ratio.median:.2f}x, {ratio.low:.2f} to {ratio.high:.2f} {names}"),
        (size <= 0.5, f"{size:.2f}x {names}"),
    ]


def _harmless(ours: Sequence[Point]) -> Verdict:
    """A variant with every task near the dense network."""
    goal = f"whole recipe: a variant with every task within {HARMLESS} points of dense"
    point = best(ours)
    if point is None:
        return _unknown(goal, ours, ours)
    why = f"{point.worst:+.2f} at {point.ratio.median:.2f}x latency ({point.row.setting})"
    return Verdict(goal=goal, met=point.worst <= HARMLESS, why=why)


def _never_slower(ours: Sequence[Point]) -> Verdict:
    goal = "never slower than fp32"
    if not ours:
        return _unknown(goal, ours, ours)
    slowest = max(ours, key=lambda point: point.ratio.low)
    ratio = slowest.ratio
    why = f"at most {ratio.median:.2f}x, {ratio.low:.2f} to {ratio.high:.2f} ({slowest.row.setting})"
    return Verdict(goal=goal, met=ratio.low <= 1, why=why)


def _unknown(goal: str, ours: Sequence[Point], peers: Sequence[Point]) -> Verdict:
    missing = "no model of ours" if not ours else "no model of a peer" if not peers else "nothing"
    return Verdict(goal=goal, met=None, why=f"{missing} can be measured")
