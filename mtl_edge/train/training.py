"""A training under way: its steps, its epochs, and all that it must know to go on later."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from mtl_edge.data.splits import SOURCE, Samples, Splits
from mtl_edge.errors import DataError
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.nets.trunks.base import Features
from mtl_edge.recipe import TrainSpec
from mtl_edge.train.augment import augment
from mtl_edge.train.average import make_average
from mtl_edge.train.balance import make_balance
from mtl_edge.train.checkpoint import Checkpoint
from mtl_edge.train.device import find_device, seed_chance
from mtl_edge.train.distributed import Ranks
from mtl_edge.train.learner import Learner, means
from mtl_edge.train.log import TrainingLog
from mtl_edge.train.measure import measure
from mtl_edge.train.remembered import remembered
from mtl_edge.train.sampler import Sampler
from mtl_edge.train.schedule import make_optimizer, make_schedule
from mtl_edge.train.selection import best_epoch
from mtl_edge.train.teacher import Teacher, agreed
from mtl_edge.train.transfer import Seen, Transfers, make_transfers


@dataclass(frozen=True)
class Epoch:
    """What one epoch left behind: mean training loss per task, and each task's metrics on the validation split."""

    losses: Mapping[str, float]
    metrics: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class _Batch:
    """Inputs, labels, and what the teachers say of them where that is known already."""

    inputs: Tensor
    labels: Mapping[str, Tensor]
    taught: Mapping[str, Tensor] | None


class FitOptions(TrainSpec, frozen=True, kw_only=True):
    """What the recipe says, and what this machine makes of it.

    ``bf16`` runs the forward pass in bfloat16; all chance comes from ``seed``. An epoch ends after ``most_steps``.
    """

    bf16: bool
    seed: int
    most_steps: int | None = None


class Training:
    """A training under way; all that changes while it runs is in :meth:`state`."""

    def __init__(
        self,
        net: MultiTaskNet,
        learner: Learner,
        splits: Splits,
        options: FitOptions,
        title: str,
        teacher: Teacher | None,
        ranks: Ranks,
    ) -> None:
        self.net, self.learner, self.splits, self.options = net, learner, splits, options
        self.title, self.teacher, self.ranks = title, teacher, ranks
        self.dense = [task.name for task in learner.tasks if task.dense]
        self.sampler = _sampler(splits.train, options, title)
        self.total = options.epochs * self.sampler.steps
        self.device = find_device(options.device)
        net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.transfers = self._transfers()
        self.taught: Mapping[str, Tensor] | None = None
        learned = list(self.transfers.parameters())
        self.parameters = [parameter for parameter in net.parameters() if parameter.requires_grad] + learned
        self.balance = make_balance(options, learner.tasks)
        self.optimizer = make_optimizer(options, net, [*self.balance.trained, *learned])
        self.schedule = make_schedule(options, self.optimizer, self.total)
        self.average = make_average(net, options.ema) if options.ema is not None else None
        self.step = 0
        self.sums = self._no_losses()
        self.history: list[Epoch] = []
        self.best: dict[str, Tensor] | None = None

    def ask_teachers(self) -> None:
        """Let the teachers answer all samples at once, if in all epochs together they would answer more.

        What is asked is the same whenever a training goes on, so that its bits stay what they are.
        """
        again = self.options.augment.changes or self.options.epochs <= self.ranks.size
        if self.teacher is None or self.teacher.spec.transfers or again or self.step == self.total:
            return
        self.taught = remembered(
            lambda inputs: self._taught(inputs.to(self.device))[0],
            self.learner,
            self.splits.train,
            self.options.batch_size,
            title=f"{self.title}: teacher",
        )

    def run(self, log: TrainingLog, checkpoint: Checkpoint) -> None:
        """All steps that are still to be done."""
        steps = self.sampler.steps
        while self.step < self.total and not self._has_stopped():
            epoch, done = divmod(self.step, steps)
            self.net.train()
            for batch in self.sampler.epoch(epoch)[done:]:
                losses = self._step(batch)
                self.sums += losses.to(self.sums.dtype) * len(batch)
                self.step += 1
                log.step(epoch + 1, losses)
                if self.step % steps:
                    checkpoint.offer(self.state)
            self._end_epoch(epoch + 1, log)
            if self.step < self.total:
                checkpoint.offer(self.state, patience=0.1)

    def keep(self) -> None:
        """Leave in the network what the recipe keeps: the best epoch or the last, averaged or not."""
        if self.best is not None:
            self.net.load_state_dict(self.best)
        elif self.average is not None:
            self.net.load_state_dict(self.average.module.state_dict())

    def bring_home(self) -> None:
        """The networks in evaluation mode on the CPU, without gradients."""
        self.net.to("cpu").eval().zero_grad()
        for teacher in self.teacher.nets if self.teacher is not None else ():
            teacher.to("cpu")

    def state(self) -> dict[str, object]:
        """All that a training must know to go on; the order of samples and all chance follow from ``step``."""
        return {
            "step": self.step,
            "net": self.net.state_dict(),
            "transfers": self.transfers.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "balance": self.balance.state(),
            "sums": self.sums,
            "history": msgspec.json.encode(self.history).decode(),
            "best": self.best,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        self.step = state["step"]
        self.net.load_state_dict(state["net"])
        self.transfers.load_state_dict(state["transfers"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.balance.restore(state["balance"])
        self.sums = state["sums"].to(self.device)
        self.history = msgspec.json.decode(state["history"], type=list[Epoch])
        self.best = state["best"]

    def _step(self, batch: np.ndarray) -> Tensor:
        """One step; the losses of the whole batch ``(tasks,)``."""
        # Chance depends on the seed and the step alone, so that nothing has to be kept of it to go on.
        seeds = np.random.SeedSequence((self.options.seed, self.step)).generate_state(3).tolist()
        count = self.balance.batches
        parts = (
            np.array_split(batch, count) if len(batch) >= 2 * count else [batch] * count
        )  # the last one may be small
        batches = [self._batch(part, seeds[0] + number) for number, part in enumerate(parts)]
        seed_chance(self.device, seeds[1] + self.ranks.rank)  # what drops out differs from process to process
        losses = [loss for part in batches for loss in self._losses(part)]
        self.optimizer.zero_grad()
        values = self.balance.backward(losses, self.parameters, self.ranks, seeds[2])
        if self.options.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.options.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.net)

        def losses_again() -> Tensor:
            # Under the same chance, and without a trace in the averages of batch norms.
            seed_chance(self.device, seeds[1] + self.ranks.rank)
            before = {name: buffer.clone() for name, buffer in self.net.named_buffers()}
            with torch.no_grad():
                found = self.ranks.total(torch.stack(self._losses(batches[0])))
                for name, buffer in self.net.named_buffers():
                    buffer.copy_(before[name])
            return found

        self.balance.after_step(losses_again)
        return values

    def _batch(self, rows: np.ndarray, seed: int) -> _Batch:
        """This process's part, changed by chance where the recipe says so, on the device."""
        share, spec = self.ranks.share(rows), self.options.augment
        if spec.changes:
            # Chance is drawn for the whole batch, so that it does not depend on the number of processes.
            inputs, labels = self._read(rows)
            generator = torch.Generator().manual_seed(seed)
            inputs, labels = augment(inputs, labels, self.dense, spec, generator)
            inputs, labels = inputs[share], {name: label[share] for name, label in labels.items()}
        else:
            inputs, labels = self._read(rows[share])
        places = torch.from_numpy(rows[share])
        taught = None if self.taught is None else {name: out[places] for name, out in self.taught.items()}
        return _Batch(
            inputs.to(self.device, non_blocking=True),
            self._on_device(labels),
            None if taught is None else self._on_device(taught),
        )

    def _on_device(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.to(self.device, non_blocking=True) for name, tensor in tensors.items()}

    def _read(self, rows: np.ndarray) -> tuple[Tensor, dict[str, Tensor]]:
        return self.learner.inputs(self.splits.train, rows), self.learner.labels(self.splits.train, rows)

    def _losses(self, batch: _Batch) -> list[Tensor]:
        """Each task's training loss of a batch: labels, mixed with what the teachers give where there are some."""
        total = None if self.ranks.alone else self.ranks.total
        outputs, seen = self._answers(self.net, batch.inputs)
        losses = self.learner.losses(outputs, batch.labels, total)
        if self.teacher is None:
            return list(losses.values())
        taught, features = (batch.taught, ()) if batch.taught is not None else self._taught(batch.inputs)
        distances = self.learner.distances(outputs, taught, self.teacher.spec.temperature, total)
        apart = means(self.transfers(seen, features), total)
        weights = {name: self.teacher.weight(name) for name in losses}
        mixed = {name: (1 - weight) * losses[name] + weight * distances[name] for name, weight in weights.items()}
        return [loss + apart[name] if name in apart else loss for name, loss in mixed.items()]

    def _taught(self, inputs: Tensor) -> tuple[dict[str, Tensor], Sequence[Seen]]:
        """What the teachers agree on, and what the heads of each have read."""
        assert self.teacher is not None
        with torch.no_grad():
            lessons = [self._answers(net, inputs) for net in self.teacher.nets]
        return agreed([answers for answers, _ in lessons]), [features for _, features in lessons]

    def _answers(self, net: MultiTaskNet, inputs: Tensor) -> tuple[dict[str, Tensor], Seen]:
        """What a network says, and what its heads have read; the latter only where it is transferred."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.bf16):
            features = net.sharing(inputs)
            outputs = {name: out.float() for name, out in net.answers(features).items()}
        if self.teacher is None or not self.teacher.spec.transfers:
            return outputs, {}
        return outputs, {name: _in_float(part) for name, part in zip(net.tasks, features, strict=True)}

    def _transfers(self) -> Transfers:
        """The ways from the teachers' features to the student's, the same in all processes."""
        if self.teacher is None:
            return Transfers([])
        self.teacher.check_tasks(self.learner.tasks)
        for teacher in self.teacher.nets:
            teacher.to(self.device).eval()
        if not self.teacher.spec.transfers:
            return Transfers([])
        few = self.learner.inputs(self.splits.train, slice(2)).to(self.device)
        torch.manual_seed(self.options.seed)
        with torch.no_grad():
            student, *teachers = (self._answers(net.eval(), few)[1] for net in (self.net, *self.teacher.nets))
        return make_transfers(self.teacher.spec, student, teachers).to(self.device)

    def _end_epoch(self, epoch: int, log: TrainingLog) -> None:
        names = [task.name for task in self.learner.tasks]
        means = {name: value / self.sampler.drawn for name, value in zip(names, self.sums.tolist(), strict=True)}
        self.sums = self._no_losses()
        if not all(map(math.isfinite, means.values())):
            raise DataError(
                f"{self.title}: losses must stay finite, found {means} in epoch {epoch}: lower learning_rate"
            )
        self.balance.after_epoch()
        self.history.append(Epoch(means, self._measured()))
        if self.options.keeps_best and best_epoch(self.history, self.learner.tasks) == len(self.history) - 1:
            self.best = {name: tensor.detach().clone() for name, tensor in self._result().state_dict().items()}
        rate = self.schedule.get_last_lr()[0]
        log.epoch(epoch, self.step, means, self.history[-1].metrics, float(rate))

    def _measured(self) -> dict[str, dict[str, float]]:
        """The metrics that the leading process finds."""
        shape = {task.name: [metric.name for metric in task.metrics] for task in self.learner.tasks}
        if self.ranks.leads:
            found = measure(self._result(), self.learner, self.splits.val, self.options.batch_size)
            values = torch.tensor(
                [found[task][name] for task, names in shape.items() for name in names], dtype=torch.float64
            )
        else:
            values = torch.empty(sum(map(len, shape.values())), dtype=torch.float64)
        flat = iter(self.ranks.from_leader(values).tolist())
        return {task: {name: next(flat) for name in names} for task, names in shape.items()}

    def _result(self) -> MultiTaskNet:
        """The network whose metrics count."""
        if self.average is None:
            return self.net
        averaged = self.average.module
        assert isinstance(averaged, MultiTaskNet)
        return averaged

    def _has_stopped(self) -> bool:
        if self.options.patience is None or not self.history:
            return False
        return len(self.history) - 1 - best_epoch(self.history, self.learner.tasks) >= self.options.patience

    def _no_losses(self) -> Tensor:
        wide = torch.float32 if self.device.type == "mps" else torch.float64
        return torch.zeros(len(self.learner.tasks), dtype=wide, device=self.device)


def _in_float(features: Features) -> Features:
    return Features(tuple(part.float() for part in features.maps), features.pooled.float())


def _sampler(train: Samples, options: FitOptions, title: str) -> Sampler:
    groups = None
    if options.sampling == "balanced":
        groups = train.arrays.get(SOURCE)
        if groups is None:
            raise DataError(
                f"{title}: train.sampling 'balanced' needs data from several sources ([data.sources]), found one"
            )
    sampler = Sampler(len(train), options.batch_size, options.seed, groups, options.most_steps)
    if sampler.steps == 0:
        raise DataError(f"{title}: the train split must have at least 2 samples, found {len(train)}")
    return sampler
