"""Losses become gradients as the methods' papers say: torchjd's word for it, our wiring."""

import math
from collections.abc import Callable
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor, nn
from torchjd.aggregation import Sum

from mtl_edge.data.splits import Splits
from mtl_edge.errors import MissingExtraError, RecipeError
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.recipe import TrainSpec
from mtl_edge.recipe.balance import METHODS
from mtl_edge.train import methods
from mtl_edge.train.balance import Aggregated, Balance, DoubleSampled, make_balance
from mtl_edge.train.distributed import ALONE
from mtl_edge.train.learner import Learner

NEEDS = {
    "upgrad": "quadprog",
    "dualproj": "quadprog",
    "cagrad": "cvxpy",
    "nash-mtl": "ecos",
    "fairgrad": "scipy",
}
OPTIONS = {"trimmed-mean": {"trim": 0}}
MakeNet = Callable[[], MultiTaskNet]


def _balance(found: object, learner: Learner, **weights: float) -> Balance:
    return make_balance(TrainSpec(balance=found, weights=weights), learner.tasks)  # type: ignore[arg-type]


def _losses(net: MultiTaskNet, learner: Learner, splits: Splits) -> list[Tensor]:
    part = slice(0, 64)
    return list(learner.losses(net(learner.inputs(splits.train, part)), learner.labels(splits.train, part)).values())


def _gradients(balance: Balance, net: MultiTaskNet, learner: Learner, splits: Splits) -> list[Tensor]:
    net.zero_grad()
    losses = [loss for _ in range(balance.batches) for loss in _losses(net, learner, splits)]
    balance.backward(losses, list(net.parameters()), ALONE, seed=1)
    return [parameter.grad for parameter in net.parameters() if parameter.grad is not None]


def _differ(a: list[Tensor], b: list[Tensor]) -> float:
    """The largest difference, as a share of the largest gradient."""
    return max(float((x - y).abs().max()) for x, y in zip(a, b, strict=True)) / max(float(x.abs().max()) for x in a)


def test_the_sum_of_the_jacobian_is_the_plain_gradient(learner: Learner, splits: Splits, make_net: MakeNet) -> None:
    """Within rounding, for shared parameters and for those of one task."""
    net = make_net()
    weights = torch.tensor([0.5, 2.0])
    plain = _gradients(Balance(weights), net, learner, splits)
    assert _differ(_gradients(Aggregated(weights, Sum()), net, learner, splits), plain) < 1e-6


@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem that is not DPP")  # Nash-MTL
def test_every_method_that_is_installed_gives_finite_gradients(
    learner: Learner, splits: Splits, make_net: MakeNet
) -> None:
    """All names of the recipe, step after step, with the state of the first steps brought to a fresh method."""
    for name in METHODS:
        if name == "krum" or (name in NEEDS and find_spec(NEEDS[name]) is None):  # krum is for three tasks and more
            continue
        net = make_net()
        spec = {"name": name, **OPTIONS.get(name, {})}
        balance, other = _balance(spec, learner), _balance(spec, learner)

        def again(net: MultiTaskNet = net) -> Tensor:
            return torch.stack(_losses(net, learner, splits)).detach() * 0.9

        for epoch in range(3):
            gradients = _gradients(balance, net, learner, splits)
            assert len(gradients) == len(list(net.parameters())), name
            assert all(map(torch.isfinite, [g.abs().sum() for g in gradients])), name
            balance.after_step(again)
            balance.after_epoch()
            if epoch == 1:
                other.restore(balance.state())
        assert _differ(gradients, _gradients(other, net, learner, splits)) == 0, name


def test_fixed_weights_are_factors_of_the_losses(learner: Learner, splits: Splits, make_net: MakeNet) -> None:
    """A task that weighs nothing has no say, and the reported losses stay those of the tasks."""
    net = make_net()
    losses = _losses(net, learner, splits)
    balance = _balance("equal", learner, bright=0.0, level=2.0)
    values = balance.backward(losses, list(net.parameters()), ALONE, seed=1)
    assert torch.equal(values, torch.stack(losses))
    assert all(not head.grad.any() for head in net.heads[0].parameters())  # type: ignore[union-attr]
    weighted = [parameter.grad.clone() for parameter in net.sharing.parameters()]  # type: ignore[union-attr]
    net.zero_grad()
    (2 * _losses(net, learner, splits)[1]).backward()  # type: ignore[no-untyped-call]
    assert _differ(weighted, [parameter.grad for parameter in net.sharing.parameters()]) < 1e-6  # type: ignore[misc]


@pytest.mark.parametrize("name", ["uw", "stch", "gls", "dwa"])
def test_a_scalarization_has_the_gradient_of_its_value(
    learner: Learner, splits: Splits, make_net: MakeNet, name: str
) -> None:
    """The same as backward through the method, which autograd computes in one go."""
    net = make_net()
    found = _gradients(_balance(name, learner), net, learner, splits)
    net.zero_grad()
    method = methods.make_method(TrainSpec(balance=name).balancing, 2)  # type: ignore[arg-type]
    method(torch.stack(_losses(net, learner, splits))).backward()
    assert _differ(found, [parameter.grad for parameter in net.parameters()]) < 1e-6  # type: ignore[misc]


def test_what_a_method_trains_gets_gradients(learner: Learner, splits: Splits, make_net: MakeNet) -> None:
    """UW and IMTL-L have one number per task for the optimizer; FAMO learns its own by itself."""
    for name in ("uw", "imtl-l"):
        balance = _balance(name, learner)
        _gradients(balance, make_net(), learner, splits)
        (trained,) = balance.trained
        assert trained.shape == (2,)
        assert trained.grad is not None
        assert trained.grad.any()
    assert _balance("famo", learner).trained == []


class _Islands(nn.Module):
    """One parameter for both tasks, one for each."""

    def __init__(self) -> None:
        super().__init__()
        self.both, self.first, self.second = (nn.Parameter(torch.tensor([value])) for value in (1.0, 2.0, 3.0))


def test_only_shared_parameters_are_aggregated() -> None:
    """Conflicting tasks: MGDA stops the shared parameter, while each task's own goes its way."""
    net = _Islands()
    losses = [(net.both * net.first).sum(), (-net.both * 2 + net.second).sum()]
    balance = Aggregated(torch.ones(2), methods.make_method(TrainSpec(balance="mgda").balancing, 2))  # type: ignore[arg-type]
    balance.backward(losses, list(net.parameters()), ALONE, seed=1)
    gradients = [float(parameter.grad) for parameter in (net.both, net.first, net.second)]  # type: ignore[arg-type]
    assert gradients == pytest.approx([0.0, 1.0, 1.0], abs=1e-3)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"name": "stch", "weights": [1, 2, 3]}, r"'stch' cannot balance 2 tasks so: .*same shape"),
        ({"name": "trimmed-mean"}, r"'trimmed-mean' cannot balance 2 tasks so: .*at least 3 rows"),
        ({"name": "krum"}, r"'krum' cannot balance 2 tasks so: .*at least 3 rows"),
        ({"name": "aligned-mtl", "preference": [1]}, r"'aligned-mtl' cannot balance 2 tasks so"),
    ],
)
def test_options_that_do_not_fit_the_tasks_are_refused(learner: Learner, found: object, message: str) -> None:
    """Before any training, in one line."""
    with pytest.raises(RecipeError, match=message) as caught:
        _balance(found, learner)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NEEDS)
def test_a_missing_package_is_named_with_its_extra(
    learner: Learner, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Before any training: what is missing, and the command that installs it."""
    monkeypatch.setattr("torchjd._mixins.find_spec", lambda package: None)
    with pytest.raises(MissingExtraError, match=rf"'{name}'.*{NEEDS[name]}.*pip install 'mtl-edge\[balancing\]'"):
        _balance(name, learner)


def test_dwa_gives_more_weight_to_the_loss_that_falls_more_slowly(learner: Learner) -> None:
    """From the third epoch on, by the losses of the two before."""
    balance = _balance("dwa", learner)
    parameter = nn.Parameter(torch.ones(2))
    for falling in (1.0, 0.5, 0.25):
        parameter.grad = None
        balance.backward([parameter[0] * 1.0, parameter[1] * falling], [parameter], ALONE, seed=0)
        balance.after_epoch()
    assert parameter.grad is not None
    first, second = parameter.grad.tolist()
    assert first / (second / 0.25) == pytest.approx(math.exp((1.0 - 0.5) / 2))


class _Weights(nn.Module):
    """In place of torchjd's: it keeps what it was given, and says how much each task counts."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Tensor] = []

    def forward(self, products: Tensor) -> Tensor:
        self.given.append(products)
        return torch.tensor([0.25, 0.75])


@pytest.mark.parametrize(
    ("batches", "expected"), [(2, [0.25 * 2 + 0.75 * 7, 0.75 * 2]), (3, [0.25 * 10 + 0.75 * 40, 0.0])]
)
def test_weights_come_from_two_batches_and_the_step_from_their_mean_or_a_third(
    batches: int, expected: list[float]
) -> None:
    """By hand, with losses that are linear in two parameters."""
    shared, own = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    losses = [shared * 1, shared * 6 + own, shared * 3, shared * 8 + own * 3, shared * 10, shared * 40]
    method = _Weights()
    balance = DoubleSampled(torch.ones(2), method, batches=batches)  # type: ignore[arg-type]
    values = balance.backward([loss.sum() for loss in losses[: 2 * batches]], [shared, own], ALONE, seed=0)
    assert method.given[0].tolist() == [[3, 8], [18, 51]]
    assert [0.0 if part.grad is None else float(part.grad) for part in (shared, own)] == pytest.approx(expected)
    assert values.tolist() == pytest.approx([2, 9] if batches == 2 else [14 / 3, 58 / 3])
