"""What is done to weights and biases so that 8 bits cost less; each of it can be switched on its own."""

from typing import Literal

import msgspec

RoundingName = Literal["nearest", "compensated"]


class Refinements(msgspec.Struct, frozen=True, kw_only=True):
    """The steps besides taking ranges and rounding.

    Attributes:
        equalize: scale channels between layers so that they are of like size, before calibration; see
            :mod:`mtl_edge.quantize.equalize`.
        rounding: of weights: each to the ``nearest`` 8-bit number, or so that those of a channel ``compensated`` each
            other's errors; see :mod:`mtl_edge.quantize.rounding`.
        correct_bias: take off the shift of means that rounding causes; see :mod:`mtl_edge.quantize.bias`.
    """

    equalize: bool = False
    rounding: RoundingName = "compensated"
    correct_bias: bool = True

    @property
    def read_again(self) -> bool:
        """Whether calibration data is needed again once ranges are known."""
        return self.correct_bias or self.rounding == "compensated"
