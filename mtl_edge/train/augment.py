"""Images moved, mirrored and cut by chance, together with the labels of their pixels."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from mtl_edge.errors import DataError
from mtl_edge.recipe import AugmentSpec
from mtl_edge.tasks.base import NO_CLASS


def augment(
    images: Tensor, labels: Mapping[str, Tensor], dense: Collection[str], spec: AugmentSpec, chance: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Change each image in its own way.

    Args:
        images: preprocessed, ``(N, C, H, W)``.
        labels: task name -> labels.
        dense: the tasks whose labels are one per pixel, ``(N, …, H, W)``; theirs move along, and pixels that come in
            at an edge have none.
        spec: what may happen.
        chance: where it comes from.

    Raises:
        DataError: inputs that are not images, or labels of another size.
    """
    if images.ndim != 4:
        raise DataError(f"train.augment: is for images (N, C, H, W), found inputs of shape {tuple(images.shape)}")
    moved = dict(labels)
    if spec.shift or spec.flip:
        rows, columns = _places(images, spec, chance)
        for name in dense:
            moved[name] = _moved_labels(name, labels[name], rows, columns)
        images = _moved(images, rows, columns)
    if spec.cutout:
        images = images.masked_fill(_square(images, spec.cutout, chance), 0.0)  # preprocessing brings the mean to 0
    return images, moved


def _places(images: Tensor, spec: AugmentSpec, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Where each row ``(N, H)`` and each column ``(N, W)`` of the new images comes from; may lie outside."""
    count, _, height, width = images.shape
    shifts = torch.randint(-spec.shift, spec.shift + 1, (2, count, 1), generator=chance)
    rows = torch.arange(height) + shifts[0]
    columns = torch.arange(width) + shifts[1]
    if spec.flip:
        mirrored = torch.rand(count, 1, generator=chance) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    return rows, columns


def _moved(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Gather ``(N, …, H, W)`` by rows and columns; what lies outside repeats the edge."""
    height, width = maps.shape[-2:]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    flat = maps.reshape(len(maps), -1, height * width)
    places = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)
    moved = flat.gather(2, places[:, None].expand(-1, flat.shape[1], -1)).reshape(maps.shape)
    return moved.contiguous(memory_format=torch.channels_last) if maps.ndim == 4 else moved


def _moved_labels(name: str, labels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    height, width = rows.shape[1], columns.shape[1]
    if labels.shape[-2:] != (height, width):
        raise DataError(
            f"train.augment: labels of {name!r} must have the size of the images, {height} x {width}, to move along, "
            f"found {tuple(labels.shape[1:])}"
        )
    outside = ((rows < 0) | (rows >= height))[:, :, None] | ((columns < 0) | (columns >= width))[:, None, :]
    outside = outside.reshape(len(labels), *(1,) * (labels.ndim - 3), height, width)
    nothing = float("nan") if labels.is_floating_point() else NO_CLASS
    return _moved(labels, rows, columns).masked_fill(outside, nothing)


def _square(images: Tensor, side: int, chance: torch.Generator) -> Tensor:
    """Which pixels ``(N, 1, H, W)`` lie in a square around a random one; it may reach over the edge."""
    count, _, height, width = images.shape
    top = torch.randint(0, height, (count, 1), generator=chance) - side // 2
    left = torch.randint(0, width, (count, 1), generator=chance) - side // 2
    rows, columns = torch.arange(height) - top, torch.arange(width) - left
    inside_rows, inside_columns = (rows >= 0) & (rows < side), (columns >= 0) & (columns < side)
    return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]
