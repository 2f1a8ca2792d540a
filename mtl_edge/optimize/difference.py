"""How far one model's outputs are from another's."""

from collections.abc import Mapping, Sequence

import numpy as np

from mtl_edge.errors import DataError, last_words
from mtl_edge.runtime import open_session

Outputs = Mapping[str, np.ndarray]
"""Output name -> values."""


Batches = Sequence[Mapping[str, np.ndarray]]
"""Input name -> values, several times."""


def difference(theirs: bytes, mine: bytes, batch: Mapping[str, np.ndarray]) -> float:
    """How far the outputs of one model are from another's, as :func:`largest_gap` has it, on one batch.

    Raises:
        ModelError: a model cannot be loaded.
        DataError: it cannot be run on the batch.
    """
    (before,), (after,) = (answers_of(model, [batch]) for model in (theirs, mine))
    return largest_gap(before, after)


def answers_of(model: bytes, batches: Batches) -> list[dict[str, np.ndarray]]:
    """All outputs of a model for each batch; inputs that it does not have are left out.

    Raises:
        ModelError: the model cannot be loaded.
        DataError: it cannot be run on them.
    """
    session = open_session(model, threads=1)
    inputs, outputs = ([item.name for item in items] for items in (session.get_inputs(), session.get_outputs()))
    answers = []
    for batch in batches:
        try:
            found = session.run(outputs, {name: batch[name] for name in inputs})
        except Exception as error:  # the runtime's own exception types are not public
            raise DataError(f"the model must run on its inputs: {last_words(error)}") from error
        answers.append(dict(zip(outputs, found, strict=True)))
    return answers


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
