"""Tests of :mod:`mtl_edge.report.outcomes`."""

import msgspec

from mtl_edge.quantize.guard import Guarded
from mtl_edge.report.document import RunReport
from mtl_edge.report.outcomes import guard_line, outcome_warnings

_HEALED = Guarded(
    samples=64,
    seen=False,
    noise_db={"left": 31.0, "sum": 47.6},
    broken={"sum": 1.6},
    beyond=59,
    reverted=("fc1", "relu", "fc2", "fc3", "fc4"),
)


def test_what_int8_would_have_broken_is_told_with_what_was_done() -> None:
    """Which output on which samples, and the first of the nodes that went back."""
    assert guard_line(_HEALED) == (
        "int8 would break sum (2 dB) on 64 samples that calibration did not see, 59 of them beyond its range: "
        "back in float are fc1, relu, fc2, 2 more, now 48 dB"
    )


def test_what_int8_breaks_is_told_with_what_would_help() -> None:
    """Of samples that calibration saw none lies beyond them."""
    broken = msgspec.structs.replace(_HEALED, seen=True, noise_db={"left": 31.0, "sum": 1.6}, beyond=0, reverted=())
    assert broken.shipped_broken == ("sum",)
    assert guard_line(broken) == (
        "int8 breaks sum (2 dB) on 64 samples that calibration saw; "
        "placement measured puts guilty layers back into float"
    )


def test_a_run_warns_of_what_was_broken_and_of_nothing_else(finished: RunReport) -> None:
    """Each variant for itself."""
    outcome = finished.quantized["dense-int8"]
    sound = Guarded(samples=64, seen=False, noise_db={"left": 31.0, "sum": 28.0})
    assert guard_line(sound) == "no output below 28 dB on 64 samples that calibration did not see"
    found = outcome_warnings(
        {
            "dense-int8": msgspec.structs.replace(outcome, guarded=sound),
            "pruned-int8": msgspec.structs.replace(outcome, guarded=_HEALED),
        }
    )
    assert found == [f"pruned-int8: {guard_line(_HEALED)}"]
