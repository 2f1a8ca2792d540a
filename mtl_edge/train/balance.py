"""From one loss per task to one gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mtl_edge.errors import needs_extra
from mtl_edge.recipe import TrainSpec
from mtl_edge.recipe.balance import Equal, MoDo
from mtl_edge.tasks import Task
from mtl_edge.train import balance_state
from mtl_edge.train.device import seed_chance
from mtl_edge.train.distributed import Ranks

if TYPE_CHECKING:
    from torchjd.aggregation import Aggregator, Weighting
    from torchjd.scalarization import Scalarizer


def make_balance(spec: TrainSpec, tasks: Sequence[Task]) -> Balance:
    """What the recipe says.

    Raises:
        RecipeError: options that do not fit the tasks.
        MissingExtraError: a package that the method needs is not installed.
    """
    weights = torch.tensor([spec.weights.get(task.name, 1.0) for task in tasks])
    method = spec.balancing
    if isinstance(method, Equal):
        return Balance(weights)
    with needs_extra("balancing"):
        from torchjd.aggregation import Aggregator
        from torchjd.scalarization import IMTLL, UW, Scalarizer

        from mtl_edge.train.methods import make_method
    made = make_method(method, len(tasks))
    match made:
        case Scalarizer():
            return Scalarized(weights, made, list(made.parameters()) if isinstance(made, UW | IMTLL) else [])
        case Aggregator():
            return Aggregated(weights, made)
        case _:
            return DoubleSampled(weights, made, batches=2 if isinstance(method, MoDo) else 3)


@dataclass
class Balance:
    """Losses times fixed weights, added up.

    Attributes:
        weights: one for each task.
        trained: what a method has for the optimizer to learn.
        batches: how many independent batches a step needs: into so many parts is a batch of the recipe cut.
    """

    weights: Tensor
    trained: list[nn.Parameter] = field(default_factory=list, kw_only=True)
    batches: int = field(default=1, kw_only=True)

    def backward(self, losses: Sequence[Tensor], parameters: Sequence[nn.Parameter], ranks: Ranks, seed: int) -> Tensor:
        """Give each parameter its gradient, the same in all processes.

        Args:
            losses: this process's share of each task's loss, where there are several batches of one after the other.
            parameters: those of the network.
            ranks: the processes.
            seed: where a method's chance comes from.

        Returns:
            The losses of the whole batch.
        """
        stacked = torch.stack(list(losses))
        (stacked * self.weights.to(stacked.device)).sum().backward()  # type: ignore[no-untyped-call]
        ranks.total_of_each([part.grad for part in parameters if part.grad is not None])
        return ranks.total(stacked.detach())

    def after_step(self, losses_again: Callable[[], Tensor]) -> None:
        """The step is done; ``losses_again()`` are the losses of the same batch after it."""

    def after_epoch(self) -> None:
        """The epoch is done."""

    def state(self) -> dict[str, object]:
        """What must be kept to go on later: plain values and tensors."""
        return {}

    def restore(self, state: Mapping[str, object]) -> None:
        """Go on from what :meth:`state` gave."""


class Scalarized(Balance):
    """Losses combined by a method into one."""

    def __init__(self, weights: Tensor, method: Scalarizer, trained: list[nn.Parameter]) -> None:
        from torchjd.scalarization import DWA, FAMO, GeometricMean, Random

        super().__init__(weights, trained=trained)
        self.method = method
        self._dwa = method if isinstance(method, DWA) else None
        self._famo = method if isinstance(method, FAMO) else None
        self._any_number = isinstance(method, GeometricMean | Random)

    def backward(self, losses: Sequence[Tensor], parameters: Sequence[nn.Parameter], ranks: Ranks, seed: int) -> Tensor:
        """First the method at the losses of the whole batch, then one pass with what each loss counts there."""
        stacked = torch.stack(list(losses))
        values = ranks.total(stacked.detach().clone())
        leaf = (values.cpu() * self.weights).requires_grad_()
        seed_chance(leaf.device, seed)
        # A task without a label in this batch has a loss of 0, which has no logarithm.
        combined = self.method(leaf[leaf > 0] if self._any_number and bool((leaf > 0).any()) else leaf)
        combined.backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        stacked.backward((leaf.grad * self.weights).to(stacked.device))  # type: ignore[no-untyped-call]
        ranks.total_of_each([part.grad for part in parameters if part.grad is not None])
        return values

    def after_step(self, losses_again: Callable[[], Tensor]) -> None:
        """FAMO learns from what the step has done."""
        if self._famo is not None:
            self._famo.update(losses_again().cpu() * self.weights)

    def after_epoch(self) -> None:
        """DWA compares epochs."""
        if self._dwa is not None:
            self._dwa.step()

    def state(self) -> dict[str, object]:
        """The method's own."""
        return balance_state.state_of(self.method)

    def restore(self, state: Mapping[str, object]) -> None:
        """The method's own."""
        balance_state.restore(self.method, state)


class Aggregated(Balance):
    """The tasks' gradients of the shared parameters combined by a method (Jacobian descent, arXiv:2406.16232)."""

    def __init__(self, weights: Tensor, method: Aggregator) -> None:
        super().__init__(weights)
        self.method = method

    def backward(self, losses: Sequence[Tensor], parameters: Sequence[nn.Parameter], ranks: Ranks, seed: int) -> Tensor:
        """One pass for each task; a parameter that only one task's loss reaches has that task's gradient."""
        from torchjd.autojac import jac_to_grad

        weighted = [loss * weight for loss, weight in zip(losses, self.weights.tolist(), strict=True)]
        rows = [torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True) for loss in weighted]
        shared: list[nn.Parameter] = []
        found: list[Tensor] = []
        for parameter, column in zip(parameters, zip(*rows, strict=True), strict=True):
            given = [row for row in column if row is not None]
            if len(given) > 1:
                jacobian = torch.stack([torch.zeros_like(parameter) if row is None else row for row in column])
                parameter.jac = jacobian  # type: ignore[attr-defined]  # torchjd's name for it
                shared.append(parameter)
                found.append(jacobian)
            elif given:
                parameter.grad = given[0]
                found.append(given[0])
        ranks.total_of_each(found)
        if shared:
            seed_chance(shared[0].device, seed)
            jac_to_grad(shared, self.method)
        return ranks.total(torch.stack([loss.detach() for loss in losses]))

    def state(self) -> dict[str, object]:
        """The method's own."""
        return balance_state.state_of(self.method)

    def restore(self, state: Mapping[str, object]) -> None:
        """The method's own."""
        balance_state.restore(self.method, state)


class DoubleSampled(Balance):
    """Tasks weighed by the products of their gradients in independent batches, which one batch alone would bias."""

    def __init__(self, weights: Tensor, method: Weighting[Any], batches: int) -> None:
        super().__init__(weights, batches=batches)
        self.method = method

    def backward(self, losses: Sequence[Tensor], parameters: Sequence[nn.Parameter], ranks: Ranks, seed: int) -> Tensor:
        """The weights come from the first two batches; the step is that of the third, or the mean of those two."""
        count = len(self.weights)
        first, second, *others = (losses[start : start + count] for start in range(0, len(losses), count))
        jacobians = [self._jacobian(batch, parameters) for batch in (first, second)]
        ranks.total_of_each(jacobians)
        found = self.method(jacobians[0] @ jacobians[1].T)
        if others:
            combined = torch.stack([*others[0]]) * self.weights.to(found.device)
            combined.backward(found)  # type: ignore[no-untyped-call]
            ranks.total_of_each([part.grad for part in parameters if part.grad is not None])
        else:
            flat = found @ ((jacobians[0] + jacobians[1]) / 2)
            for parameter, part in zip(
                parameters, torch.split(flat, [part.numel() for part in parameters]), strict=True
            ):
                parameter.grad = part.reshape(parameter.shape)
        return ranks.total(torch.stack([loss.detach() for loss in losses]).reshape(-1, count).mean(dim=0))

    def _jacobian(self, losses: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> Tensor:
        """Each task's gradient of all parameters ``(tasks, P)``."""
        rows = []
        for loss, weight in zip(losses, self.weights.tolist(), strict=True):
            row = torch.autograd.grad(loss * weight, parameters, retain_graph=True, allow_unused=True)
            parts = zip(parameters, row, strict=True)
            rows.append(
                torch.cat([(torch.zeros_like(own) if part is None else part).reshape(-1) for own, part in parts])
            )
        return torch.stack(rows)

    def state(self) -> dict[str, object]:
        """The method's own."""
        return balance_state.state_of(self.method)

    def restore(self, state: Mapping[str, object]) -> None:
        """The method's own."""
        balance_state.restore(self.method, state)
