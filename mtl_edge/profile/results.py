"""What a profile found: every node that ONNX Runtime really runs, what it costs, and which tasks need it."""

import statistics
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

Samples = tuple[float, ...]
Precision = Literal["int8", "float", "boundary", "neutral"]


class GraphNode(msgspec.Struct, frozen=True, kw_only=True):
    """One node of the graph that is left when ONNX Runtime has optimized it.

    Attributes:
        name: the graph's own; where it has none, the operator and a number.
        op_type: its operator.
        layer: name of the node that it works for: its own, or, of what only converts or moves values, that of the node
            which reads them.
        part: ``trunk``, which all tasks need; ``shared (left, sum)``, which some do; or the one task that needs it.
        serves: the tasks that need it.
        precision: ``int8``, ``float``, ``boundary`` (it converts between the two) or ``neutral`` (it moves values).
        reason: why it stayed in float beside quantized tensors; empty where there is nothing to explain.
        weight_bytes: of the constants that it reads, each counted at the first node that reads it.
    """

    name: str
    op_type: str
    layer: str = ""
    part: str = ""
    serves: tuple[str, ...] = ()
    precision: Precision = "float"
    reason: str = ""
    weight_bytes: int = 0


class ProfiledNode(GraphNode, frozen=True, kw_only=True):
    """The same with what it takes.

    Attributes:
        ms: its part of the model's latency.
        profiled_ms: as ONNX Runtime's profiler says; it slows each node down.
        output_bytes: of all that it computes in one run.
    """

    ms: float
    profiled_ms: float
    output_bytes: int


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What several nodes cost together; ``ms`` and ``output_bytes`` are None where nothing was timed."""

    name: str
    nodes: int
    weight_bytes: int
    ms: float | None = None
    output_bytes: int | None = None


class Breakdown(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes in the order in which they run, and their costs together, the most expensive first."""

    nodes: tuple[GraphNode, ...]

    @property
    def by_op_type(self) -> tuple[Cost, ...]:
        """Operators."""
        return total_costs(self.nodes, lambda node: node.op_type)

    @property
    def by_layer(self) -> tuple[Cost, ...]:
        """Layers with what converts or moves values for them."""
        return total_costs(self.nodes, lambda node: node.layer)

    @property
    def by_part(self) -> tuple[Cost, ...]:
        """The trunk, what some tasks share, and each task's head."""
        return total_costs(self.nodes, lambda node: node.part)

    @property
    def by_precision(self) -> tuple[Cost, ...]:
        """What runs in int8, in float, converts or moves."""
        return total_costs(self.nodes, lambda node: node.precision)


class TaskCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one task costs.

    Attributes:
        name: of the task; of its output where the model has no manifest.
        head_ms: latency of the nodes that no other task needs, by the profile.
        head_weight_bytes: their constants.
        saved_ms: round by round, what the latency of the whole model is above that of the model without this task,
            which was really cut and measured in turn with it; empty where it was not.
        saved_bytes: by how much the file without this task is smaller; None where it was not cut.
    """

    name: str
    head_ms: float
    head_weight_bytes: int
    saved_ms: Samples = ()
    saved_bytes: int | None = None

    @property
    def marginal_ms(self) -> float | None:
        """Median of what dropping the task saves; None where it was not measured."""
        return statistics.median(self.saved_ms) if self.saved_ms else None

    @property
    def marginal_range_ms(self) -> tuple[float, float] | None:
        """The middle half of the rounds."""
        if len(self.saved_ms) < 2:
            return None
        low, _, high = statistics.quantiles(self.saved_ms, n=4, method="inclusive")
        return low, high


class Profile(Breakdown, frozen=True, kw_only=True):
    """Where the time of one model goes on this box.

    Attributes:
        path: the model.
        file_bytes: its size.
        threads, inputs: how it was run.
        latency_ms: of single runs without the profiler, each in turn with one under it.
        profiled_ms: median of the time that nodes take in one run under the profiler.
        nodes: in the order in which they run; without the package onnx, only with name, operator and time.
        tasks: in the order of the model's outputs; empty without the package onnx.
        remark: why something is missing, or empty.
    """

    path: str
    file_bytes: int
    threads: int
    inputs: str
    latency_ms: Samples
    profiled_ms: float
    nodes: tuple[ProfiledNode, ...]
    tasks: tuple[TaskCost, ...] = ()
    remark: str = ""

    @property
    def runs(self) -> int:
        """How often it was run each way."""
        return len(self.latency_ms)

    @property
    def median_ms(self) -> float:
        """Median latency: what the nodes' ``ms`` add up to, or a little less: the rest is the call itself."""
        return statistics.median(self.latency_ms)


class Profiles(msgspec.Struct, frozen=True, kw_only=True):
    """The models that could be profiled; and of the others why not, in a line."""

    found: tuple[Profile, ...] = ()
    failures: tuple[str, ...] = ()


def total_costs(nodes: Iterable[GraphNode], key: Callable[[GraphNode], str]) -> tuple[Cost, ...]:
    """Add up the nodes that have the same key, the most expensive first: by time, where there is one, then by bytes."""
    groups: dict[str, list[GraphNode]] = {}
    for node in nodes:
        groups.setdefault(key(node), []).append(node)
    costs = [_total(name, members) for name, members in groups.items()]
    return tuple(sorted(costs, key=lambda cost: (-(cost.ms or 0.0), -cost.weight_bytes)))


def _total(name: str, members: list[GraphNode]) -> Cost:
    timed = [node for node in members if isinstance(node, ProfiledNode)]
    return Cost(
        name=name,
        nodes=len(members),
        weight_bytes=sum(node.weight_bytes for node in members),
        ms=sum(node.ms for node in timed) if timed else None,
        output_bytes=sum(node.output_bytes for node in timed) if timed else None,
    )
