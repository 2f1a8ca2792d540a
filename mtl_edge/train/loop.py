"""One training loop for every network: the dense one from labels, the pruned one from labels and a teacher."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import torch
from torch import Tensor

from mtl_edge.data.splits import Samples, Splits
from mtl_edge.errors import DataError
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.preprocessing import Preprocessing
from mtl_edge.progress import progress_bar
from mtl_edge.recipe import DistillSpec
from mtl_edge.tasks import TargetStatistics, Task


@dataclass(frozen=True)
class Teacher:
    """A trained network whose outputs are part of the goal."""

    net: MultiTaskNet
    spec: DistillSpec


@dataclass(frozen=True)
class Learner:
    """What a network learns: its tasks, their statistics, and how raw samples become inputs."""

    tasks: Sequence[Task]
    statistics: Mapping[str, TargetStatistics]
    preprocessing: Preprocessing
    input: str

    def inputs(self, samples: Samples, indices: np.ndarray | slice = slice(None)) -> Tensor:
        """Preprocessed inputs; images in channels-last memory, which is faster on CPUs."""
        batch = torch.from_numpy(self.preprocessing.apply(samples[self.input][indices]))
        return batch.contiguous(memory_format=torch.channels_last) if batch.ndim == 4 else batch

    def labels(self, samples: Samples, indices: np.ndarray | slice = slice(None)) -> dict[str, Tensor]:
        """Task name -> labels, with the mark of those that nobody gave."""
        return {task.name: torch.from_numpy(task.labels(samples[task.target][indices])) for task in self.tasks}

    def losses(self, outputs: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Task name -> mean loss over the labels that were given; 0 where there is none."""
        return {
            task.name: _mean(task.losses(outputs[task.name], labels[task.name], self.statistics[task.name]))
            for task in self.tasks
        }

    def distances(
        self, outputs: Mapping[str, Tensor], taught: Mapping[str, Tensor], temperature: float
    ) -> dict[str, Tensor]:
        """Task name -> distance to a teacher's outputs."""
        return {
            task.name: task.distillation_losses(
                outputs[task.name], taught[task.name], self.statistics[task.name], temperature
            ).mean()
            for task in self.tasks
        }


def _mean(losses: Tensor) -> Tensor:
    """The mean; of nothing, a zero that can be differentiated."""
    return losses.sum() / max(len(losses), 1)


@dataclass(frozen=True)
class Epoch:
    """What one epoch left behind: mean training loss per task, and each task's metrics on the validation split."""

    losses: Mapping[str, float]
    metrics: Mapping[str, Mapping[str, float]]


class FitOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to fit; ``bf16`` runs the forward pass in bfloat16, ``seed`` decides the order of the samples."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    bf16: bool
    seed: int


def fit(
    net: MultiTaskNet,
    learner: Learner,
    splits: Splits,
    options: FitOptions,
    *,
    title: str,
    teacher: Teacher | None = None,
) -> list[Epoch]:
    """Train a network in place: AdamW, one-cycle schedule (Smith & Topin 2018, arXiv:1708.07120), equal task weights.

    Args:
        net: its parameters are changed; left in evaluation mode.
        learner: tasks, statistics and preprocessing.
        splits: ``train`` to learn from, ``val`` to watch.
        options: how to fit.
        title: what the progress bar says.
        teacher: distil from this network.

    Returns:
        One record per epoch.

    Raises:
        DataError: a loss became NaN or infinite, or there are no two samples to learn from.
    """
    train = splits.train
    order = torch.Generator().manual_seed(options.seed)
    # A last batch of one sample is left out: batch norm has nothing to normalise one value with.
    steps = math.ceil(len(train) / options.batch_size) - (len(train) % options.batch_size == 1)
    if steps == 0:
        raise DataError(f"{title}: the train split must have at least 2 samples, found {len(train)}")
    total = options.epochs * steps
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(net.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.learning_rate, total_steps=total)
    history: list[Epoch] = []
    with progress_bar(title, total=total) as bar:
        for epoch in range(1, options.epochs + 1):
            net.train()
            sums = {task.name: 0.0 for task in learner.tasks}
            for indices in torch.randperm(len(train), generator=order).split(options.batch_size)[:steps]:  # type: ignore[no-untyped-call]
                rows = indices.numpy()
                inputs, labels = learner.inputs(train, rows), learner.labels(train, rows)
                losses = _losses(net, learner, inputs, labels, options.bf16, teacher)
                optimizer.zero_grad()
                torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                values = {name: loss.item() for name, loss in losses.items()}
                sums = {name: sums[name] + value * len(indices) for name, value in values.items()}
                bar.advance(f"epoch {epoch}/{options.epochs}  " + "  ".join(f"{k} {v:.3f}" for k, v in values.items()))
            means = {name: value / len(train) for name, value in sums.items()}
            if not all(map(math.isfinite, means.values())):
                raise DataError(
                    f"{title}: losses must stay finite, found {means} in epoch {epoch}: lower learning_rate"
                )
            history.append(Epoch(means, measure(net, learner, splits.val, options.batch_size)))
    return history


def _losses(
    net: MultiTaskNet,
    learner: Learner,
    inputs: Tensor,
    labels: Mapping[str, Tensor],
    bf16: bool,
    teacher: Teacher | None,
) -> dict[str, Tensor]:
    """Task name -> training loss of a batch: labels, mixed with the teacher's outputs where there is one."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        outputs = {name: out.float() for name, out in net(inputs).items()}
    losses = learner.losses(outputs, labels)
    if teacher is None:
        return losses
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        taught = {name: out.float() for name, out in teacher.net(inputs).items()}
    weight = teacher.spec.weight
    distances = learner.distances(outputs, taught, teacher.spec.temperature)
    return {name: (1 - weight) * loss + weight * distances[name] for name, loss in losses.items()}


def measure(net: MultiTaskNet, learner: Learner, samples: Samples, batch_size: int) -> dict[str, dict[str, float]]:
    """Each task's metrics of the torch network, in float32; only to watch training, never to report."""
    net.eval()
    with torch.inference_mode():
        batches = [net(inputs) for inputs in _batches(learner, samples, batch_size)]
    return {
        task.name: task.measure(
            np.concatenate([task.decode(batch[task.name].numpy()) for batch in batches]), samples[task.target]
        )
        for task in learner.tasks
    }


def bf16_is_fast() -> bool:
    """Whether this CPU multiplies bfloat16 natively (AVX512-BF16 or AMX); elsewhere it is slower than float32."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _batches(learner: Learner, samples: Samples, size: int) -> Iterator[Tensor]:
    for start in range(0, len(samples), size):
        yield learner.inputs(samples, slice(start, start + size))
