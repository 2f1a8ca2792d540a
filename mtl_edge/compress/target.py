"""How small a pruned network is to become: ``0.5x latency``, ``1.2 ms``, ``0.5x size``, ``0.5x parameters``."""

import re
from typing import Literal

import msgspec

Quantity = Literal["latency", "size", "parameters"]

_RATIO = re.compile(r"(?P<amount>\d+(\.\d+)?) ?x (?P<of>latency|size|parameters)")
_MILLISECONDS = re.compile(r"(?P<amount>\d+(\.\d+)?) ?ms")


class Target(msgspec.Struct, frozen=True):
    """An amount ``of`` a quantity, relative to the dense network's, or in milliseconds."""

    amount: float
    of: Quantity
    absolute: bool = False

    def part(self, share: float, whole: float) -> "Target":
        """What is to be reached so far on the way from a whole network, to three digits: equal steps, equal factors.

        Args:
            share: of the steps.
            whole: the amount of the network that is not pruned.
        """
        if share == 1:
            return self
        amount = whole * (self.amount / whole) ** share
        return Target(float(f"{amount:.3g}"), self.of, self.absolute)

    def __str__(self) -> str:
        return f"{self.amount:g} ms" if self.absolute else f"{self.amount:g}x {self.of}"


def read_target(text: str) -> Target:
    """Read a target as a recipe gives it.

    Raises:
        ValueError: it is not of this form.
    """
    text = text.strip()
    if (found := _RATIO.fullmatch(text)) and 0 < float(found["amount"]) < 1:
        of: Quantity = found["of"]  # type: ignore[assignment]
        return Target(float(found["amount"]), of)
    if (found := _MILLISECONDS.fullmatch(text)) and float(found["amount"]) > 0:
        return Target(float(found["amount"]), "latency", absolute=True)
    raise ValueError(
        "must be as in '0.5x latency', '0.5x size' or '0.5x parameters', with a share between 0 and 1, or as in "
        f"'1.2 ms', found {text!r}"
    )
