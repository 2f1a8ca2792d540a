"""``[compress]``."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mtl_edge.compress.pattern import read_pattern
from mtl_edge.compress.target import read_target
from mtl_edge.recipe.net import NetSpec
from mtl_edge.recipe.section import Count, NotNegative, Positive, Section, Share

TrainedStep = Literal["student", "prune", "sparsify"]
"""A step that trains a network in fp32; :mod:`mtl_edge.stages.variants` takes each of them."""
Step = TrainedStep | Literal["quantize"]

MADE_BY: dict[TrainedStep, str] = {"student": "student", "prune": "pruned", "sparsify": "sparse"}
"""What the variant is called that a step leaves."""


class PruneSpec(Section, frozen=True):
    """``[compress.prune]``: the share of channels to remove, what they are worth, and the fine-tuning that follows.

    A ``target`` stands in place of the ratio: it is read by :func:`mtl_edge.compress.target.read_target`.
    ``depth`` is how many residual blocks leave, or ``auto``: with a target of latency, as many as are less of a loss to
    the tasks than channels are at the same latency.
    ``importance`` and ``across`` are as of :func:`mtl_edge.compress.importance.rank`; ``budget`` counts a task the more
    the less it may lose by its ``max_drop``. With several ``steps`` a part leaves in each, and is followed by its share
    of the ``epochs``; to ``stop`` at a ``budget`` ends them where a task has lost more than its ``max_drop``.
    """

    ratio: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    target: str | None = None
    depth: Literal["off", "auto"] | Count = "off"
    importance: Literal["taylor", "magnitude", "bn-scale"] = "taylor"
    across: Literal["sum", "worst", "budget"] = "sum"
    round_to: Count = 8
    steps: Count = 1
    stop: Literal["never", "budget"] = "never"
    epochs: Count = 8
    learning_rate: Positive = 3e-3

    def __post_init__(self) -> None:
        of = None
        if self.target is not None:
            try:
                of = read_target(self.target).of
            except ValueError as error:
                raise ValueError(f"target: {error}") from error
        if self.depth == "auto" and of != "latency":
            raise ValueError(f"depth: 'auto' must have a target of latency, found {self.target or 'a ratio'}")
        if self.steps > self.epochs:
            raise ValueError(f"steps: must be at most epochs, {self.epochs}, since each has one, found {self.steps}")


class StudentSpec(Section, frozen=True):
    """``[compress.student]``: a network that is trained from scratch by the teachers of ``[compress.distill]``.

    In a recipe ``net`` says what differs from ``[net]``, here it is the whole network; None is the same one.
    ``epochs`` and ``learning_rate`` are those of ``[train]`` where they are None.
    """

    net: NetSpec | None = None
    epochs: Count | None = None
    learning_rate: Positive | None = None


class DistillSpec(Section, frozen=True):
    """``[compress.distill]``: who teaches the networks that follow the dense one, and what.

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


class SparsifySpec(Section, frozen=True):
    """``[compress.sparsify]``: masks over weights by :mod:`mtl_edge.compress.masks`, and the fine-tuning that follows.

    ``pattern`` is read by :func:`mtl_edge.compress.pattern.read_pattern`.
    """

    pattern: float | str
    across: Literal["network", "layer"] = "network"
    epochs: Count = 8
    learning_rate: Positive = 3e-3

    def __post_init__(self) -> None:
        try:
            read_pattern(self.pattern)
        except ValueError as error:
            raise ValueError(f"pattern: {error}") from error


class QuantizeSpec(Section, frozen=True):
    """``[compress.quantize]``: how ranges are taken from the calibration samples, and for which kind of processor.

    ``this-box`` is the kind that makes the model. ``measured`` puts into int8 what is faster so on this box; for
    another kind of processor, and with ``all``, everything goes there that can. ``guard`` puts layers back into float
    where an output would be broken on validation samples, but for ``all``, where that is only said. ``finetune`` trains
    the int8 model with the teachers of ``[compress.distill]``, ``if-needed`` where a task misses its ``max_drop``
    otherwise. The other keys are those of :class:`mtl_edge.quantize.refinements.Refinements`.
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
    """``[compress]``: what follows the training of the dense network, step by step in this ``order``.

    Each step that trains leaves a variant, of which the next one goes on; ``quantize`` makes int8 of every variant, and
    of the dense network.
    """

    order: tuple[Step, ...] = ("prune", "quantize")
    student: StudentSpec | None = None
    prune: PruneSpec = PruneSpec()
    distill: DistillSpec = DistillSpec()
    sparsify: SparsifySpec | None = None
    quantize: QuantizeSpec = QuantizeSpec()

    def __post_init__(self) -> None:
        for step in self.order:
            if self.order.count(step) > 1:
                raise ValueError(f"order: each step is taken once, found {step!r} {self.order.count(step)} times")
        if "quantize" in self.order[:-1]:
            after = ", ".join(map(repr, self.order[self.order.index("quantize") + 1 :]))
            raise ValueError(f"order: 'quantize' must come last, for no step goes on from int8, found {after} after it")
        for step, spec, key in (("student", self.student, "net"), ("sparsify", self.sparsify, "pattern")):
            if step in self.order and spec is None:
                raise ValueError(f"order: {step!r} needs a [compress.{step}] table with its {key}, found none")
            if step not in self.order and spec is not None:
                named = ", ".join(map(repr, self.order)) or "no step"
                raise ValueError(f"{step}: {step!r} must be a step of compress.order, found {named}")
        if "sparsify" in self.trained[:-1]:
            after = self.trained[self.trained.index("sparsify") + 1]
            raise ValueError(f"order: 'sparsify' must be the last step that trains, found {after!r} after it")

    @property
    def zeros(self) -> str | None:
        """The pattern of the sparse networks, if there are some."""
        return None if self.sparsify is None else str(self.sparsify.pattern)

    @property
    def trained(self) -> tuple[TrainedStep, ...]:
        """The steps that train, in their order."""
        return tuple(step for step in self.order if step != "quantize")

    @property
    def variants(self) -> tuple[str, ...]:
        """What there is in the end, unless it is withheld: each network before its int8 form."""
        forms = ("", "-int8") if "quantize" in self.order else ("",)
        return tuple(f"{name}{form}" for name in ("dense", *map(MADE_BY.get, self.trained)) for form in forms)
