"""How much the classes count in a loss, as the recipe says it."""

from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

Balanced = Literal["balanced"]
Weight = Annotated[float, Meta(gt=0, le=1e9)]  # an end, so that inf is refused
Smoothing = Annotated[float, Meta(ge=0, lt=1)]


def balanced_weights(counts: np.ndarray) -> tuple[float, ...]:
    """Weights under which each class that occurs counts the same; over all labels their mean is 1.

    A class that does not occur weighs 1, which is never used.

    Args:
        counts: how often each class occurs ``(classes,)``.
    """
    occurs = counts > 0
    share = counts.sum() / max(int(occurs.sum()), 1)
    return tuple(float(share / count) if count else 1.0 for count in counts)
