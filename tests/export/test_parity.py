"""A difference between torch and the runtime is found and named."""

import numpy as np
import pytest

from mtl_edge.errors import ParityError
from mtl_edge.export.parity import check_parity, compare

REFERENCE = {"a": np.arange(12.0).reshape(4, 3), "b": np.ones((4, 1))}


def test_equal_outputs_have_no_difference() -> None:
    """Zero, exactly."""
    assert compare(REFERENCE, REFERENCE).difference == 0


def test_the_worst_output_and_index_are_named() -> None:
    """The difference is in standard deviations of the output."""
    candidate = {"a": REFERENCE["a"].copy(), "b": REFERENCE["b"]}
    candidate["a"][2, 1] += 0.5
    worst = compare(REFERENCE, candidate)
    assert (worst.output, worst.index) == ("a", (2, 1))
    assert worst.difference == pytest.approx(0.5 / REFERENCE["a"].std())
    with pytest.raises(ParityError, match=r"output 'a' at \(2, 1\) differs by 1\.4"):
        check_parity(REFERENCE, candidate)


def test_nan_is_the_worst_difference() -> None:
    """An output that is not a number is never within a tolerance."""
    candidate = {"a": REFERENCE["a"], "b": np.full((4, 1), np.nan)}
    with pytest.raises(ParityError, match=r"output 'b' at \(0, 0\) differs by inf"):
        check_parity(REFERENCE, candidate)


@pytest.mark.parametrize("found", [{"a": REFERENCE["a"]}, {"a": REFERENCE["a"], "b": np.ones((4, 2))}])
def test_missing_and_misshapen_outputs_are_named(found: dict[str, np.ndarray]) -> None:
    """The message has the expected shape and the found one."""
    with pytest.raises(ParityError, match=r"output 'b': must have the shape \(4, 1\), found"):
        compare(REFERENCE, found)
