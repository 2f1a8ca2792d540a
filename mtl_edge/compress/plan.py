"""What leaves a network: blocks dropped x channels removed, each candidate timed before anything is fine-tuned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mtl_edge.compress.candidates import Candidates
from mtl_edge.compress.choose import NOISE, choose_shape, limit_of, target_of, whole_cost
from mtl_edge.compress.conflict import describe
from mtl_edge.compress.depth import demand_blocks, least_blocks, loss_changes, residual_blocks
from mtl_edge.compress.evidence import Evidence
from mtl_edge.compress.importance import rank
from mtl_edge.compress.outcome import DroppedBlock, Pruned
from mtl_edge.compress.shapes import Solved, solve
from mtl_edge.nets.bypass import bypassed, without_blocks
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.progress import spinner
from mtl_edge.recipe import PruneSpec

_DEPTHS = 4
"""So many depths are looked at beside the whole one, spread evenly where there are more blocks."""


@dataclass(frozen=True)
class Planner:
    """What a plan is made with.

    Attributes:
        spec: what is to leave, and by which importance.
        evidence: what training samples say of networks.
        weights: task -> its weight among the others.
        share: how far to go on the way from the dense network to what the recipe asks for.
    """

    spec: PruneSpec
    evidence: Evidence
    weights: Mapping[str, float]
    share: float = 1.0

    def prune(self, candidates: Candidates) -> tuple[MultiTaskNet, Pruned]:
        """The network that the recipe asks for, not fine-tuned yet, and what has left it.

        Args:
            candidates: those of the dense network, or of what earlier steps left of it; not ranked yet.

        Raises:
            ModelError: the network's channels cannot be followed, or it has fewer blocks than are to be dropped.
        """
        spec = self.spec
        whole = self._ranked(candidates)
        blocks, order = self._blocks(whole)
        if isinstance(spec.depth, int):
            chosen, dropped = self._without(whole, order), order
        else:
            chosen, dropped = self._best(whole, order) if order else (whole, ())
        shape, reached = choose_shape(spec, chosen.rankings, chosen, share=self.share)
        found = Pruned(
            importance=spec.importance,
            groups=describe(chosen.rankings, shape),
            reached=reached,
            dropped=tuple(dropped),
            blocks=len(blocks),
        )
        return chosen.narrowed(shape), found

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

    def _best(self, whole: Candidates, order: Sequence[DroppedBlock]) -> tuple[Candidates, Sequence[DroppedBlock]]:
        """With as many blocks dropped as harm the worst-off task least at the target; or the fastest of all."""
        assert self.spec.target is not None
        found: list[tuple[Candidates, Sequence[DroppedBlock], Solved]] = []
        target = target_of(self.spec.target, self.share, whole)
        with spinner(f"prune: look for {target} with fewer blocks"):
            limit = limit_of(target, whole)
            for count in _depths(len(order)):
                option = self._without(whole, order[:count])
                bare = whole_cost(option.latency, option)
                solved = solve(
                    option.rankings,
                    option.latency,
                    limit=limit,
                    round_to=self.spec.round_to,
                    whole=bare,
                    evenly=True,
                    noise=NOISE,
                )
                found.append((option, order[:count], solved))
                if bare <= limit:  # with all channels; to drop more would only cost more
                    break
            reaching = [entry for entry in found if entry[2].reached]
            if not reaching:
                chosen = min(found, key=lambda entry: entry[2].cost)
            else:
                before = self.evidence.losses(whole.net)
                chosen = min(reaching, key=lambda entry: self._harm(entry[0], entry[2], before))
        return chosen[0], chosen[1]

    def _harm(self, option: Candidates, solved: Solved, before: Mapping[str, float]) -> float:
        """How much more the worst-off task loses in a shape than in the dense network, untrained in both."""
        after = self.evidence.losses(self.evidence.renormed(option.narrowed(solved.shape)))
        return max(loss_changes(before, after).values())

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
