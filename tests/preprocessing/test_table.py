"""Tests of :mod:`mtl_edge.preprocessing.table`."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mtl_edge.preprocessing import CategoricalColumn, NumericColumn, Table, fit_table
from mtl_edge.preprocessing.moments import Moments
from mtl_edge.preprocessing.table import category

_NUMBERS = st.one_of(st.just(np.nan), st.floats(-1e6, 1e6))


@given(
    st.lists(
        npst.arrays(np.float64, st.tuples(st.integers(0, 6), st.just(3)), elements=_NUMBERS), min_size=1, max_size=5
    )
)
def test_moments_of_parts_are_those_of_the_whole(parts: list[np.ndarray]) -> None:
    """However the rows come, and whatever is missing."""
    moments = Moments(3)
    for part in parts:
        moments.add(part)
    whole = np.concatenate(parts)
    for column in range(3):
        known = whole[:, column][~np.isnan(whole[:, column])]
        mean, std = (known.mean(), known.std()) if len(known) else (0, 0)
        assert moments.mean[column] == pytest.approx(mean, rel=1e-9, abs=1e-6)
        assert moments.std[column] == pytest.approx(std, rel=1e-6, abs=1e-4)


def _fit(column: np.ndarray, **options: object) -> NumericColumn | CategoricalColumn:
    parts = np.array_split(column, 3)
    table = fit_table(({"x": part} for part in parts), **{"max_categories": 100, "min_count": 1} | options)  # type: ignore[arg-type]
    return table.columns[0]


def test_ten_whole_numbers_are_categories_and_eleven_are_numbers() -> None:
    """The limit is the same wherever the eleventh stands."""
    assert isinstance(_fit(np.arange(100.0) % 10), CategoricalColumn)
    for place in (0, 50, 99):
        values = np.arange(100.0) % 10
        values[place] = 10
        found = _fit(values)
        assert isinstance(found, NumericColumn)
        assert found.mean == pytest.approx(values.mean())


def test_fractions_are_numbers_however_few() -> None:
    """One half is no category."""
    assert isinstance(_fit(np.array([0.5, 0.5, 1.0])), NumericColumn)


def test_a_constant_column_of_numbers_does_not_divide_by_zero() -> None:
    """Its unit is kept; so it is where no number is known at all."""
    assert _fit(np.full(9, 0.1)) == NumericColumn(name="x", mean=pytest.approx(0.1), std=1.0)
    assert _fit(np.full(9, np.nan), numeric=["x"]) == NumericColumn(name="x", mean=0.0, std=1.0)


def test_frequent_categories_come_first_and_rare_ones_not_at_all() -> None:
    """Equally frequent ones are in alphabetical order, and there are never more than asked for."""
    column = np.array(["b", "a", "c", "c", "b", "a", "d", None, "c"], object)
    assert _fit(column, min_count=2) == CategoricalColumn(name="x", categories=("c", "a", "b"))
    assert _fit(column, max_categories=2) == CategoricalColumn(name="x", categories=("c", "a"))


@given(st.lists(st.one_of(st.none(), st.text(max_size=3), st.booleans(), st.integers(-9, 9)), min_size=3, max_size=30))
def test_each_listed_category_has_its_own_code(cells: list[object]) -> None:
    """Code 0 is for what is missing; the code leads back to the name."""
    column = np.array(cells, object)
    fitted = _fit(column)
    assert isinstance(fitted, CategoricalColumn)
    codes = Table(columns=(fitted,)).encode({"x": column})
    assert (codes.shape, codes.dtype) == ((len(cells), 1), np.float32)
    for cell, code in zip(cells, codes[:, 0].astype(int), strict=True):
        assert (code == 0) == (cell is None)
        assert code == 0 or fitted.categories[code - 1] == category(cell)


def test_numbers_of_a_category_have_one_name_whatever_their_type() -> None:
    """3 of an integer column and 3.0 of one with gaps are the same category; truth values are words."""
    assert [category(value) for value in (3, 3.0, "3", True, 2.5, None, float("nan"))] == (
        ["3", "3", "3", "True", "2.5", None, None]
    )


def test_applying_copies_and_changes_nothing() -> None:
    """Rows are encoded already; a mapped file's rows become ones that can be written to."""
    raw = np.array([[1, np.nan]], np.float32)
    raw.flags.writeable = False
    found = Table(columns=()).apply(raw)
    assert found.flags.writeable
    np.testing.assert_array_equal(found, raw)


def test_a_table_survives_its_json_exactly() -> None:
    """A client that reads the manifest encodes the same rows."""
    columns = {"n": np.arange(30) / 7, "c": np.array(["ä", "b", None] * 10, object)}
    table = fit_table([columns], max_categories=9, min_count=1)
    read = msgspec.json.decode(msgspec.json.encode(table), type=Table)
    np.testing.assert_array_equal(read.encode(columns), table.encode(columns))
