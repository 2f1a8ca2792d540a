"""What a hop may move depends on what it does, and on the dtype; the worst output and index are named."""

import numpy as np
import pytest

from mtl_edge.errors import ParityError
from mtl_edge.export.hops import check_hop, require, spent_by
from mtl_edge.tasks import Multiclass, Regression

RNG = np.random.default_rng(0)
BEFORE = {"a": RNG.standard_normal((50, 3)), "b": np.arange(50)}


def _moved(output: str, index: tuple[int, ...], by: float) -> dict[str, np.ndarray]:
    after = {name: array.copy() for name, array in BEFORE.items()}
    after[output][index] += by
    return after


def test_equal_outputs_are_equal_to_the_last_bit() -> None:
    """New outputs are not compared."""
    hop = check_hop("one -> two", BEFORE, {**BEFORE, "new": np.zeros(3)})
    assert hop.holds
    assert hop.exact
    assert hop.describe() == "one -> two: equal to the last bit"


def test_last_bits_hold_and_more_does_not() -> None:
    """1e-4 of an output's spread; the worst place is named."""
    assert require(check_hop("h", BEFORE, _moved("a", (7, 2), 1e-6))).worst.index == (7, 2)
    with pytest.raises(ParityError, match=r"h: output 'a' at \(7, 2\): largest difference 1\.\de-02 standard dev"):
        require(check_hop("h", BEFORE, _moved("a", (7, 2), 1e-2)))


def test_a_decision_may_not_move_where_nothing_is_rounded() -> None:
    """One label that is off by one is an error, however many are right."""
    with pytest.raises(ParityError, match=r"output 'b' at \(4,\): largest difference 1\.0e\+00, at most 0e\+00"):
        require(check_hop("h", BEFORE, _moved("b", (4,), 1)))
    assert check_hop("h", BEFORE, _moved("b", (4,), 1), rounds=True).holds


def test_where_weights_are_rounded_noise_counts() -> None:
    """One value may be far off, all together may not."""
    assert check_hop("fp32 -> int8", BEFORE, _moved("a", (7, 2), 0.5), rounds=True).holds
    noisy = {**BEFORE, "a": BEFORE["a"] + 0.2 * RNG.standard_normal((50, 3))}
    hop = check_hop("fp32 -> int8", BEFORE, noisy, rounds=True)
    assert not hop.holds
    assert "output 'a'" in hop.describe()
    assert "noise 2." in hop.describe()


def test_nan_is_never_within_a_tolerance_unless_it_was_there() -> None:
    """A value that is not a number any more is infinitely far off."""
    assert check_hop("h", {"a": np.array([np.nan, 1.0])}, {"a": np.array([np.nan, 1.0])}).holds
    hop = check_hop("h", BEFORE, _moved("a", (1, 1), np.nan), rounds=True)
    assert not hop.holds
    assert hop.worst.largest == np.inf


def test_missing_and_misshapen_outputs_are_errors_at_once() -> None:
    """There is nothing to compare."""
    with pytest.raises(ParityError, match=r"h: output 'b' must have the shape \(50,\), found none"):
        check_hop("h", BEFORE, {"a": BEFORE["a"]})


def test_tasks_are_held_to_their_budgets() -> None:
    """A budget of the recipe, or 1 point, or 2 % of an error."""
    tasks = (
        Multiclass(name="kind", target="kind", classes=3, max_drop="3pt"),
        Multiclass(name="other", target="other", classes=3),
        Regression(name="size", target="size"),
    )
    before = {"kind": {"accuracy": 0.9}, "other": {"accuracy": 0.9}, "size": {"mae": 1.0}}
    after = {"kind": {"accuracy": 0.88}, "other": {"accuracy": 0.88}, "size": {"mae": 1.03}}
    spent = spent_by(tasks, before, after)
    assert [item.holds for item in spent] == [True, False, False]
    hop = check_hop("fp32 -> int8", BEFORE, BEFORE, rounds=True, spent=spent)
    assert not hop.holds
    assert hop.describe() == "fp32 -> int8: other loses 2.00 of 1 pt, size loses 3.00 of 2 %"
