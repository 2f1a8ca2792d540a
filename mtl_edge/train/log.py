"""What a training says while it runs: losses and metrics in the terminal, curves for TensorBoard."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from mtl_edge.errors import needs_extra
from mtl_edge.progress import Bar, console, progress_bar
from mtl_edge.tasks import Task

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

_SECONDS_PER_NOTE = 0.2
_LINES_PER_TRAINING = 4


@dataclass
class TrainingLog:
    """One training's voice."""

    title: str
    tasks: Sequence[Task]
    epochs: int
    bar: Bar
    writer: "SummaryWriter | None"
    _metrics: str = ""
    _noted: float = field(default_factory=time.monotonic)

    def step(self, epoch: int, losses: Tensor) -> None:
        """One step is done; losses are looked at only as often as someone can read them."""
        note = None
        if console.is_terminal and time.monotonic() - self._noted > _SECONDS_PER_NOTE:
            self._noted = time.monotonic()
            shown = zip(self.tasks, losses.tolist(), strict=True)
            note = f"epoch {epoch}/{self.epochs}  " + "  ".join(f"{task.name} {loss:.3f}" for task, loss in shown)
            note += f"  ({self._metrics})" if self._metrics else ""
        self.bar.advance(note)

    def epoch(
        self,
        epoch: int,
        step: int,
        losses: Mapping[str, float],
        metrics: Mapping[str, Mapping[str, float]],
        learning_rate: float,
    ) -> None:
        """One epoch is done: the first metric of each task in the bar, or, in a pipe, a line every few epochs."""
        first = [(task.name, task.metrics[0]) for task in self.tasks]
        self._metrics = "  ".join(
            f"{name} {metric.title} {metric.format(metrics[name][metric.name])}" for name, metric in first
        )
        if not console.is_terminal and epoch % -(-self.epochs // _LINES_PER_TRAINING) == 0:
            console.print(
                f"  {self.title}: epoch {epoch}/{self.epochs}  {self._metrics}",
                style="dim",
                soft_wrap=True,
                markup=False,
            )
        if self.writer is not None:
            for name, loss in losses.items():
                self.writer.add_scalar(f"loss/{name}", loss, step)
            for name, values in metrics.items():
                for metric_name, value in values.items():
                    self.writer.add_scalar(f"{metric_name}/{name}", value, step)
            self.writer.add_scalar("learning_rate", learning_rate, step)
            self.writer.flush()


@contextmanager
def training_log(
    title: str, tasks: Sequence[Task], epochs: int, *, steps: int, done: int, folder: Path | None
) -> Iterator[TrainingLog]:
    """Speak while a training runs.

    Args:
        title: of the training.
        tasks: whose losses and metrics are shown.
        epochs: how many there will be.
        steps: how many there will be.
        done: how many steps are done already.
        folder: where TensorBoard's files go; None writes none.

    Raises:
        MissingExtraError: there is a folder, but no tensorboard.
    """
    writer = None
    if folder is not None:
        with needs_extra("tensorboard"):
            from torch.utils.tensorboard.writer import SummaryWriter
        writer = SummaryWriter(str(folder), purge_step=done)
    try:
        with progress_bar(title, total=steps, done=done) as bar:
            yield TrainingLog(title, tasks, epochs, bar, writer)
    finally:
        if writer is not None:
            writer.close()
