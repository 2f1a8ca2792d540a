"""What one part of a split model hands to another: the network's own values, in between."""

import msgspec
import numpy as np


class Features(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="features", tag_field="kind"):
    """The output of the trunk that has the input's name, as it is; of this dtype, numpy's name of it."""

    dtype: str

    @property
    def raw_dtype(self) -> str:
        """What is handed over."""
        return self.dtype

    def layout(self, rank: int) -> str:
        """The axes: samples and channels, or what the trunk makes of them."""
        return "NC" + {3: "T", 4: "HW", 5: "DHW"}.get(rank, "")

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """The same array."""
        return raw
