"""Several models are profiled one after the other."""

from pathlib import Path

from mtl_edge.profile.several import profile_each


def test_a_model_that_cannot_be_profiled_is_told_beside_the_others(three_tasks: Path, tmp_path: Path) -> None:
    """Its failure is a line that names it, and no figure of another is lost."""
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    profiles = profile_each([broken, three_tasks], threads=1, seconds=0.02)
    assert [profile.path for profile in profiles.found] == [str(three_tasks)]
    assert [task.marginal_ms is not None for task in profiles.found[0].tasks] == [True] * 3
    (failure,) = profiles.failures
    assert failure.startswith(f"{broken}: ")
    assert "\n" not in failure
