"""How far one model's outputs are from another's."""

from collections.abc import Mapping

import numpy as np

from mtl_edge.runtime import open_session

Outputs = Mapping[str, np.ndarray]
"""Output name -> values."""


def difference(theirs: bytes, mine: bytes, batch: Mapping[str, np.ndarray]) -> float:
    """How far the outputs of one model are from another's, as :func:`largest_gap` has it, on one batch."""
    sessions = [open_session(model, threads=1) for model in (theirs, mine)]
    names = [item.name for item in sessions[0].get_outputs()]
    before, after = (dict(zip(names, session.run(names, dict(batch)), strict=True)) for session in sessions)
    return largest_gap(before, after)


def largest_gap(before: Outputs, after: Outputs) -> float:
    """The largest difference of any output, over that output's largest magnitude; infinite if it is not finite.

    0 is equal to the bit, for texts as well. Outputs that only one side has count nowhere.
    """
    return max((_gap(before[name], after[name]) for name in before if name in after), default=0.0)


def _gap(before: np.ndarray, after: np.ndarray) -> float:
    if before.shape != after.shape or before.dtype != after.dtype:
        return np.inf
    if np.array_equal(before, after, equal_nan=before.dtype.kind == "f"):
        return 0.0
    if before.dtype.kind not in "fiub":
        return np.inf
    wide = before.astype(np.float64)
    gap = np.abs(wide - after).max() / max(np.abs(wide).max(), np.finfo(np.float32).tiny)
    return float(gap) if np.isfinite(gap) else np.inf
