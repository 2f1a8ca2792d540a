"""``[compress]``."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mtl_edge.compress.target import read_target
from mtl_edge.recipe.section import Count, NotNegative, Positive, Section, Share


class PruneSpec(Section, frozen=True):
    """``[compress.prune]``: the share of channels to remove, what they are worth, and the fine-tuning that follows.

    A ``target`` stands in place of the ratio: it is read by :func:`mtl_edge.compress.target.read_target`.
    ``depth`` is how many residual blocks leave, or ``auto``: with a target of latency, as many as are less of a loss to
    the tasks than channels are at the same latency.
    ``importance`` and ``across`` are as of :func:`mtl_edge.compress.importance.rank`; ``budget`` counts a task the more
    the less it may lose by its ``max_drop``.
    """

    ratio: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    target: str | None = None
    depth: Literal["off", "auto"] | Count = "off"
    importance: Literal["taylor", "magnitude", "bn-scale"] = "taylor"
    across: Literal["sum", "worst", "budget"] = "sum"
    round_to: Count = 8
    epochs: Count = 8
    learning_rate: Positive = 3e-3

    def __post_init__(self) -> None:
        if self.target is not None:
            try:
                read_target(self.target)
            except ValueError as error:
                raise ValueError(f"target: {error}") from error


class DistillSpec(Section, frozen=True):
    """``[compress.distill]``: who teaches the pruned network, and what.

    The loss is ``(1 - weight) * labels + weight * teacher``, to which the distances of
    :mod:`mtl_edge.train.transfer` are added times ``hint`` and ``attention``. ``weights`` are those of tasks that have
    one of their own. An ensemble has so many ``members``: the dense network and others that chance made different.
    """

    teacher: Literal["dense", "single-task", "ensemble"] = "dense"
    members: Annotated[int, Meta(ge=2)] = 3
    weight: Share = 0.7
    weights: dict[str, Share] = msgspec.field(default_factory=dict)
    temperature: Positive = 2.0
    hint: NotNegative = 0.0
    attention: NotNegative = 0.0

    @property
    def transfers(self) -> bool:
        """Whether more is learned of teachers than their answers."""
        return self.hint > 0 or self.attention > 0


class QuantizeSpec(Section, frozen=True):
    """``[compress.quantize]``: how ranges are taken from the calibration samples, and for which kind of processor.

    ``this-box`` is the kind that makes the model. ``measured`` puts into int8 what is faster so on this box; for
    another kind of processor, and with ``all``, everything goes there that can. ``guard`` puts layers back into float
    where an output would be broken on validation samples, but for ``all``, where that is only said. ``finetune`` trains
    the int8 model with the dense network as its teacher, ``if-needed`` where a task misses its ``max_drop`` otherwise.
    The other keys are those of :class:`mtl_edge.quantize.refinements.Refinements`.
    """

    method: Literal["minmax", "moving-average", "percentile", "entropy", "mse", "auto"] = "mse"
    target: Literal["this-box", "x86-vnni", "x86-avx2", "arm64"] = "this-box"
    placement: Literal["measured", "all"] = "measured"
    equalize: bool = False
    rounding: Literal["nearest", "compensated"] = "compensated"
    correct_bias: bool = True
    guard: bool = True
    finetune: Literal["never", "if-needed", "always"] = "if-needed"
    finetune_steps: Count = 400


class CompressSpec(Section, frozen=True):
    """``[compress]``: pruning, distillation and static int8 quantization."""

    prune: PruneSpec = PruneSpec()
    distill: DistillSpec = DistillSpec()
    quantize: QuantizeSpec = QuantizeSpec()
