"""Multi-gate mixture of experts (Ma et al. 2018, doi:10.1145/3219819.3220007)."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from mtl_edge.nets.sharing.mixing import Gates, LazyMaps, Mixture
from mtl_edge.nets.trunks.base import Features, Trunk


class MMoESharing(nn.Module):
    """One stem; experts with the stages of a trunk each; for each task a gate that weighs the experts.

    The gates read the stem's pooled map, so the stem is the input that all experts have in common. A task's vector is
    the weighted sum of the experts' vectors, and each of its maps that of their maps.
    """

    def __init__(self, make_trunk: Callable[[], Trunk], tasks: int, experts: int) -> None:
        super().__init__()
        trunks = [make_trunk() for _ in range(experts)]
        self.stem = trunks[0].stem
        self.pool = trunks[0].pool
        self.experts = nn.ModuleList(trunk.stages for trunk in trunks)
        self.mixture = Mixture()
        self.gates = Gates(trunks[0].channels[0], [range(experts)] * tasks, experts)

    def forward(self, x: Tensor) -> list[Features]:
        """A batch of inputs -> the features of each task."""
        first: Tensor = self.stem(x)
        weights: Tensor = self.gates(self.pool(first))
        stages: list[list[Tensor]] = []  # the maps of all experts after each stage
        maps = [first] * len(self.experts)
        for layers in zip(*self.experts, strict=True):
            maps = [layer(x) for layer, x in zip(layers, maps, strict=True)]
            stages.append(maps)
        vectors = self.mixture(weights, [self.pool(found) for found in maps])

        def map_of(task: int, maps: list[Tensor]) -> Tensor:
            found: tuple[Tensor] = self.mixture(weights[:, task : task + 1], maps)
            return found[0]

        return [
            Features(LazyMaps([lambda: first, *(partial(map_of, task, maps) for maps in stages)]), vector)
            for task, vector in enumerate(vectors)
        ]
