"""Random inputs have the graph's own shapes and dtypes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from mtl_edge.bench.inputs import describe, random_inputs
from mtl_edge.errors import BenchError


@dataclass
class Input:
    """What ONNX Runtime says of an input."""

    name: str
    type: str
    shape: Sequence[int | str | None]


def test_unknown_sizes_are_the_batch_in_front_and_one_behind() -> None:
    """Fixed sizes stay, named ones are looked up, the others get a default."""
    inputs = [Input("x", "tensor(float)", ["n", 3, "height", None]), Input("ids", "tensor(int64)", [None, "seq"])]
    arrays = random_inputs(inputs, batch=2, dims={"seq": 5}, place="m")
    assert describe(arrays) == "x float32[2,3,1,1], ids int64[2,5]"


def test_integers_are_valid_rows_of_any_table() -> None:
    """Zero or one, so that no lookup fails."""
    ids = random_inputs([Input("ids", "tensor(int32)", [1000])], batch=1, dims={}, place="m")["ids"]
    assert set(np.unique(ids)) == {0, 1}


def test_inputs_are_the_same_every_time() -> None:
    """Two processes measure the same numbers."""
    wanted = [Input("x", "tensor(float16)", [4, 4])]
    first, second = (random_inputs(wanted, batch=1, dims={}, place="m")["x"] for _ in range(2))
    assert (first == second).all()


def test_text_inputs_are_refused() -> None:
    """The message names the model, the input and its type."""
    with pytest.raises(BenchError, match=r"m: input 's' must be a tensor of numbers, found tensor\(string\)"):
        random_inputs([Input("s", "tensor(string)", [1])], batch=1, dims={}, place="m")
