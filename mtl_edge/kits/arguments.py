"""What an app gives for a sample: an argument for each input, but one for the two of rows that a graph encodes."""

from collections.abc import Sequence
from dataclasses import dataclass

from mtl_edge.artifact import ModelInput
from mtl_edge.preprocessing import CategoricalColumn, RawCategories, RawNumbers, Table


@dataclass(frozen=True)
class RowsInGraph:
    """Rows of a table that a graph encodes by itself: its numbers and its categories are an input each.

    Attributes:
        name: of the data set's array.
        columns: all of them, in the order of the data set.
        numbers, texts: those that go into each of the two inputs, in its order.
        numbers_input, texts_input: what the graph calls them; None where no column is of numbers.
    """

    name: str
    columns: tuple[str, ...]
    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    numbers_input: str | None
    texts_input: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """The graph's inputs that are made of a row: the numbers, if there are any, then the texts."""
        return (*([self.numbers_input] if self.numbers_input is not None else []), self.texts_input)


Argument = ModelInput | RowsInGraph


def cells_of(rows: Table | RowsInGraph) -> tuple[tuple[str, bool], ...]:
    """The columns of a row, in their order: the name, and whether it is one of categories."""
    if isinstance(rows, RowsInGraph):
        return tuple((name, name in rows.texts) for name in rows.columns)
    return tuple((column.name, isinstance(column, CategoricalColumn)) for column in rows.columns)


def row_type(name: str) -> str:
    """What the type of an argument's rows is called, where there are several arguments."""
    return f"{name[0].upper()}{name[1:]}Row"


def arguments(inputs: Sequence[ModelInput]) -> tuple[Argument, ...]:
    """What a model's client is given, in the order of the inputs that are made of it."""
    found: dict[str, Argument] = {}
    for item in inputs:
        if isinstance(item.preprocessing, RawNumbers | RawCategories):
            rows = _rows([other for other in inputs if other.array == item.array])
            found.setdefault(item.array if rows else item.name, rows or item)
        else:
            found[item.name] = item
    return tuple(found.values())


def _rows(inputs: Sequence[ModelInput]) -> RowsInGraph | None:
    """The rows that these inputs of one array are made of, or None if it is not that."""
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
        name=inputs[0].array,
        columns=tuple(sorted(places, key=places.__getitem__)),
        numbers=numbers,
        texts=texts,
        numbers_input=steps[RawNumbers].name if numbers else None,
        texts_input=steps[RawCategories].name,
    )
