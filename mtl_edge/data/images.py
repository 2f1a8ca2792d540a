"""A folder of image files, and a table of their names and labels."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from mtl_edge.data.rows import Batch, Field, Rows, check_column, row_bytes, rows_within
from mtl_edge.data.tables import open_csv, open_parquet
from mtl_edge.errors import DataError, RecipeError, needs_extra
from mtl_edge.recipe import DataSpec

with needs_extra("data"):
    from PIL import Image, ImageOps


def open_images(folder: Path, place: str, spec: DataSpec) -> Rows:
    """A folder with its table of labels.

    Raises:
        RecipeError: the recipe gives no size.
        DataError: the table cannot be read, or lacks the column of file names.
    """
    if spec.size is None:
        raise RecipeError("data.size: is needed by images:FOLDER, such as [64, 64] for height and width, found none")
    path = folder / spec.labels
    place_of_table = f"{place} ({spec.labels})"
    table = open_csv(path, place_of_table, spec) if path.suffix == ".csv" else open_parquet(path, place_of_table)
    check_column(spec.file_column, table.fields, f"{place}: data.file_column")
    if spec.input in table.fields:
        raise DataError(f"{place}: data.input: must differ from the table's columns, found {spec.input!r}")
    return ImageRows(folder, place, table, spec.input, spec.file_column, spec.size, spec.grayscale)


@dataclass(frozen=True)
class ImageRows:
    """A table with one more column: the images that one of its columns names, ``(C, H, W)`` uint8."""

    is_table: ClassVar[bool] = False

    folder: Path
    place: str
    table: Rows
    name: str
    file_column: str
    size: tuple[int, int]
    grayscale: bool

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """Those of the table, and the image."""
        shape = (1 if self.grayscale else 3, *self.size)
        return {**self.table.fields, self.name: Field(np.dtype(np.uint8), shape)}

    def __len__(self) -> int:
        return len(self.table)

    def batches(self, names: Sequence[str]) -> Iterator[Batch]:
        """The columns; images are read only where they are among them."""
        if self.name not in names:
            yield from self.table.batches(names)
            return
        step = rows_within(row_bytes(self.fields[self.name]))
        done = 0
        for batch in self.table.batches([self.file_column, *(name for name in names if name != self.name)]):
            files = batch[self.file_column]
            for start in range(0, len(files), step):
                part = {name: values[start : start + step] for name, values in batch.items()}
                images = [
                    self._image(file, done + row) for row, file in enumerate(files[start : start + step], start + 1)
                ]
                yield {**part, self.name: np.stack(images)}
            done += len(files)

    def _image(self, file: object, row: int) -> np.ndarray:
        where = f"{self.place}: row {row}"
        if file is None:
            raise DataError(f"{where}: column {self.file_column!r} must name an image, found none")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of odd palettes and metadata
                with Image.open(self.folder / str(file)) as opened:
                    return self._pixels(ImageOps.exif_transpose(opened))
        except FileNotFoundError as error:
            raise DataError(f"{where}: no such image, found {str(file)!r}") from error
        except Exception as error:  # Pillow raises many kinds for a damaged file
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{where}: the image {str(file)!r} cannot be read: {reason[:200]}") from error

    def _pixels(self, image: Image.Image) -> np.ndarray:
        height, width = self.size
        if image.mode == "P":
            image = image.convert("RGBA")
        image = image.convert("L" if self.grayscale else "RGB")
        pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        return pixels[None] if self.grayscale else pixels.transpose(2, 0, 1)
