"""What leaves a network: blocks dropped x channels removed, each candidate timed, and the best of them tried out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mtl_edge.compress.candidates import Candidates
from mtl_edge.compress.choose import choose_shape
from mtl_edge.compress.conflict import describe
from mtl_edge.compress.depth import demand_blocks, least_blocks, loss_changes, residual_blocks
from mtl_edge.compress.evidence import Evidence
from mtl_edge.compress.importance import rank
from mtl_edge.compress.outcome import DroppedBlock, Pruned, Reached, Trialled
from mtl_edge.compress.shapes import Shape
from mtl_edge.compress.trial import Trial
from mtl_edge.nets.bypass import bypassed, without_blocks
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.progress import spinner
from mtl_edge.recipe import PruneSpec

_DEPTHS = 4
"""So many depths are looked at beside the whole one, spread evenly where there are more blocks."""


@dataclass(frozen=True)
class _Option:
    """A shape of the network without some blocks."""

    candidates: Candidates
    dropped: tuple[DroppedBlock, ...]
    shape: Shape
    reached: Reached | None

    def narrowed(self) -> MultiTaskNet:
        """A copy of the network in that shape."""
        return self.candidates.narrowed(self.shape)

    @property
    def is_wide(self) -> bool:
        """Whether it has all channels."""
        return all(self.shape[name] == ranking.channels for name, ranking in self.candidates.rankings.items())

    @property
    def near(self) -> Reached:
        """How near it is to the target, where there is one."""
        assert self.reached is not None
        return self.reached


@dataclass(frozen=True)
class Planner:
    """What a plan is made with.

    Attributes:
        spec: what is to leave, and by which importance.
        evidence: what training samples say of networks.
        weights: task -> its weight among the others.
        trial: what comes of networks in a short training.
        share: how far to go on the way from the dense network to what the recipe asks for.
    """

    spec: PruneSpec
    evidence: Evidence
    weights: Mapping[str, float]
    trial: Trial
    share: float = 1.0

    def prune(self, candidates: Candidates) -> tuple[MultiTaskNet, Pruned]:
        """The network that the recipe asks for, not fine-tuned yet, and what has left it.

        Args:
            candidates: those of the dense network, or of what earlier steps left of it; not ranked yet.

        Raises:
            ModelError: the network's channels cannot be followed, or it has fewer blocks than are to be dropped.
        """
        whole = self._ranked(candidates)
        blocks, order = self._blocks(whole)
        if self.spec.depth == "auto" and order:
            chosen, trials = self._best(whole, order)
        else:
            chosen, trials = self._option(whole, order), ()
        found = Pruned(
            importance=self.spec.importance,
            groups=describe(chosen.candidates.rankings, chosen.shape),
            reached=chosen.reached,
            dropped=chosen.dropped,
            blocks=len(blocks),
            trials=trials,
        )
        return chosen.narrowed(), found

    def _blocks(self, whole: Candidates) -> tuple[tuple[str, ...], Sequence[DroppedBlock]]:
        """The residual blocks, where the recipe lets them leave, and the order in which they would."""
        match self.spec.depth:
            case int() as count:
                blocks, gone = residual_blocks(whole.net, whole.example[:2]), len(bypassed(whole.net))
                demand_blocks(blocks, count - gone)
                count = round(self.share * count) - gone
            case "auto":
                blocks = residual_blocks(whole.net, whole.example[:2])
                count = len(blocks)
            case "off":
                return (), ()
        with spinner("prune: weigh blocks"):
            return blocks, least_blocks(whole.net, blocks, self.evidence.losses, most=count)

    def _best(self, whole: Candidates, order: Sequence[DroppedBlock]) -> tuple[_Option, tuple[Trialled, ...]]:
        """With as many blocks dropped as harm the worst-off task least at the target; or the nearest to it of all."""
        found: list[_Option] = []
        for count in _depths(len(order)):
            found.append(self._option(whole, order[:count]))
            if found[-1].near.holds and found[-1].is_wide:  # to drop more would only cost more
                break
        reaching = [option for option in found if option.near.holds]
        if len(reaching) < 2:
            return min(reaching or found, key=lambda option: option.near.ratio), ()
        before = self.trial.losses(whole.net)
        trials = []
        for option in reaching:
            count = len(option.dropped)
            after = self.trial.losses_after(option.narrowed(), f"prune: try {count} of {len(order)} blocks dropped")
            trials.append(Trialled(blocks=count, ratio=option.near.ratio, losses=loss_changes(before, after)))
        best, _ = min(zip(reaching, trials, strict=True), key=lambda pair: pair[1].worst)
        return best, tuple(trials)

    def _option(self, whole: Candidates, dropped: Sequence[DroppedBlock]) -> _Option:
        """What the recipe asks for, without some blocks."""
        option = self._without(whole, dropped)
        shape, reached = choose_shape(self.spec, option.rankings, option, share=self.share)
        return _Option(option, tuple(dropped), shape, reached)

    def _without(self, whole: Candidates, dropped: Sequence[DroppedBlock]) -> Candidates:
        """Those of the network without some blocks: its channels are ranked anew."""
        if not dropped:
            return whole
        return self._ranked(whole.thinner(without_blocks(whole.net, [block.name for block in dropped])))

    def _ranked(self, candidates: Candidates) -> Candidates:
        """The same with the worth of each channel."""
        spec = self.spec
        if spec.target is None and spec.ratio == 0:  # then the network need not be such as can be pruned
            return candidates
        rankings = rank(
            candidates.net,
            candidates.example[:2],
            self.evidence.gradients(candidates.net),
            measure=spec.importance,
            across=spec.across,
            weights=self.weights,
        )
        return replace(candidates, rankings=rankings)


def _depths(blocks: int) -> list[int]:
    """How many blocks to drop: from none to all."""
    most = min(blocks, _DEPTHS)
    return sorted({round(blocks * step / most) for step in range(most + 1)})
