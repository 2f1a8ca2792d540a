"""What comes of a network in a short training: before any, those that have lost much are all alike."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from mtl_edge.compress.evidence import Evidence
from mtl_edge.data.splits import Splits
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.quantize.remembered import remembered_value
from mtl_edge.storage import sha256_of
from mtl_edge.train.learner import Learner
from mtl_edge.train.loop import fit
from mtl_edge.train.sampler import Sampler
from mtl_edge.train.teacher import Teacher
from mtl_edge.train.training import FitOptions

_STEPS = 256
"""Of a trial, at most. On a small network of inverted residual blocks 120 steps told the best numbers of blocks from
the others, and 240 put all four into the order that they had after 1,900."""
_SHARE = 0.25
"""Of the fine-tuning's steps, at most."""


@dataclass(frozen=True)
class Trial:
    """The fine-tuning of a recipe in small: the same teachers and rates of learning, which rise and fall sooner.

    Attributes:
        learner: tasks, statistics and preprocessing.
        splits: ``train`` to learn from, ``val`` to judge by.
        options: those of the fine-tuning.
        teacher: who teaches.
        folder: where results are kept, for when the work is interrupted.
    """

    learner: Learner
    splits: Splits
    options: FitOptions
    teacher: Teacher
    folder: Path

    def losses(self, net: MultiTaskNet) -> dict[str, float]:
        """Task -> its mean loss of the validation samples."""
        return Evidence(self.learner, self.splits.val, self.options.batch_size, batches=None).losses(net)

    def losses_after(self, net: MultiTaskNet, title: str) -> dict[str, float]:
        """The same after the training.

        Args:
            net: it is changed.
            title: what the progress bar says.
        """

        def train() -> dict[str, float]:
            fit(net, self.learner, self.splits, self._short(), title=title, teacher=self.teacher)
            return self.losses(net)

        shapes = {name: list(values.shape) for name, values in net.state_dict().items()}
        key = sha256_of(msgspec.json.encode(shapes, order="sorted"))[:16]
        return remembered_value(self.folder / f"trial-{key}.json", dict[str, float], train)

    def _short(self) -> FitOptions:
        """As many epochs as it takes, of as many steps each."""
        options = self.options
        epoch = Sampler(len(self.splits.train), options.batch_size, options.seed).steps
        steps = max(1, min(_STEPS, round(_SHARE * options.epochs * epoch)))
        epochs = -(-steps // epoch)
        return msgspec.structs.replace(
            options,
            epochs=epochs,
            most_steps=-(-steps // epochs),
            warmup=options.warmup_share,
            warmup_epochs=None,
            patience=None,
        )
