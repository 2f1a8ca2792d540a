"""Tests of :mod:`mtl_edge.data.fashion` and :mod:`mtl_edge.data.generated`."""

import dataclasses
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mtl_edge.data import fashion
from mtl_edge.data.composites import Items
from mtl_edge.data.fashion import find_fashion, load_fashion
from mtl_edge.data.generated import GENERATED_SOURCES, generate, generated_fingerprint
from mtl_edge.data.splits import Samples
from mtl_edge.errors import DataError, RecipeError
from mtl_edge.recipe import DataSpec
from mtl_edge.zoo.catalogue import DataSet


def _splits(
    source: str, seed: int, samples: tuple[int, int, int], name: str, folder: Path | None = None
) -> tuple[Samples, ...]:
    """Few samples from a source of generated ones."""
    return generate(source, DataSpec(source=source, samples=samples, input=name), np.random.default_rng(seed), folder)


def _write(path: Path, array: np.ndarray) -> None:
    """Write uint8 values as idx, gzipped if the name ends in ``.gz``."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def _clothes(count: int, seed: int) -> Items:
    """Bright random pictures, all different, with the labels 0 to 9 in turn."""
    images = np.random.default_rng(seed).integers(1, 256, (count, 28, 28), dtype=np.uint8)
    return Items(images, np.arange(count) % 10)


@pytest.fixture
def fashion_folder(tmp_path: Path) -> Path:
    """120 training and 40 test pictures in four files."""
    folder = tmp_path / "fashion"
    folder.mkdir()
    for part, count, seed in (("train", 120, 1), ("t10k", 40, 2)):
        items = _clothes(count, seed)
        _write(folder / f"{part}-images-idx3-ubyte.gz", items.images)
        _write(folder / f"{part}-labels-idx1-ubyte.gz", items.labels)
    return folder


def _set_of(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_no_picture_is_in_two_parts(fashion_folder: Path) -> None:
    """A twelfth of the training pictures is for validation; the test has those of the test files."""
    train, val, test = load_fashion(find_fashion(fashion_folder), np.random.default_rng(0))
    parts = [_set_of(part.images) for part in (train, val, test)]
    assert [len(part) for part in parts] == [110, 10, 40]
    assert len(set.union(*parts)) == 160
    train_again, _, test_again = load_fashion(find_fashion(fashion_folder), np.random.default_rng(1))
    assert _set_of(test_again.images) == parts[2]
    assert _set_of(train_again.images) != parts[0]


def test_labels_go_with_their_pictures(fashion_folder: Path) -> None:
    """However the pictures were shuffled."""
    files = find_fashion(fashion_folder)
    of = {}
    for seed in (0, 1):
        for part in load_fashion(files, np.random.default_rng(seed)):
            for image, label in zip(part.images, part.labels, strict=True):
                assert of.setdefault(image.tobytes(), label) == label


def test_the_recipes_folder_comes_before_the_systems(
    fashion_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And unpacked files will do."""
    own = tmp_path / "own"
    own.mkdir()
    for file in fashion_folder.iterdir():
        file.rename(own / file.stem)
    monkeypatch.setenv("MTL_EDGE_CACHE", str(tmp_path / "nothing"))
    assert find_fashion(own).train_images == own / "train-images-idx3-ubyte"
    (own / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"own: must hold the four idx files .* found no t10k-labels-idx1-ubyte"):
        find_fashion(own)


def test_without_the_data_the_three_ways_to_get_them_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, with the commands."""
    monkeypatch.setenv("MTL_EDGE_CACHE", str(tmp_path))
    monkeypatch.setattr(fashion, "find_data_set", _absent(tmp_path))
    with pytest.raises(DataError) as caught:
        find_fashion()
    message = str(caught.value)
    for way in ("mtl-edge zoo fetch fashion-mnist", "apt-get install dataset-fashion-mnist", "FOLDER"):
        assert way in message
    assert "\n" not in message


def _absent(tmp_path: Path) -> Callable[[str], DataSet]:
    known = fashion.find_data_set("fashion-mnist")
    return lambda _: dataclasses.replace(known, provided=str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("file", "array", "said"),
    [
        ("train-images-idx3-ubyte.gz", np.zeros((120, 20, 28)), r"pictures must be uint8 of \(28, 28\)"),
        ("train-labels-idx1-ubyte.gz", np.zeros(119), "must hold a label for each of 120 pictures, found 119"),
        ("t10k-labels-idx1-ubyte.gz", np.full(40, 12), "labels must be 0 to 9, found 12 to 12"),
        ("t10k-images-idx3-ubyte.gz", np.zeros((2, 28, 28)), "must hold a label|must hold 12 pictures at least"),
    ],
)
def test_files_that_contradict_each_other_are_refused(
    fashion_folder: Path, file: str, array: np.ndarray, said: str
) -> None:
    """Sizes, counts and labels."""
    _write(fashion_folder / file, array)
    with pytest.raises(DataError, match=said):
        load_fashion(find_fashion(fashion_folder), np.random.default_rng(0))


@pytest.mark.parametrize("source", GENERATED_SOURCES)
def test_one_seed_gives_the_same_samples_and_another_gives_others(source: str, fashion_folder: Path) -> None:
    """All chance comes from the generator; each split has as many samples as asked for."""
    first, again, other = (_splits(source, seed, (30, 10, 20), "x", fashion_folder) for seed in (5, 5, 6))
    assert [len(part) for part in first] == [30, 10, 20]
    for mine, same, different in zip(first, again, other, strict=True):
        assert all(np.array_equal(mine[key], same[key], equal_nan=True) for key in mine.arrays)
        assert not np.array_equal(mine["x"], different["x"])


@pytest.mark.parametrize("source", GENERATED_SOURCES)
def test_an_input_of_a_targets_name_is_refused(source: str, fashion_folder: Path) -> None:
    """Or one would replace the other."""
    targets = _splits(source, 0, (4, 4, 4), "x", fashion_folder)[0].arrays.keys() - {"x"}
    for target in targets:
        with pytest.raises(RecipeError, match=f"has labels of the name '{target}'"):
            _splits(source, 0, (4, 4, 4), target, fashion_folder)


def test_the_fingerprint_follows_the_files(fashion_folder: Path) -> None:
    """Other pictures, other fingerprint; what comes with the package has none."""
    before = generated_fingerprint("fashion-pairs", fashion_folder)
    assert generated_fingerprint("fashion-scenes", fashion_folder) == before
    file = fashion_folder / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(file.read_bytes() + b"x")
    assert generated_fingerprint("fashion-pairs", fashion_folder) != before
    assert generated_fingerprint("hello-mlp") is None


def test_hello_can_be_learned_all_but_its_noise() -> None:
    """A linear map fitted on train explains 99 % of each target's variance in test."""
    train, _, test = _splits("hello-mlp", 0, (500, 10, 500), "x")
    for target in ("first", "second", "third"):
        slopes, *_ = np.linalg.lstsq(train["x"], train[target], rcond=None)
        error = test[target] - test["x"] @ slopes
        assert 0.98 < 1 - error.var() / test[target].var() < 0.995
        assert test["x"].shape == (500, 10)
        assert test["x"].dtype == test[target].dtype == np.float32
