"""The order of samples follows from seed and epoch, and covers what it should."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mtl_edge.train.distributed import Ranks
from mtl_edge.train.sampler import Sampler


@given(st.integers(2, 300), st.integers(2, 64), st.integers(0, 2**32 - 1), st.integers(0, 100))
def test_an_epoch_has_each_sample_once_but_for_a_lone_last_one(
    count: int, batch_size: int, seed: int, epoch: int
) -> None:
    """Batches are full except the last, and none has a single sample."""
    sampler = Sampler(count, batch_size, seed)
    batches = sampler.epoch(epoch)
    drawn = np.concatenate(batches)
    assert len(batches) == sampler.steps
    assert len(np.unique(drawn)) == len(drawn) == sampler.drawn == count - (count % batch_size == 1)
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert len(batches[-1]) > 1


def test_epochs_and_seeds_differ_and_repeat() -> None:
    """The same pair gives the same order, without the epochs before it."""
    orders = {(seed, epoch): np.concatenate(Sampler(50, 8, seed).epoch(epoch)) for seed in (0, 1) for epoch in (0, 1)}
    assert len({order.tobytes() for order in orders.values()}) == 4
    assert (np.concatenate(Sampler(50, 8, 1).epoch(1)) == orders[1, 1]).all()


@given(st.integers(2, 300), st.integers(2, 64), st.integers(1, 8))
def test_an_epoch_ends_after_as_many_batches_as_it_may_have(count: int, batch_size: int, most: int) -> None:
    """They are the first of those that it would have."""
    whole, part = Sampler(count, batch_size, 0), Sampler(count, batch_size, 0, most=most)
    batches = part.epoch(3)
    assert len(batches) == part.steps == min(most, whole.steps)
    assert all((one == other).all() for one, other in zip(batches, whole.epoch(3), strict=False))
    assert part.drawn == sum(map(len, batches))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(0, 1000))
def test_balanced_sampling_draws_equally_from_each_source(sizes: list[int], seed: int) -> None:
    """Counts differ by one at most, and no sample comes twice more often than another of its source."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    if len(groups) < 2:
        return
    batch_size = len(groups) + 1
    drawn = np.concatenate(Sampler(len(groups), batch_size, seed, groups).epoch(0))
    counts = np.bincount(groups[drawn], minlength=len(sizes))
    assert len(drawn) == len(groups)
    assert counts.max() - counts.min() <= 1
    times = np.bincount(drawn, minlength=len(groups))
    for group in range(len(sizes)):
        of = times[groups == group]
        assert of.max() - of.min() <= 1


@given(st.integers(1, 64), st.integers(1, 9))
def test_processes_share_a_batch_without_overlap(size: int, processes: int) -> None:
    """All of it, in its order, in parts that differ by one at most."""
    batch = np.arange(size)
    parts = [batch[Ranks(rank, processes).share(batch)] for rank in range(processes)]
    assert (np.concatenate(parts) == batch).all()
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
