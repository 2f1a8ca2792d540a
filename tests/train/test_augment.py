"""Images change by chance, each in its own way, and the labels of their pixels move along."""

import pytest
import torch
from torch import Tensor

from mtl_edge.errors import DataError
from mtl_edge.recipe import AugmentSpec
from mtl_edge.train.augment import augment


def _coordinates(count: int = 64, height: int = 6, width: int = 8) -> Tensor:
    """Images whose pixels say where they are: row in channel 0, column in channel 1."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns]).float().expand(count, -1, -1, -1).clone()


def _augment(images: Tensor, spec: AugmentSpec, seed: int = 0, **labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    return augment(images, labels, list(labels), spec, torch.Generator().manual_seed(seed))


def test_shifts_reach_as_far_as_they_are_told_and_no_farther() -> None:
    """Every shift of up to two pixels occurs in each direction; edges are repeated."""
    moved, _ = _augment(_coordinates(500), AugmentSpec(shift=2))
    centre = moved[:, :, 3, 4]
    assert set((centre[:, 0] - 3).tolist()) == {-2, -1, 0, 1, 2}
    assert set((centre[:, 1] - 4).tolist()) == {-2, -1, 0, 1, 2}
    assert moved[:, 0].min() == 0
    assert moved[:, 0].max() == 5


def test_half_of_the_images_are_mirrored() -> None:
    """From left to right only."""
    images = _coordinates(1000)
    moved, _ = _augment(images, AugmentSpec(flip=True))
    mirrored = (moved == images.flip(3)).flatten(1).all(1)
    assert ((moved == images).flatten(1).all(1) ^ mirrored).all()
    assert 400 < int(mirrored.sum()) < 600


def test_labels_of_pixels_move_with_their_pixels() -> None:
    """Where a label is left it is that of the pixel it lies on; what came in at an edge has none."""
    images = _coordinates()
    classes = (images[:, 0] * 8 + images[:, 1]).long()
    moved, labels = _augment(images, AugmentSpec(shift=3, flip=True), classes=classes, depth=classes.float())
    expected = (moved[:, 0] * 8 + moved[:, 1]).long()
    known = labels["classes"] != -1
    assert (labels["classes"] == expected)[known].all()
    assert 0.3 < float(known.float().mean()) < 0.9
    assert (labels["depth"].isnan() == ~known).all()


def test_cutout_blanks_one_square_in_each_image() -> None:
    """With the mean of the preprocessed image, which is 0; at edges a part of the square is outside."""
    cut, labels = _augment(torch.ones(200, 3, 9, 9), AugmentSpec(cutout=4), label=torch.zeros(200, 9, 9).long())
    areas = (cut == 0).all(1).flatten(1).sum(1)
    assert int(areas.max()) == 16
    assert int(areas.min()) >= 4
    assert (labels["label"] == 0).all()


def test_chance_follows_from_the_generator() -> None:
    """The same seed, the same images; images differ from each other."""
    spec = AugmentSpec(shift=2, flip=True, cutout=2)
    images = _coordinates()
    first, again, other = (_augment(images, spec, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({image.numpy().tobytes() for image in first}) > 32


def test_what_cannot_move_is_refused() -> None:
    """Rows of a table have no direction; labels of another size would no longer lie on their pixels."""
    with pytest.raises(DataError, match=r"is for images \(N, C, H, W\), found inputs of shape \(4, 7\)"):
        _augment(torch.zeros(4, 7), AugmentSpec(shift=1))
    with pytest.raises(DataError, match=r"labels of 'depth' must have the size of the images, 6 x 8"):
        _augment(_coordinates(), AugmentSpec(shift=1), depth=torch.zeros(64, 3, 4))
