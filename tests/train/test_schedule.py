"""Learning rates rise and fall as the recipe says."""

import itertools

import pytest
import torch
from torch import nn

from mtl_edge.recipe import TrainSpec
from mtl_edge.train.schedule import make_optimizer, make_schedule


def _rates(steps: int, **given: object) -> list[float]:
    spec = TrainSpec(learning_rate=1.0, **given)  # type: ignore[arg-type]
    optimizer = make_optimizer(spec, nn.Linear(1, 1), [])
    schedule = make_schedule(spec, optimizer, steps)
    rates = []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize("name", ["one-cycle", "cosine", "constant"])
def test_the_rate_rises_in_the_warm_up_to_its_highest(name: str) -> None:
    """Given as a share or as epochs, it is the same."""
    rates = _rates(100, schedule=name, warmup=0.2)
    assert rates == _rates(100, schedule=name, warmup_epochs=2.0, epochs=10)
    peak = rates.index(max(rates))
    assert 18 <= peak <= 20
    assert max(rates) == pytest.approx(1.0, rel=0.01)
    assert all(a < b for a, b in itertools.pairwise(rates[: peak + 1]))
    after = list(itertools.pairwise(rates[peak:]))
    assert all(a == b for a, b in after) if name == "constant" else all(a > b for a, b in after)
    assert rates[-1] < 0.01 or name == "constant"


def test_any_number_of_steps_will_do() -> None:
    """Trainings of a step or two, and warm-ups of none or all of it."""
    for name, steps, share in itertools.product(
        ("one-cycle", "cosine", "constant"), range(1, 8), (0.0, 0.25, 0.3, 0.5, 1.0)
    ):
        rates = _rates(steps, schedule=name, warmup=share)
        assert len(rates) == steps
        assert all(0 <= rate <= 1 for rate in rates)


def test_the_momentum_of_sgd_stays_what_the_recipe_says() -> None:
    """One-cycle moves the betas of AdamW only."""
    spec = TrainSpec(optimizer="sgd", momentum=0.7)
    optimizer = make_optimizer(spec, nn.Linear(1, 1), [])
    schedule = make_schedule(spec, optimizer, 10)
    for _ in range(9):
        optimizer.step()
        schedule.step()
        assert optimizer.param_groups[0]["momentum"] == 0.7


def test_what_a_method_trains_does_not_decay() -> None:
    """Weights of tasks are no weights of the network."""
    extra = nn.Parameter(torch.zeros(2))
    optimizer = make_optimizer(TrainSpec(), nn.Linear(1, 1), [extra])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.05, 0.0]


@pytest.mark.parametrize("name", ["adamw", "sgd"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_step_does_not_depend_on_how_a_gradient_lies_in_memory(name: str, layout: torch.memory_format) -> None:
    """Weights are channels-last; a balancing method's gradients may be so, or not."""
    torch.manual_seed(0)
    net = nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    before, gradient = net.weight.detach().clone(), torch.randn(8, 4, 3, 3)
    net.weight.grad = gradient.clone(memory_format=layout)
    optimizer = make_optimizer(TrainSpec(optimizer=name, weight_decay=0.0), net, [])  # type: ignore[arg-type]
    optimizer.step()
    # The first step of both goes against the sign of the gradient.
    assert torch.equal((net.weight - before).sign(), -gradient.sign())
