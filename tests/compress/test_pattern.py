"""Tests of :mod:`mtl_edge.compress.pattern`."""

import pytest

from mtl_edge.compress.pattern import Blocks, read_pattern


def test_a_pattern_is_blocks_or_a_share() -> None:
    """N of M stay, or a share leaves; both are written back as they were read."""
    assert read_pattern("2:4") == Blocks(2, 4)
    assert read_pattern(0.8) == 0.8
    assert [str(read_pattern(text)) for text in ("2:4", "1:16", 0.8)] == ["2:4", "1:16", "0.8"]


@pytest.mark.parametrize("text", ["4:4", "0:4", "4:2", "2/4", "2:4 ", "", "0.8", 0.0, 1.0, -0.5, 2])
def test_another_pattern_is_refused(text: str | float) -> None:
    """One line says what there can be, and what was found."""
    with pytest.raises(ValueError, match=f"must be N:M with N below M, .*, found {text!r}$"):
        read_pattern(text)
