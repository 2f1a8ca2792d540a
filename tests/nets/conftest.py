"""Inputs of each kind, and small networks that have learned something from them."""

from collections.abc import Callable

import numpy as np
import pytest

from mtl_edge.artifact import ModelInput
from mtl_edge.preprocessing import CategoricalColumn, NumericColumn, Pixels, Preprocessing, Table, Tokens


@pytest.fixture(scope="session")
def source() -> Callable[..., ModelInput]:
    """What a network reads: numbers of some shape, unless the preprocessing says otherwise."""

    def make(*shape: int, preprocessing: Preprocessing | None = None) -> ModelInput:
        channels = shape[0]
        preprocessing = preprocessing or Pixels(
            raw_dtype="float32", scale=1.0, mean=(0.0,) * channels, std=(1.0,) * channels
        )
        return ModelInput(name="x", dtype=preprocessing.dtype, shape=("batch", *shape), preprocessing=preprocessing)

    return make


@pytest.fixture(scope="session")
def table() -> Table:
    """Numbers of very different units between categories."""
    return Table(
        columns=(
            NumericColumn(name="income", mean=50_000.0, std=10_000.0),
            CategoricalColumn(name="city", categories=("Bern", "Rome")),
            NumericColumn(name="rate", mean=0.02, std=0.01),
            CategoricalColumn(name="job", categories=("cook", "judge", "nurse")),
        )
    )


@pytest.fixture(scope="session")
def samples() -> Callable[[ModelInput, int], np.ndarray]:
    """Random samples of what a network reads."""

    def make(source: ModelInput, count: int) -> np.ndarray:
        rng = np.random.default_rng(0)
        match source.preprocessing:
            case Tokens() as tokens:
                return rng.integers(0, tokens.ids, (count, tokens.length))
            case Table() as table:
                columns = [
                    rng.normal(column.mean, column.std, count)
                    if isinstance(column, NumericColumn)
                    else rng.integers(0, len(column.categories) + 1, count)
                    for column in table.columns
                ]
                return np.stack(columns, axis=1).astype(np.float32)
            case _:
                return rng.standard_normal((count, *source.shape[1:])).astype(np.float32)

    return make
