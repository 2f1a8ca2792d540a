"""What was measured of one network: raw figures, and what follows from them."""

from collections.abc import Iterable
from typing import Literal

import msgspec
from costs import Cost

from mtl_edge.bench.latency import Ratio
from mtl_edge.bench.machine import Conditions, Machine
from mtl_edge.tasks import Task

Kind = Literal["int8", "pruned"]
"""Int8 of the dense network without any training; or pruned, trained and in int8."""
OURS = "mtl-edge"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A finished model: metrics by task and name; latencies by round in milliseconds, and those of the base."""

    metrics: dict[str, dict[str, float]]
    latency_ms: tuple[float, ...]
    base_ms: tuple[float, ...]
    file_bytes: int


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool gave with one of its settings: a model, or an error in one line."""

    tool: str
    setting: str
    kind: Kind
    cost: Cost | None = None
    model: Model | None = None
    error: str = ""

    @property
    def name(self) -> str:
        """As tables call it."""
        return f"{self.tool}, {self.setting}"

    @property
    def ours(self) -> bool:
        """Whether it is made by mtl-edge."""
        return self.tool == OURS


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One network: the dense fp32 model, and all that was made of it, measured in one run with one thread.

    ``quick`` marks a trial, from which nothing follows. ``versions`` are the peers'.
    """

    network: str
    date: str
    quick: bool
    machine: Machine
    conditions: Conditions | None
    versions: dict[str, str]
    tasks: tuple[Task, ...]
    samples: int
    dense: Model
    rows: tuple[Row, ...]

    def points(self) -> list["Point"]:
        """Everything that can be run."""
        return [self._point(row, row.model) for row in self.rows if row.model is not None]

    def _point(self, row: Row, model: Model) -> "Point":
        return Point(
            row=row,
            model=model,
            losses={task.name: loss(task, model.metrics, self.dense.metrics) for task in self.tasks},
            ratio=Ratio.of([mine / base for mine, base in zip(model.latency_ms, model.base_ms, strict=True)]),
        )


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A model beside the dense one: what each task loses, and the ratio of latencies."""

    row: Row
    model: Model
    losses: dict[str, float]
    ratio: Ratio

    @property
    def worst(self) -> float:
        """What the task loses that fares worst."""
        return max(self.losses.values())

    def against(self, other: "Point") -> Ratio:
        """Its latency over that of another, each seen relative to the dense model of its own rounds."""
        mine = [a / b for a, b in zip(self.model.latency_ms, self.model.base_ms, strict=True)]
        theirs = [a / b for a, b in zip(other.model.latency_ms, other.model.base_ms, strict=True)]
        return Ratio.of([a / b for a, b in zip(mine, theirs, strict=True)])


def loss(task: Task, metrics: dict[str, dict[str, float]], base: dict[str, dict[str, float]]) -> float:
    """How much worse a task's first metric is: points of a share or a score, or per cent of an error."""
    metric = task.metrics[0]
    value, before = metrics[task.name][metric.name], base[task.name][metric.name]
    if metric.unit == "error":
        return -100 * metric.gain(value, before)
    return 100 * (before - value)


def frontier(points: Iterable[Point]) -> list[Point]:
    """The points that no other beats in latency without losing more, the fastest first."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (point.ratio.median, point.worst)):
        if not kept or point.worst < kept[-1].worst:
            kept.append(point)
    return kept
