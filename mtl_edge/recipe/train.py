"""``[train]``."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mtl_edge.errors import RecipeError
from mtl_edge.recipe.balance import BalanceSpec, read_balance
from mtl_edge.recipe.section import Count, NotNegative, Positive, Section, Share


class AugmentSpec(Section, frozen=True):
    """``[train.augment]``: chance for images, another one for each sample and each step; dense labels move along.

    ``shift`` is the most that an image moves in each direction, in pixels; what comes in repeats the edge and has no
    label. ``flip`` mirrors half of the images from left to right: only for tasks whose labels stay true. ``cutout`` is
    the side of a square that gets the mean colour (DeVries & Taylor 2017, arXiv:1708.04552).
    """

    shift: Annotated[int, Meta(ge=0)] = 0
    flip: bool = False
    cutout: Annotated[int, Meta(ge=0)] = 0

    @property
    def changes(self) -> bool:
        """Whether a sample is another one in each epoch."""
        return self.shift > 0 or self.flip or self.cutout > 0


class TrainSpec(Section, frozen=True):
    """``[train]``: how a network is fitted.

    Attributes:
        precision: of the forward pass; ``auto`` takes bf16 where the machine has instructions for it.
        device: ``auto`` takes a GPU where there is one.
        optimizer: ``momentum`` and ``nesterov`` are those of ``sgd``.
        schedule: of the learning rate; its highest value is ``learning_rate``.
        warmup: share of the steps in which the learning rate rises; 0.3 for ``one-cycle``, else 0, unless this or
            ``warmup_epochs`` is given.
        clip_norm: the longest gradient; longer ones are shortened.
        ema: decay of a moving average of the weights, which takes their place in the end.
        patience: stop after so many epochs without progress on the validation samples.
        keep: the weights of the ``last`` epoch or of the ``best`` one; ``auto`` means best where there is patience.
        balance: a method's name, or a table with its name and options: :mod:`mtl_edge.recipe.balance`.
        weights: task -> a factor of its loss, 1 where nothing is said.
        sampling: ``balanced`` draws from each source of the data equally often.
        checkpoint_seconds: how often a training that may be killed is written down.
        tensorboard: write curves of losses and metrics.
    """

    epochs: Count = 12
    batch_size: Annotated[int, Meta(ge=2)] = 128
    learning_rate: Positive = 4e-3
    weight_decay: NotNegative = 0.05
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    schedule: Literal["one-cycle", "cosine", "constant"] = "one-cycle"
    warmup: Share | None = None
    warmup_epochs: NotNegative | None = None
    clip_norm: Positive | None = None
    ema: Annotated[float, Meta(gt=0, lt=1)] | None = None
    patience: Count | None = None
    keep: Literal["auto", "best", "last"] = "auto"
    balance: str | dict[str, object] = "equal"
    weights: dict[str, NotNegative] = msgspec.field(default_factory=dict)
    augment: AugmentSpec = AugmentSpec()
    sampling: Literal["proportional", "balanced"] = "proportional"
    checkpoint_seconds: NotNegative = 60.0
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if self.warmup is not None and self.warmup_epochs is not None:
            raise RecipeError("train: only one of warmup and warmup_epochs can be given, found both")
        if self.nesterov and not self.momentum:
            raise RecipeError("train.nesterov: needs a momentum above 0, found 0")
        read_balance(self.balance)

    @property
    def decisive(self) -> "TrainSpec":
        """All that the weights follow from: not where the training runs, nor how it is watched and written down."""
        return msgspec.structs.replace(self, device="auto", checkpoint_seconds=60.0, tensorboard=False)

    @property
    def balancing(self) -> BalanceSpec:
        """The method that ``balance`` names."""
        return read_balance(self.balance)

    @property
    def warmup_share(self) -> float:
        """The share of all steps in which the learning rate rises."""
        if self.warmup_epochs is not None:
            return min(self.warmup_epochs / self.epochs, 1.0)
        if self.warmup is not None:
            return self.warmup
        return 0.3 if self.schedule == "one-cycle" else 0.0

    @property
    def keeps_best(self) -> bool:
        """Whether the weights of the best epoch are kept, and not those of the last one."""
        return self.keep == "best" or (self.keep == "auto" and self.patience is not None)
