"""``[data]``."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mtl_edge.recipe.section import Count, Positive, Section


class TargetSpec(Section, frozen=True):
    """``[data.targets.NAME]``: how a target is made of a column (that of its own name, if none is given).

    ``equals`` turns the column into 1 where it has this value and 0 elsewhere. ``values`` lists the texts of a column
    in the order of their class numbers; without it they are numbered in the order of their characters.
    """

    column: str | None = None
    equals: str | int | float | bool | None = None
    values: tuple[str, ...] = ()


class SourceSpec(Section, frozen=True):
    """``[data.sources.NAME]``: one of several sources, and which tasks it has labels for (if not said, all it can).

    ``val_source`` and ``test_source`` name what was published as such; what is not named is cut from ``source``.
    """

    source: str
    val_source: str | None = None
    test_source: str | None = None
    tasks: tuple[str, ...] = ()


class DataSpec(Section, frozen=True):
    """``[data]``: where the samples come from and how they are split.

    ``source`` is one of the following, with paths relative to the recipe; ``sources`` are several of them, merged.

    - ``mnist-pairs`` and ``hello-mlp``: made from what comes with the package
    - ``fashion-pairs``, ``fashion-pairs-shifted`` and ``fashion-scenes``, each maybe with ``:FOLDER``: made from
      Fashion-MNIST
    - ``zoo:NAME`` or ``zoo:NAME/TABLE``: a table that ``mtl-edge zoo fetch`` has brought
    - ``npz:FILE`` and ``npy:FOLDER``: arrays; a folder has one ``.npy`` for each
    - ``csv:FILE`` and ``parquet:FILE-or-FOLDER``: tables
    - ``images:FOLDER``: image files, with a table of their names and labels
    - ``python:package.module:function``: what ``function(rng)`` returns, arrays by name, maybe by split

    Splits: ``split`` gives the shares of train, validation and test. ``split_by`` cuts at random; or by ``time``, the
    order of ``split_column`` (texts by their characters, such as 2020-12-31) or else of the rows; or so that the rows
    of a ``group`` stay together; or takes what a ``split_column`` says, ``train``, ``val`` or ``test``. ``samples``
    says how many composites a generated source makes for each split, ``calibration`` how many training samples
    calibrate int8 ranges.

    Tables: the input is either the column ``text``, of which the first ``max_words`` words count, or the ``columns``
    (all that are no targets, if none are given) without those in ``drop``. Columns of text, of truth values and of at
    most ten different whole numbers are categories, others are numbers, unless ``categorical`` or ``numeric`` names
    them. At most ``max_categories`` of a column, and ``max_vocabulary`` words, that occur ``min_count`` times in train
    are told apart. ``missing`` is what stands in an empty cell of a csv.

    Images: ``labels`` is the table, in the folder; ``file_column`` its column of file names; ``size`` is what they are
    resized to, ``[height, width]``.
    """

    source: str = ""
    val_source: str | None = None
    test_source: str | None = None
    sources: dict[str, SourceSpec] = msgspec.field(default_factory=dict)
    input: str = "image"
    targets: dict[str, TargetSpec] = msgspec.field(default_factory=dict)

    split: tuple[Positive, Positive, Positive] = (0.7, 0.1, 0.2)
    split_by: Literal["random", "time", "group", "column"] = "random"
    split_column: str | None = None
    samples: tuple[Count, Count, Count] = (24_000, 2_000, 5_000)
    calibration: Count = 512

    columns: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    text: str | None = None
    max_words: Count = 64
    max_vocabulary: Count = 10_000
    max_categories: Count = 1_000
    min_count: Count = 2
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    missing: tuple[str, ...] = ("", "NA", "N/A", "NaN", "nan", "null")

    labels: str = "labels.csv"
    file_column: str = "file"
    size: tuple[Count, Count] | None = None
    grayscale: bool = False
