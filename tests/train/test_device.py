"""Tests of :mod:`mtl_edge.train.device`."""

import torch

from mtl_edge.train.device import seed_chance


def test_chance_on_the_cpu_is_that_of_torch_with_the_same_seed() -> None:
    """Trainings of earlier versions, which called torch, are repeated bit by bit."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        expected = torch.rand(5)
        seed_chance(torch.device("cpu"), 7)
        assert torch.equal(torch.rand(5), expected)
