"""``[train]``."""

from typing import Annotated, Literal

from msgspec import Meta

from mtl_edge.recipe.section import Count, NotNegative, Positive, Section


class TrainSpec(Section, frozen=True):
    """``[train]``: AdamW with a one-cycle schedule; equal task weights.

    ``precision`` is that of the forward pass; ``auto`` takes bf16 where the CPU has instructions for it.
    """

    epochs: Count = 12
    batch_size: Annotated[int, Meta(ge=2)] = 128
    learning_rate: Positive = 4e-3
    weight_decay: NotNegative = 0.05
    precision: Literal["auto", "bf16", "fp32"] = "auto"
