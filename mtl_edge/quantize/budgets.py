"""Budgets of tasks: how much worse than fp32 each may become. Guilty layers go back to float until all hold.

A layer is guilty of a task's loss if that task's output gains most signal to noise when the layer stays in float; that
is cheap to measure for every layer. Whether a budget holds is then judged by the task's metric, of the very file that
would be written.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import onnx

from mtl_edge.errors import ModelError, needs_extra
from mtl_edge.progress import progress_bar
from mtl_edge.quantize.emulate import open_as_on
from mtl_edge.quantize.noise import output_noise
from mtl_edge.quantize.placement import outputs_served, quantizable_layers
from mtl_edge.quantize.race import latency_ratio
from mtl_edge.quantize.source import CalibratedSource
from mtl_edge.quantize.static import insert_qdq
from mtl_edge.quantize.target import Target
from mtl_edge.runtime import Metrics, Session, answers, measured
from mtl_edge.tasks import Budget, Metric, Task, loss_noise

_MOST = 8
"""Layers that go back at most; a task that still fails then is not one or two layers' fault."""
_NEAR = 0.8
"""A layer that heals this much of what the best one does may be taken in its place, if that costs less latency."""
_TRIED = 3
"""So many such layers are timed."""


class Spent(msgspec.Struct, frozen=True):
    """What became of a budget; ``loss`` is in the budget's unit, and negative where the task is better."""

    task: str
    budget: Budget
    fp32: float
    int8: float
    loss: float

    @property
    def holds(self) -> bool:
        """Whether the task stayed within it."""
        return self.loss <= self.budget.amount


class WithinBudgets(msgspec.Struct, frozen=True):
    """The placement that keeps all budgets, or comes nearest to it.

    Attributes:
        kept: nodes that stay in float, those that did before among them.
        reverted: the layers that went back to float, in this order.
        spent: what became of each budget.
        remarks: budgets that the samples cannot judge.
    """

    kept: frozenset[str]
    reverted: tuple[str, ...]
    spent: tuple[Spent, ...]
    remarks: tuple[str, ...]


class Goal(msgspec.Struct, frozen=True):
    """What tasks must not lose.

    Attributes:
        budgets: task name -> its budget.
        samples: name -> array, labelled samples to judge by.
        base: task -> metric -> value that losses are counted from; None means those of the fp32 model itself. Whoever
            names another one says what the samples can tell of the losses: here, its answers are not known.
    """

    budgets: Mapping[str, Budget]
    samples: Mapping[str, np.ndarray]
    base: Metrics | None = None


def keep_budgets(
    source: CalibratedSource,
    ranges: Mapping[str, tuple[float, float]],
    target: Target,
    kept: frozenset[str],
    goal: Goal,
) -> WithinBudgets:
    """Put layers back into float until every task stays within its budget.

    Layers go one by one, that which heals the worst task most; of several that do so alike, the one that leaves the
    model fastest. In the end, those that turn out not to be needed become int8 again.

    Args:
        source: the fp32 model and its calibration.
        ranges: tensor name -> the lowest and the highest value to represent.
        target: the kind of processor that will run it.
        kept: nodes that stay in float anyway.
        goal: the budgets, and what to judge by.

    Raises:
        ModelError: the model has no manifest, which says what its outputs mean.
        DataError: the samples do not fit.
    """
    search = _Search(source, ranges, target, Judge(source, target, goal))
    reverted: list[str] = []
    found = [search.judge(kept, ())]
    with progress_bar("budgets", total=_MOST + 1) as bar:
        while len(reverted) < _MOST and (worst := search.worst(found[-1])) is not None:
            bar.advance(f"{len(reverted)} layers in float")
            layer = search.healer(worst, kept.union(reverted))
            if layer is None:
                break
            reverted.append(layer)
            found.append(search.judge(kept, reverted))
        best = min(found, key=lambda item: (sum(map(_excess, item.spent)), len(item.reverted)))
        for layer in best.reverted[:-1]:
            fewer = search.judge(kept, [name for name in best.reverted if name != layer])
            if sum(map(_excess, fewer.spent)) <= sum(map(_excess, best.spent)):
                best = fewer
    return search.told(best)


class Judge:
    """Says what becomes of the budgets in an int8 form of a model.

    Args:
        source: the fp32 model and its calibration.
        target: the kind of processor that will run it.
        goal: the budgets, and what to judge by.

    Attributes:
        lost: tasks that miss their budget in fp32 already.
    """

    def __init__(self, source: CalibratedSource, target: Target, goal: Goal) -> None:
        if source.manifest is None:
            raise ModelError("max_drop: the model must have a manifest, which says what its outputs mean; found none")
        self._target, self._goal, self._manifest = target, goal, source.manifest
        self._tasks = {task.name: task for task in source.manifest.tasks}
        with needs_extra("metrics"):
            import sklearn.metrics  # noqa: F401 - at once, not after all samples have been computed
        self._fp32 = self._answers(source.session)
        fp32 = self._metrics(self._fp32)
        self._base = goal.base or fp32
        self.lost = {spent.task for spent in self._spend(fp32) if not spent.holds}

    def spent(self, model: bytes) -> tuple[Spent, ...]:
        """What became of each budget."""
        return self._spend(self._metrics(self._answers(open_as_on(model, self._target.name))))

    def remarks(self, model: bytes) -> tuple[str, ...]:
        """Budgets that no int8 form can keep, and those that the samples cannot judge in this one."""
        before = (f"{name} misses its budget before quantization already" for name in sorted(self.lost))
        if self._goal.base is not None:
            return tuple(before)
        int8 = self._answers(open_as_on(model, self._target.name))
        noises = (
            loss_noise(task, budget, self._fp32[name], int8[name], self._goal.samples[task.target], split="labelled")
            for name, budget in self._goal.budgets.items()
            if (task := self._tasks[name])
        )
        return (*before, *(str(noise) for noise in noises if noise.drowns))

    def misses(self, spent: Sequence[Spent]) -> list[Spent]:
        """Those that are missed, and that another int8 form could keep."""
        return [each for each in spent if not each.holds and each.task not in self.lost]

    def excess(self, spent: Sequence[Spent]) -> float:
        """By how many times of themselves budgets are missed, taken together."""
        return sum(map(_excess, spent))

    def _answers(self, session: Session) -> dict[str, np.ndarray]:
        return answers(session, self._manifest.tasks, self._manifest.inputs, self._goal.samples)

    def _metrics(self, found: Mapping[str, np.ndarray]) -> Metrics:
        return measured(self._manifest.tasks, found, self._goal.samples)

    def _spend(self, found: Metrics) -> tuple[Spent, ...]:
        return tuple(
            spend(self._tasks[name], budget, self._base[name], found[name])
            for name, budget in self._goal.budgets.items()
        )


class _Search:
    """Builds forms of one model, and judges them."""

    def __init__(
        self, source: CalibratedSource, ranges: Mapping[str, tuple[float, float]], target: Target, judge: Judge
    ) -> None:
        self._source, self._ranges, self._target, self._judge = source, ranges, target, judge
        self._shown = source.data.shown
        graph = onnx.load_from_string(source.prepared).graph
        self._serves = outputs_served(graph)
        self._layers = [node.name for node in quantizable_layers(graph)]

    def judge(self, kept: frozenset[str], reverted: Sequence[str]) -> WithinBudgets:
        """What becomes of the budgets when these layers are in float too."""
        nodes = kept.union(reverted)
        return WithinBudgets(nodes, tuple(reverted), self._judge.spent(self._build(nodes)), ())

    def told(self, found: WithinBudgets) -> WithinBudgets:
        """The same, and what is to be said of it."""
        return msgspec.structs.replace(found, remarks=self._judge.remarks(self._build(found.kept)))

    def worst(self, found: WithinBudgets) -> str | None:
        """The task that misses its budget most, of those that float could heal."""
        missed = self._judge.misses(found.spent)
        return max(missed, key=_excess).task if missed else None

    def healer(self, task: str, nodes: frozenset[str]) -> str | None:
        """The layer to put into float next to these nodes for a task's sake, if any heals it."""
        layers = [layer for layer in self._layers if layer not in nodes and task in self._serves[layer]]
        if not layers:
            return None
        now = self._noise(nodes, task)
        gains = {layer: self._noise(nodes | {layer}, task) - now for layer in layers}
        ranked = sorted(gains, key=lambda layer: -gains[layer])
        if gains[ranked[0]] <= 0:
            return None
        near = [layer for layer in ranked[:_TRIED] if gains[layer] >= _NEAR * gains[ranked[0]]]
        if len(near) == 1:
            return near[0]
        fp32, batch = self._source.prepared, self._shown[0]
        return min(near, key=lambda layer: latency_ratio(fp32, self._build(nodes | {layer}), batch))

    def _build(self, nodes: frozenset[str]) -> bytes:
        return insert_qdq(self._source.prepared, self._ranges, self._target, kept=nodes, pinned=self._source.pinned)

    def _noise(self, nodes: frozenset[str], task: str) -> float:
        int8 = open_as_on(self._build(nodes), self._target.name)
        return output_noise(self._source.session, int8, *self._shown)[task]


def spend(task: Task, budget: Budget, fp32: Mapping[str, float], int8: Mapping[str, float]) -> Spent:
    """What becomes of a task's budget, from its metrics before and after."""
    metric: Metric = task.metrics[0]
    value, base = int8[metric.name], fp32[metric.name]
    return Spent(task.name, budget, base, value, budget.loss(metric, value, base))


def _excess(spent: Spent) -> float:
    """By how many times of itself a budget is missed."""
    return max(spent.loss - spent.budget.amount, 0.0) / max(spent.budget.amount, 0.01)
