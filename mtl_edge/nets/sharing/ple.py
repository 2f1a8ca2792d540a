"""Progressive layered extraction (Tang et al. 2020, doi:10.1145/3383313.3412236)."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from mtl_edge.nets.sharing.mixing import Gates, LazyMaps, Mixture
from mtl_edge.nets.trunks.base import Features, Trunk


class PLESharing(nn.Module):
    """One stem, then a level for each stage of the trunk, with experts of each task and experts that all share.

    Args:
        make_trunk: every expert is one stage of a fresh one.
        tasks: number of tasks.
        shared_experts: experts of each level that every task reads.
        task_experts: experts of each level that one task alone reads, for each task.
    """

    def __init__(self, make_trunk: Callable[[], Trunk], tasks: int, shared_experts: int, task_experts: int) -> None:
        super().__init__()
        trunks = [make_trunk() for _ in range(tasks * task_experts + shared_experts)]
        self.stem = trunks[0].stem
        self.pool = trunks[0].pool
        self.mixture = Mixture()
        depth = len(trunks[0].stages)
        self.levels = nn.ModuleList(
            Level(
                [trunk.stages[level] for trunk in trunks],
                trunks[0].channels[level],
                tasks,
                shared_experts,
                first=level == 0,
                last=level == depth - 1,
            )
            for level in range(depth)
        )

    def forward(self, x: Tensor) -> list[Features]:
        """A batch of inputs -> the features of each task."""
        *levels, last = self.levels
        flows: list[tuple[Tensor, ...]] = [(self.stem(x),)]
        for level in levels:
            weights, found = level(flows[-1], [self.pool(flow) for flow in flows[-1]])
            flows.append(self.mixture(weights, found))
        weights, found = last(flows[-1], [self.pool(flow) for flow in flows[-1]])
        # Nothing but dense heads reads the last maps, so the vectors are mixed instead, which are smaller.
        vectors = self.mixture(weights, [self.pool(expert) for expert in found])

        def map_of(task: int, level: int) -> Tensor:
            if level < len(flows):
                return flows[level][task if level else 0]
            mixed: tuple[Tensor] = self.mixture(weights[:, task : task + 1], found)
            return mixed[0]

        return [
            Features(LazyMaps([partial(map_of, task, level) for level in range(len(flows) + 1)]), vector)
            for task, vector in enumerate(vectors)
        ]


class Level(nn.Module):
    """The experts of one level and what weighs them.

    The flows that it reads are one for each task and a shared one; before the first level they are all the same one.
    A task's gate weighs the task's own experts and the shared ones, the shared flow's gate weighs all; after the last
    level nobody reads the shared flow, so it has no gate.
    """

    def __init__(
        self, experts: list[nn.Module], channels: int, tasks: int, shared: int, *, first: bool, last: bool
    ) -> None:
        super().__init__()
        own = (len(experts) - shared) // tasks
        self.experts = nn.ModuleList(experts)
        owners = [task for task in range(tasks) for _ in range(own)] + [tasks] * shared
        self.sources = [0] * len(experts) if first else owners
        common = range(tasks * own, len(experts))
        reads = [[*range(task * own, (task + 1) * own), *common] for task in range(tasks)]
        self.gates = Gates(channels, reads if last else [*reads, range(len(experts))], len(experts), separate=not first)

    def forward(self, flows: tuple[Tensor, ...], vectors: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Flows and their vectors -> weights ``(N, tasks [+ 1], experts)``, and the experts' maps."""
        found = [expert(flows[source]) for expert, source in zip(self.experts, self.sources, strict=True)]
        weights: Tensor = self.gates(*vectors[: len(self.gates.layers)])
        return weights, found
