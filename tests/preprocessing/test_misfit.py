"""Tests of :mod:`mtl_edge.preprocessing.misfit`."""

import msgspec
import pytest

from mtl_edge.preprocessing import (
    CategoricalColumn,
    Features,
    NumericColumn,
    Pixels,
    Preprocessing,
    RawCategories,
    RawNumbers,
    RawPixels,
    Table,
    Tokens,
    misfit,
)

PIXELS = Pixels(raw_dtype="uint8", scale=0.5, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0))
COLUMNS = (NumericColumn(name="age", mean=0, std=1), NumericColumn(name="size", mean=0, std=1))
KINDS = CategoricalColumn(name="kind", categories=("a", "b"))

FITTING: list[tuple[Preprocessing, tuple[int | str, ...]]] = [
    (PIXELS, ("batch", 3, 8, 8)),
    (PIXELS, ("batch", "channels", 8, 8)),
    (RawPixels(pixels=PIXELS), ("batch", 3, 8, 8)),
    (RawPixels(pixels=PIXELS, size=(8, 8)), ("batch", "height", "width", 3)),
    (Table(columns=COLUMNS), ("batch", 2)),
    (Tokens(vocabulary=("a",), length=7), ("batch", 7)),
    (RawNumbers(columns=("age", "size"), places=(0, 2), of=3), ("batch", 2)),
    (RawCategories(columns=(KINDS,), places=(1,), of=3), ("batch", 1)),
    (Features(dtype="uint8"), ("batch", 64)),
]


@pytest.mark.parametrize(("steps", "shape"), FITTING)
def test_steps_fit_the_input_that_they_were_made_for(steps: Preprocessing, shape: tuple[int | str, ...]) -> None:
    """Sizes that the caller chooses fit anything."""
    assert misfit(steps, shape) is None


@pytest.mark.parametrize(("steps", "shape"), FITTING)
def test_no_steps_fit_an_input_without_samples(steps: Preprocessing, shape: tuple[int | str, ...]) -> None:
    """Nor one whose size is below 0."""
    for wrong in ((), (*shape[:-1], -1)):
        assert "the shape must have an axis for samples" in (misfit(steps, wrong) or "")


@pytest.mark.parametrize(
    ("steps", "shape", "fault"),
    [
        (PIXELS, ("batch", 4, 8, 8), "there must be 4 values of mean, found 3"),
        (msgspec.structs.replace(PIXELS, std=(1.0, 2.0)), ("batch", "c"), "there must be 3 values of std, found 2"),
        (msgspec.structs.replace(PIXELS, std=(1.0, 0.0, 1.0)), ("batch", 3), "must be finite, and no std 0"),
        (msgspec.structs.replace(PIXELS, scale=float("inf")), ("batch", 3), "must be finite, and no std 0"),
        (msgspec.structs.replace(PIXELS, raw_dtype="object"), ("batch", 3), "must be one of numbers, found 'object'"),
        (RawPixels(pixels=PIXELS, size=(8, 8)), ("batch", 3), "there must be 4 axes, found 2"),
        (Table(columns=COLUMNS), ("batch", 3), "there must be 2 columns, found 3"),
        (Table(columns=COLUMNS), ("batch", 2, 1), "there must be 2 axes, found 3"),
        (Tokens(vocabulary=("a",), length=7), ("batch", 8), "there must be 7 columns, found 8"),
        (RawNumbers(columns=("age",), places=(3,), of=3), ("batch", 1), "must have a place among 3, found [3]"),
        (RawCategories(columns=(KINDS,), places=(), of=3), ("batch", 0), "must have a place among 3, found []"),
        (Features(dtype="object"), ("batch", 3), "must be one of numbers, found 'object'"),
    ],
)
def test_what_does_not_fit_is_told(steps: Preprocessing, shape: tuple[int | str, ...], fault: str) -> None:
    """The rule and what was found."""
    assert fault in (misfit(steps, shape) or "")
