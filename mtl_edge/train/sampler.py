"""The order of the samples: a function of seed and epoch alone, so that a training can go on in the middle of one."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sampler:
    """Batches of positions.

    Attributes:
        count: number of samples.
        batch_size: samples of one step, over all processes.
        seed: another seed, another order.
        groups: the source of each sample ``(N,)``, to draw from each equally often; None draws every sample once.
        most: how many batches an epoch has at most; None sets no limit.
    """

    count: int
    batch_size: int
    seed: int
    groups: np.ndarray | None = None
    most: int | None = None

    @property
    def steps(self) -> int:
        """Batches of one epoch; a lone last sample is left out: batch norm cannot normalise one value."""
        steps = -(-self.count // self.batch_size) - (self.count % self.batch_size == 1)
        return steps if self.most is None else min(steps, self.most)

    @property
    def drawn(self) -> int:
        """Samples of one epoch."""
        return min(self.count, self.steps * self.batch_size)

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """The batches of one epoch, in their order."""
        rng = np.random.default_rng((self.seed, epoch))
        order = rng.permutation(self.count) if self.groups is None else self._balanced(self.groups, rng)
        return np.split(order, range(self.batch_size, self.count, self.batch_size))[: self.steps]

    def _balanced(self, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """As many samples as there are, equally many of each group; none of a group twice before each of it once."""
        members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
        shares = [len(part) for part in np.array_split(np.arange(self.count), len(members))]
        drawn = [
            np.concatenate([rng.permutation(of) for _ in range(-(-share // len(of)))])[:share]
            for of, share in zip(members, shares, strict=True)
        ]
        return rng.permutation(np.concatenate(drawn))
