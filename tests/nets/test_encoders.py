"""Rows of a table become vectors that do not depend on the columns' units."""

import numpy as np
import torch

from mtl_edge.nets.encoders import TableEncoder
from mtl_edge.preprocessing import CategoricalColumn, NumericColumn, Table


def _encoded(encoder: TableEncoder, *rows: list[float]) -> np.ndarray:
    with torch.no_grad():
        return encoder(torch.tensor(rows)).numpy()


def test_numbers_are_standardised_and_nan_is_the_mean(table: Table) -> None:
    """A missing number gives exactly what the mean gives: zero."""
    found = _encoded(TableEncoder(table, 2), [60_000, 0, float("nan"), 0], [float("nan"), 0, 0.01, 0])
    np.testing.assert_allclose(found[:, :2], [[1, 0], [0, -1]], rtol=1e-5)


def test_each_category_of_each_column_has_a_vector_of_its_own(table: Table) -> None:
    """The columns share one table, and no row of it; 3 and 4 codes with 0 for the unknown."""
    encoder = TableEncoder(table, 2)
    found = _encoded(encoder, *([0, city, 0, job] for city, job in ((0, 0), (1, 1), (2, 2), (0, 3))))[:, 2:]
    vectors = encoder.embedding.weight.detach().numpy()
    assert vectors.shape == (3 + 4, 2)
    np.testing.assert_array_equal(found[:, :2], vectors[[0, 1, 2, 0]])
    np.testing.assert_array_equal(found[:, 2:], vectors[[3, 4, 5, 6]])


def test_no_code_can_fail(table: Table) -> None:
    """Codes outside are the nearest ones inside; what is no number at all is unknown."""
    encoder = TableEncoder(table, 2)
    nan, inf = float("nan"), float("inf")
    found = _encoded(encoder, [0, -5, 0, 99], [0, nan, 0, -inf], [0, 0, 0, 3], [0, 0, 0, 0])
    np.testing.assert_array_equal(found[:2], found[2:])


def test_tables_of_one_kind_of_column_only_are_read() -> None:
    """Neither numbers nor categories need the other."""
    number, category = NumericColumn(name="a", mean=1.0, std=0.0), CategoricalColumn(name="b", categories=("x",))
    assert _encoded(TableEncoder(Table(columns=(number,)), 3), [2.0]).tolist() == [[1.0]]
    encoder = TableEncoder(Table(columns=(category, category)), 3)
    assert _encoded(encoder, [1.0, 0.0]).shape == (1, encoder.features) == (1, 6)
