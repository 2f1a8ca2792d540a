"""Which share of a layer's weights stays, as recipes and manifests write it: ``2:4``, or ``0.8`` for what leaves."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Blocks:
    """Of each ``of`` neighbours among a layer's input channels, ``kept`` stay."""

    kept: int
    of: int

    def __str__(self) -> str:
        return f"{self.kept}:{self.of}"


Pattern = Blocks | float
"""Or the share of all weights that leave."""


def read_pattern(text: str | float) -> Pattern:
    """Understand a pattern.

    Raises:
        ValueError: it is none.
    """
    if isinstance(text, float) and 0 < text < 1:
        return text
    if isinstance(text, str) and (found := re.fullmatch(r"([1-9]\d{0,3}):([1-9]\d{0,3})", text)):
        kept, of = map(int, found.groups())
        if kept < of:
            return Blocks(kept, of)
    raise ValueError(
        "must be N:M with N below M, such as '2:4' for 2 of 4 weights that stay, or the share of the weights that "
        f"leave, above 0 and below 1, found {text!r}"
    )
