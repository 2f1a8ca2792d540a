"""Rows of a table that a graph encodes by itself: its numbers and its categories are an input each."""

from collections.abc import Sequence
from dataclasses import dataclass

from mtl_edge.artifact import ModelInput
from mtl_edge.preprocessing import RawCategories, RawNumbers


@dataclass(frozen=True)
class RowsInGraph:
    """What a client makes of a row.

    Attributes:
        columns: all of them, in the order of the data set.
        numbers, texts: those that go into each of the two inputs, in its order.
        numbers_input, texts_input: what the graph calls them; None where no column is of numbers.
    """

    columns: tuple[str, ...]
    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    numbers_input: str | None
    texts_input: str


def rows_in_graph(inputs: Sequence[ModelInput]) -> RowsInGraph | None:
    """The rows that a model reads, or None if it reads something else."""
    steps = {type(item.preprocessing): item for item in inputs}
    if RawCategories not in steps or not steps.keys() <= {RawCategories, RawNumbers} or len(steps) < len(inputs):
        return None
    places: dict[str, int] = {}
    numbers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    for item in inputs:
        match item.preprocessing:
            case RawNumbers() as found:
                numbers = found.columns
                places |= dict(zip(found.columns, found.places, strict=True))
            case RawCategories() as found:
                texts = tuple(column.name for column in found.columns)
                places |= dict(zip(texts, found.places, strict=True))
    return RowsInGraph(
        columns=tuple(sorted(places, key=places.__getitem__)),
        numbers=numbers,
        texts=texts,
        numbers_input=steps[RawNumbers].name if numbers else None,
        texts_input=steps[RawCategories].name,
    )
