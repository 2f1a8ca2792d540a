"""Tests of :mod:`mtl_edge.compress.target`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mtl_edge.compress.target import Target, read_target
from mtl_edge.errors import RecipeError
from mtl_edge.recipe import load_recipe


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("0.5x latency", Target(0.5, "latency")),
        ("0.25 x size", Target(0.25, "size")),
        (" 0.5x parameters ", Target(0.5, "parameters")),
        ("1.2 ms", Target(1.2, "latency", absolute=True)),
    ],
)
def test_a_target_is_a_share_of_the_dense_network_or_a_time(text: str, target: Target) -> None:
    """It is shown as it is written."""
    assert read_target(text) == target
    assert str(read_target(str(target))) == str(target)


@pytest.mark.parametrize("text", ["", "fast", "0.5x", "0.5x flops", "2x latency", "0x size", "0 ms", "-1 ms", "1.2 s"])
def test_what_is_no_target_is_told_with_the_key(
    text: str, tiny_recipe_text: str, write_recipe: Callable[[str], Path]
) -> None:
    """File, key, rule, and what was found, in one line."""
    path = write_recipe(f"{tiny_recipe_text}\n[compress]\nprune = {{ target = '{text}' }}\n")
    with pytest.raises(RecipeError, match=r"tiny.toml: compress.prune.target: must be as in '0.5x latency', .*found '"):
        load_recipe(path)
