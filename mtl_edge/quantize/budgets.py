"""Budgets of tasks: how much worse than fp32 each may become. Guilty layers go back to float until all hold.

A layer is guilty of a task's loss if that task's output gains most signal to noise when the layer stays in float; that
is cheap to measure for every layer. Whether a budget holds is then judged by the task's metric, of the very file that
would be written.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import onnx

from mtl_edge.artifact import Manifest
from mtl_edge.data.splits import Samples
from mtl_edge.errors import DataError
from mtl_edge.progress import progress_bar
from mtl_edge.quantize.noise import output_noise
from mtl_edge.quantize.placement import outputs_served, quantizable_layers
from mtl_edge.quantize.source import CalibratedSource
from mtl_edge.quantize.static import insert_qdq
from mtl_edge.quantize.target import Target
from mtl_edge.runtime import Session, evaluate, open_session
from mtl_edge.tasks import Metric, Task

_MOST = 8
"""Layers that go back at most; a task that still fails then is not one or two layers' fault."""
_TEXT = re.compile(r"(?P<amount>\d+(\.\d+)?) ?(?P<unit>pt|%)")


class Budget(msgspec.Struct, frozen=True):
    """How much worse a task's first metric may become: ``0.5 pt`` of a share, or ``2 %`` of any metric."""

    amount: float
    unit: Literal["pt", "%"]

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit}"


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


def parse_budget(text: str, tasks: Sequence[Task]) -> tuple[str, Budget]:
    """Read ``left=0.5pt`` or ``count=2%``.

    Raises:
        DataError: it is not of this form, there is no such task, or points are asked of an error.
    """
    name, _, amount = text.partition("=")
    found = _TEXT.fullmatch(amount.strip())
    if found is None:
        raise DataError(f"--max-drop: must be as in left=0.5pt or count=2%, found {text!r}")
    task = next((task for task in tasks if task.name == name), None)
    if task is None:
        raise DataError(f"--max-drop: must name a task ({', '.join(task.name for task in tasks)}), found {name!r}")
    unit: Literal["pt", "%"] = "pt" if found["unit"] == "pt" else "%"
    if unit == "pt" and task.metrics[0].unit == "error":
        raise DataError(f"--max-drop: {name} has an error ({task.metrics[0].title}): must be in %, found {text!r}")
    return name, Budget(float(found["amount"]), unit)


def keep_budgets(
    source: CalibratedSource,
    manifest: Manifest,
    ranges: Mapping[str, tuple[float, float]],
    target: Target,
    kept: frozenset[str],
    budgets: Mapping[str, Budget],
    samples: Samples,
) -> WithinBudgets:
    """Put layers back into float until every task stays within its budget.

    Args:
        source: the fp32 model and its calibration.
        manifest: what its outputs mean.
        ranges: tensor name -> the lowest and the highest value to represent.
        target: the kind of processor that will run it.
        kept: nodes that stay in float anyway.
        budgets: task name -> its budget.
        samples: labelled samples to judge by.

    Raises:
        DataError: the samples do not fit.
    """
    graph = onnx.load_from_string(source.prepared).graph
    serves = outputs_served(graph)
    layers = [node.name for node in quantizable_layers(graph)]
    tasks = {task.name: task for task in manifest.tasks}
    batch = next(iter(source.data))

    def metrics(session: Session) -> dict[str, dict[str, float]]:
        return evaluate(session, manifest.tasks, manifest.inputs[0], samples.arrays)

    def build(nodes: frozenset[str]) -> bytes:
        return insert_qdq(source.prepared, ranges, target, kept=nodes, pinned=source.pinned)

    fp32 = metrics(source.session)
    reverted: list[str] = []
    found: list[WithinBudgets] = []
    remarks = tuple(_too_tight(tasks[name], budget, samples) for name, budget in budgets.items())
    with progress_bar("budgets", total=_MOST + 1) as bar:
        while True:
            nodes = kept.union(reverted)
            int8 = metrics(open_session(build(nodes)))
            spent = tuple(_spend(tasks[name], budget, fp32[name], int8[name]) for name, budget in budgets.items())
            found.append(WithinBudgets(nodes, tuple(reverted), spent, tuple(filter(None, remarks))))
            bar.advance(f"{len(reverted)} layers in float")
            missed = [item for item in spent if not item.holds]
            if not missed or len(reverted) == _MOST:
                break
            worst = max(missed, key=_excess).task
            noise = {
                layer: output_noise(source.session, open_session(build(nodes | {layer})), batch)[worst]
                for layer in layers
                if layer not in nodes and worst in serves[layer]
            }
            if not noise:
                break
            reverted.append(max(noise, key=lambda layer: noise[layer]))
    return min(found, key=lambda item: (sum(map(_excess, item.spent)), len(item.reverted)))


def _spend(task: Task, budget: Budget, fp32: Mapping[str, float], int8: Mapping[str, float]) -> Spent:
    metric: Metric = task.metrics[0]
    value, base = int8[metric.name], fp32[metric.name]
    loss = 100 * (base - value) if budget.unit == "pt" else -100 * metric.gain(value, base)
    return Spent(task.name, budget, base, value, loss)


def _excess(spent: Spent) -> float:
    """By how many times of itself a budget is missed."""
    return max(spent.loss - spent.budget.amount, 0.0) / max(spent.budget.amount, 0.01)


def _too_tight(task: Task, budget: Budget, samples: Samples) -> str:
    """One sample more or less must not decide."""
    count = len(samples[task.target])
    if task.metrics[0].unit == "share" and budget.amount < 100 / count:
        return f"the budget of {task.name}, {budget}, is less than one of {count} samples"
    return ""
