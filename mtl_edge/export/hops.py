"""Parity at every hop of a model's way: from torch to fp32, to an optimized graph, to int8, to ``.ort``.

A hop that changes the form alone must not move a float by more than 1e-4 of its output's spread, nor an integer at all.
One that rounds weights may move values, but the noise must stay below a tenth of the spread (20 dB), so that it does
not decide what a task answers; where samples have labels, each task's metrics say what that cost.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from mtl_edge.errors import ParityError
from mtl_edge.export.parity import TOLERANCE
from mtl_edge.quantize.budgets import Spent, spend
from mtl_edge.runtime import Metrics
from mtl_edge.tasks import Task, read_budget

NOISE = 0.1
"""Root mean square of the differences allowed where weights were rounded, in standard deviations of the output."""


class OutputParity(msgspec.Struct, frozen=True, kw_only=True):
    """How far one output moved.

    Attributes:
        output: its name.
        dtype: numpy's name of it.
        index: where it moved furthest.
        largest: how far, in standard deviations of the output; of integers and truth values, in their own unit.
        noise: root mean square of all differences, in the same unit.
        allowed: how much of ``noise`` or ``largest`` is, depending on the hop.
        holds: whether it is no more.
    """

    output: str
    dtype: str
    index: tuple[int, ...]
    largest: float
    noise: float
    allowed: float
    holds: bool


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """What a step from one form of a model to the next changed.

    ``spent`` is what became of each task's first metric, where samples had labels.
    """

    name: str
    rounds: bool
    outputs: tuple[OutputParity, ...]
    spent: tuple[Spent, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether all outputs are within what is allowed, and so are all tasks."""
        return all(found.holds for found in self.outputs) and all(found.holds for found in self.spent)

    @property
    def exact(self) -> bool:
        """Whether nothing moved at all."""
        return not any(found.largest for found in self.outputs)

    @property
    def worst(self) -> OutputParity:
        """The output that uses up most of what is allowed."""
        return max(self.outputs, key=lambda found: (not found.holds, self._measure(found) / (found.allowed or 1.0)))

    def _measure(self, found: OutputParity) -> float:
        return found.noise if self.rounds and found.dtype.startswith("float") else found.largest

    def describe(self) -> str:
        """The worst output in one line; of tasks, those that lost too much."""
        if lost := [spent for spent in self.spent if not spent.holds]:
            so = ", ".join(f"{spent.task} loses {spent.loss:.2f} of {spent.budget}" for spent in lost)
            return f"{self.name}: {so}"
        found = self.worst
        if self.exact:
            return f"{self.name}: equal to the last bit"
        kind = "noise" if self.rounds else "largest difference"
        unit = " standard deviations" if found.dtype.startswith("float") else ""
        so = f"{self.name}: output {found.output!r} at {found.index}: {kind} {self._measure(found):.1e}{unit}"
        return f"{so}, at most {found.allowed:.0e} is allowed"


def check_hop(
    name: str,
    before: Mapping[str, np.ndarray],
    after: Mapping[str, np.ndarray],
    *,
    rounds: bool = False,
    spent: Sequence[Spent] = (),
) -> Hop:
    """Compare the outputs that both forms have.

    Args:
        name: such as ``fp32 -> int8``.
        before: output name -> values ``(N, …)``.
        after: the same of the next form; outputs that are new there are not compared.
        rounds: whether the step rounds weights or activations.
        spent: what became of the tasks' metrics.

    Raises:
        ParityError: an output is missing, or has another shape.
    """
    outputs = []
    for output, expected in before.items():
        found = after.get(output)
        if found is None or found.shape != expected.shape:
            shape = "none" if found is None else found.shape
            raise ParityError(f"{name}: output {output!r} must have the shape {expected.shape}, found {shape}")
        outputs.append(_output_parity(output, expected, found, rounds))
    return Hop(name=name, rounds=rounds, outputs=tuple(outputs), spent=tuple(spent))


def spent_by(tasks: Sequence[Task], before: Metrics, after: Metrics) -> tuple[Spent, ...]:
    """What became of each task's first metric, against its budget or that of a task without one."""
    budgets = {task.name: task.max_drop or ("2%" if task.metrics[0].unit == "error" else "1pt") for task in tasks}
    return tuple(
        spend(task, read_budget(budgets[task.name], task), before[task.name], after[task.name]) for task in tasks
    )


def require(hop: Hop) -> Hop:
    """The hop itself, if it holds.

    Raises:
        ParityError: it does not; the worst output and index are named.
    """
    if not hop.holds:
        raise ParityError(hop.describe())
    return hop


def _output_parity(output: str, expected: np.ndarray, found: np.ndarray, rounds: bool) -> OutputParity:
    real = expected.dtype.kind == "f"
    spread = (float(expected.std(dtype=np.float64)) or 1.0) if real else 1.0
    with np.errstate(invalid="ignore"):
        gaps = np.abs(found.astype(np.float64) - expected.astype(np.float64)) / spread
    same = (found == expected) | (np.isnan(found) & np.isnan(expected) if real else False)
    gaps = np.where(same, 0.0, np.where(np.isfinite(gaps), gaps, np.inf))
    at = tuple(map(int, np.unravel_index(gaps.argmax(), gaps.shape))) if gaps.size else ()
    largest = float(gaps[at]) if gaps.size else 0.0
    noise = float(np.sqrt((gaps**2).mean())) if gaps.size else 0.0
    if real:
        allowed = NOISE if rounds else TOLERANCE
        holds = (noise if rounds else largest) <= allowed
    else:  # a decision may change only where what it is made from may
        allowed, holds = 0.0, rounds or largest == 0
    return OutputParity(
        output=output,
        dtype=expected.dtype.name,
        index=at,
        largest=largest,
        noise=noise,
        allowed=allowed,
        holds=holds,
    )
