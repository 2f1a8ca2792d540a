"""Run a model that mtl-edge made: copy this file beside the model; it needs onnxruntime and numpy, nothing else.

Example::

    model = Model("model.onnx")
    for answers in model.predict(images):  # raw samples, such as uint8 (N, 1, 36, 36)
        print(answers["left"].label, answers["sum"].value)

A model that reads several things takes them by name: ``model.predict({"image": images, "weather": rows})``.

The model's file says how raw samples are preprocessed and what its outputs mean, in the manifest that it carries.
"""

import argparse
import csv
import hashlib
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

_METADATA_KEY = "mtl_edge.manifest"


class ModelFileError(Exception):
    """The model's file cannot be read, was not made by mtl-edge, or was changed since; the message says which."""


class SampleError(ValueError):
    """The samples are not what the model reads; the message says the rule and what was found."""


@dataclass(frozen=True)
class Multiclass:
    """The most probable class, and how probable the model holds it (softmax, 0 to 1)."""

    label: int
    probability: float

    def __str__(self) -> str:
        return f"{self.label} ({_percent(self.probability)})"


@dataclass(frozen=True)
class Binary:
    """Whether it is more probable than not, and how probable (sigmoid, 0 to 1)."""

    yes: bool
    probability: float

    def __str__(self) -> str:
        return f"{'yes' if self.yes else 'no'} ({_percent(self.probability)})"


@dataclass(frozen=True)
class Multilabel:
    """The classes that are more probable than not, and the probability of each class."""

    labels: tuple[int, ...]
    probabilities: tuple[float, ...]

    def __str__(self) -> str:
        return " + ".join(f"{label} ({_percent(self.probabilities[label])})" for label in self.labels) or "none"


@dataclass(frozen=True)
class Ordinal:
    """The class in the order of classes, and for each class but the last the probability of one above it."""

    rank: int
    above: tuple[float, ...]

    def __str__(self) -> str:
        return f"rank {self.rank} of 0 to {len(self.above)}"


@dataclass(frozen=True)
class Regression:
    """The value, in the unit of the labels that the model was trained on."""

    value: float

    def __str__(self) -> str:
        return f"{self.value:.4g}"


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The most probable class of each pixel: ``(H, W)``, uint8 or as wide as the classes need."""

    labels: np.ndarray

    def __str__(self) -> str:
        labels, counts = np.unique(self.labels, return_counts=True)
        largest = counts.argsort()[::-1][:3]
        return " + ".join(f"{labels[place]} ({_percent(counts[place] / counts.sum())} of pixels)" for place in largest)


@dataclass(frozen=True, eq=False)
class DenseRegression:
    """The value of each pixel ``(H, W)``, float32, in the unit of the labels that the model was trained on."""

    values: np.ndarray

    def __str__(self) -> str:
        return f"{self.values.min():.4g} to {self.values.max():.4g}"


Answer = Multiclass | Binary | Multilabel | Ordinal | Regression | Segmentation | DenseRegression


@dataclass(frozen=True)
class Pixels:
    """Images, or other grids of numbers: ``(raw * scale - mean[channel]) / std[channel]``; channels are axis 1."""

    dtype: str
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def encode(self, samples: Sequence[Any]) -> np.ndarray:
        """A list of arrays ``(C, …)`` as one array."""
        return np.asarray(samples)

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """Raw ``(N, C, …)`` -> float32 of the same shape."""
        channels = (1, -1) + (1,) * (raw.ndim - 2)
        std = np.asarray(self.std, np.float32)
        factor = (np.float32(self.scale) / std).reshape(channels)
        offset = (np.asarray(self.mean, np.float32) / std).reshape(channels)
        inputs: np.ndarray = raw.astype(np.float32) * factor - offset
        return inputs


@dataclass(frozen=True)
class Table:
    """Rows of a table; ``columns`` gives for each column its categories, or None where it holds numbers."""

    columns: Mapping[str, tuple[str, ...] | None]
    dtype: str = "float32"

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Rows, column name -> value, as ``(N, columns)``: numbers as they are, categories as 1, 2, ….

        None, NaN and empty texts are missing; they, and categories that the model does not know, are allowed.

        Raises:
            SampleError: a row lacks a column, or a text stands where a number belongs.
        """
        encoded = np.empty((len(rows), len(self.columns)), np.float32)
        for position, (name, categories) in enumerate(self.columns.items()):
            codes: dict[str | None, int] = {category: code for code, category in enumerate(categories or (), start=1)}
            for index, row in enumerate(rows):
                if name not in row:
                    raise SampleError(f"row {index}: must have the column {name!r}, found {', '.join(map(str, row))}")
                try:
                    value = row[name]
                    encoded[index, position] = _number(value) if categories is None else codes.get(_category(value), 0)
                except (TypeError, ValueError) as error:
                    raise SampleError(f"row {index}: {name!r} must be a finite number, found {value!r}") from error
        return encoded


@dataclass(frozen=True)
class Tokens:
    """Texts in lower case, cut into runs of ``a-z0-9'``; ids begin with 2, 0 is padding and 1 any other word."""

    ids: Mapping[str, int]
    length: int
    dtype: str = "int64"

    def encode(self, texts: Sequence[str | None]) -> np.ndarray:
        """Texts -> ids ``(N, length)``; words beyond the length are cut off, None is an empty text."""
        encoded = np.zeros((len(texts), self.length), np.int64)
        for row, text in zip(encoded, texts, strict=True):
            if not isinstance(text, str | None):
                raise SampleError(f"samples must be texts, found {text!r}")
            words = re.findall("[a-z0-9']+", (text or "").lower())[: self.length]
            row[: len(words)] = [self.ids.get(word, 1) for word in words]
        return encoded


@dataclass(frozen=True)
class Raw:
    """What the graph preprocesses by itself, such as images ``(N, H, W, C)`` of any size."""

    dtype: str

    def encode(self, samples: Sequence[Any]) -> np.ndarray:
        """A list of arrays of one shape as one array."""
        return np.asarray(samples)


@dataclass(frozen=True)
class RawRows:
    """Rows of a table that the graph encodes by itself.

    Attributes:
        columns: for each column its categories, or None where it holds numbers.
        numbers, categories: names of the graph's inputs; None where it has no such columns.
    """

    columns: Mapping[str, tuple[str, ...] | None]
    numbers: str | None
    categories: str
    dtype: str = "float32"

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """The numbers alone, ``(N, columns)``."""
        return Table({name: None for name, known in self.columns.items() if known is None}).encode(rows)

    def texts(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """The categories as texts, ``(N, columns)``; an empty one where one is missing.

        Raises:
            SampleError: a row lacks a column.
        """
        names = [name for name, known in self.columns.items() if known is not None]
        for index, row in enumerate(rows):
            for name in names:
                if name not in row:
                    raise SampleError(f"row {index}: must have the column {name!r}, found {', '.join(map(str, row))}")
        texts = [[_category(row[name]) or "" for name in names] for row in rows]
        return np.array(texts, object).reshape(len(rows), len(names))


@dataclass(frozen=True)
class Input:
    """What the model reads, or part of it: samples of this shape, of which a name is a size of your choice."""

    name: str
    shape: tuple[int | str, ...]
    preprocessing: Pixels | Table | Tokens | Raw | RawRows

    def feeds(self, samples: np.ndarray | Sequence[Any]) -> dict[str, np.ndarray]:
        """The graph's inputs by name, as of :meth:`preprocess`."""
        steps = self.preprocessing
        if not isinstance(steps, RawRows):
            return {self.name: self.preprocess(samples)}
        if isinstance(samples, str | Mapping | np.ndarray):
            raise SampleError(f"{self.name}: samples must be a list of rows, column name -> value")
        numbers = {} if steps.numbers is None else {steps.numbers: steps.encode(samples)}
        return {**numbers, steps.categories: steps.texts(samples)}

    @property
    def dtype(self) -> str:
        """The dtype of raw samples."""
        return self.preprocessing.dtype

    def preprocess(self, samples: np.ndarray | Sequence[Any]) -> np.ndarray:
        """An array of raw samples, or a list of rows or texts -> the network's input.

        Raises:
            SampleError: the samples are not what the model reads.
        """
        if isinstance(samples, str | Mapping):
            raise SampleError(f"{self.name}: samples must be in a list or an array, found one alone")
        raw = samples if isinstance(samples, np.ndarray) else self.preprocessing.encode(samples)
        if raw.dtype != self.dtype:
            raise SampleError(f"{self.name}: dtype must be {self.dtype}, found {raw.dtype}")
        free = [isinstance(size, str) for size in self.shape]
        if raw.ndim != len(free) or any(not f and a != b for f, a, b in zip(free, self.shape, raw.shape, strict=True)):
            raise SampleError(f"{self.name}: shape must be {_shown(self.shape)}, found {_shown(raw.shape)}")
        return self.preprocessing.apply(raw) if isinstance(self.preprocessing, Pixels) else raw


def _number(value: Any) -> float:
    number = math.nan if value is None or value == "" else float(value)
    if abs(number) > float(np.finfo(np.float32).max):
        raise ValueError("too large for float32")
    return number


def _category(value: Any) -> str | None:
    """A category's name: whole numbers without a point; None where there is none."""
    if isinstance(value, float | np.floating):
        return None if math.isnan(value) else str(int(value)) if value.is_integer() else str(value)
    return None if value is None else str(value)


class Model:
    """A model that is loaded and verified.

    Args:
        path: the ``model.onnx``.
        threads: for one prediction; 0 takes one per core.

    Attributes:
        name, variant: which model it is, such as ``mnist-pairs`` and ``pruned-int8``.
        sha256: of the file without these digits, as its manifest states it.
        inputs: what it reads, by name; of one thing it is ``input``, too.
        tasks: what it answers: task name -> kind, such as ``multiclass`` or ``dense-regression``.

    Raises:
        ModelFileError: the file cannot be read, has no manifest, or is not the one that was exported.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # what goes wrong is raised
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            metadata = self._session.get_modelmeta().custom_metadata_map
        except Exception as error:  # the runtime's own exception types are not public
            raise ModelFileError(f"{path}: ONNX Runtime cannot load it: {' '.join(str(error).split())}") from error
        manifest = _verified_manifest(path, content, metadata.get(_METADATA_KEY))
        try:
            self.name = str(manifest["name"])
            self.variant = str(manifest["variant"])
            self.sha256 = str(manifest["sha256"])
            self.inputs = {item.name: item for item in _inputs(manifest["inputs"])}
            self.tasks = {str(task["name"]): str(task["kind"]) for task in manifest["tasks"]}
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"{path}: the manifest cannot be understood: {error!r}") from error
        for name, kind in self.tasks.items():
            if kind not in _DECODERS:
                known = ", ".join(_DECODERS)
                raise ModelFileError(f"{path}: task {name!r}: kind must be one of {known}, found {kind!r}")

    @property
    def input(self) -> Input:
        """What it reads, where that is one thing.

        Raises:
            SampleError: it reads several.
        """
        if len(self.inputs) > 1:
            raise SampleError(f"{self.name}: samples must be by the names of inputs, {', '.join(self.inputs)}")
        return next(iter(self.inputs.values()))

    def predict(self, samples: np.ndarray | Sequence[Any] | Mapping[str, Any]) -> list[dict[str, Answer]]:
        """Raw samples ``(N, …)``, or a list of rows or texts -> for each of them, task name -> answer.

        All samples are computed at once; give fewer at a time where memory is scarce.

        Args:
            samples: of several inputs, those of each by its name.

        Raises:
            SampleError: the samples are not what the model reads.
        """
        if len(self.inputs) == 1:
            given: dict[str, Any] = dict.fromkeys(self.inputs, samples)
        elif isinstance(samples, Mapping) and samples.keys() == self.inputs.keys():
            given = dict(samples)
        else:
            found = ", ".join(map(str, samples)) if isinstance(samples, Mapping) else "something else"
            raise SampleError(f"samples must be by the names of inputs, {', '.join(self.inputs)}, found {found}")
        counts = {name: len(part) for name, part in given.items()}
        if len(set(counts.values())) > 1:
            shown = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise SampleError(f"each input must have as many samples as the others, found {shown}")
        if not all(counts.values()):
            return []
        feeds = {key: array for name, part in given.items() for key, array in self.inputs[name].feeds(part).items()}
        outputs = self._session.run(list(self.tasks), feeds)
        columns = [_DECODERS[kind](output) for kind, output in zip(self.tasks.values(), outputs, strict=True)]
        return [dict(zip(self.tasks, row, strict=True)) for row in zip(*columns, strict=True)]

    def check(self, goldens: str | Path) -> int:
        """Compare what this device answers with golden vectors; do so once before you trust it. Gives their number.

        Args:
            goldens: the folder with ``goldens.json``.

        Raises:
            ModelFileError: the vectors cannot be read or are another model's, or an answer is off; the worst is named.
        """
        folder = Path(goldens)
        try:
            listed = json.loads((folder / "goldens.json").read_bytes())
            cases = [
                {
                    part: [(entry, _golden(folder, entry)) for entry in case[part]]
                    for part in ("raw", "inputs", "outputs")
                }
                for case in listed["cases"]
            ]
            model = listed["model_sha256"]
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise ModelFileError(f"{folder}: the golden vectors cannot be read: {error!r}") from error
        if model != self.sha256 or not cases:
            raise ModelFileError(f"{folder}: golden vectors must be of the model {self.sha256}, found {model}")
        for number, case in enumerate(cases):
            raw = {entry["name"]: array for entry, array in case["raw"]}
            feeds: dict[str, np.ndarray] = {}
            for name, item in self.inputs.items():
                steps = item.preprocessing
                names = (steps.numbers, steps.categories) if isinstance(steps, RawRows) else ()
                feeds |= {key: raw[key] for key in names if key} or item.feeds(raw[name])
            for entry, wanted in case["inputs"]:
                _compare(f"{folder}: case {number}: input {entry['name']!r}", feeds[entry["name"]], wanted, 1e-5)
            found = self._session.run([entry["name"] for entry, _ in case["outputs"]], feeds)
            for (entry, expected), output in zip(case["outputs"], found, strict=True):
                _compare(f"{folder}: case {number}: output {entry['name']!r}", output, expected, float(entry["atol"]))
        return len(cases)


def _multiclass(logits: np.ndarray) -> list[Answer]:
    weights = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    shares = weights / weights.sum(axis=1, keepdims=True)
    return [Multiclass(int(label), float(row[label])) for label, row in zip(logits.argmax(axis=1), shares, strict=True)]


def _binary(logits: np.ndarray) -> list[Answer]:
    return [Binary(bool(yes), shares[0]) for yes, shares in zip(logits[:, 0] > 0, _sigmoid(logits), strict=True)]


def _multilabel(logits: np.ndarray) -> list[Answer]:
    labels = [tuple(row.nonzero()[0].tolist()) for row in logits > 0]
    return [Multilabel(*both) for both in zip(labels, _sigmoid(logits), strict=True)]


def _ordinal(logits: np.ndarray) -> list[Answer]:
    ranks = (logits > 0).sum(axis=1).tolist()
    return [Ordinal(*both) for both in zip(ranks, _sigmoid(logits), strict=True)]


def _regression(values: np.ndarray) -> list[Answer]:
    return [Regression(value) for value in values[:, 0].tolist()]


def _segmentation(logits: np.ndarray) -> list[Answer]:
    return [Segmentation(labels) for labels in logits.argmax(axis=1).astype(np.min_scalar_type(logits.shape[1] - 1))]


def _dense_regression(values: np.ndarray) -> list[Answer]:
    return [DenseRegression(maps[0]) for maps in values]


def _sigmoid(logits: np.ndarray) -> list[tuple[float, ...]]:
    """Logits ``(N, width)`` of any size -> probabilities for each sample."""
    return [tuple(row) for row in np.exp(-np.logaddexp(0, -logits.astype(np.float64))).tolist()]


_DECODERS = {
    "multiclass": _multiclass,
    "binary": _binary,
    "multilabel": _multilabel,
    "ordinal": _ordinal,
    "regression": _regression,
    "segmentation": _segmentation,
    "dense-regression": _dense_regression,
}


def _inputs(entries: Sequence[Mapping[str, Any]]) -> list[Input]:
    """What a model reads; of rows that it encodes by itself, numbers and categories are two inputs of the graph."""
    arguments: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        of_rows = entry["preprocessing"]["kind"] in ("raw-numbers", "raw-categories")
        arguments.setdefault(str(entry["reads"] if of_rows else entry["name"]), []).append(entry)
    return [_input(parts) for parts in arguments.values()]


def _input(entries: Sequence[Mapping[str, Any]]) -> Input:
    found = {str(entry["preprocessing"]["kind"]): entry for entry in entries}
    first, texts = entries[0], found.get("raw-categories")
    if texts is None:
        (entry,) = entries
        return Input(str(entry["name"]), tuple(entry["shape"]), _preprocessing(entry["preprocessing"]))
    numbers = found.get("raw-numbers")
    listed: dict[str, tuple[str, ...] | None] = {
        str(column["name"]): tuple(column["categories"]) for column in texts["preprocessing"]["columns"]
    }
    listed |= dict.fromkeys(numbers["preprocessing"]["columns"] if numbers is not None else ())
    name = None if numbers is None else str(numbers["name"])
    return Input(str(first["reads"]), tuple(first["shape"]), RawRows(listed, name, str(texts["name"])))


def _preprocessing(steps: Mapping[str, Any]) -> Pixels | Table | Tokens | Raw:
    match steps["kind"]:
        case "raw-pixels":
            return Raw(str(steps["pixels"]["raw_dtype"]))
        case "pixels":
            mean, std = (tuple(map(float, steps[key])) for key in ("mean", "std"))
            return Pixels(str(steps["raw_dtype"]), float(steps["scale"]), mean, std)
        case "table":
            listed = {str(column["name"]): column.get("categories") for column in steps["columns"]}
            return Table({name: None if found is None else tuple(found) for name, found in listed.items()})
        case "tokens":
            ids = {str(word): number for number, word in enumerate(steps["vocabulary"], start=2)}
            return Tokens(ids, int(steps["length"]))
        case kind:
            raise ValueError(f"preprocessing: kind must be one of pixels, raw-pixels, table, tokens, found {kind!r}")


def _verified_manifest(path: str | Path, content: bytes, text: str | None) -> dict[str, Any]:
    """The manifest, once the file without the manifest's last value, 64 digits, has the SHA-256 that they state."""
    if text is None:
        raise ModelFileError(f"{path}: must carry mtl-edge's manifest, found none: was it made by mtl-edge?")
    try:
        manifest = json.loads(text)
        version, expected = manifest["format"], manifest["sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: the manifest cannot be understood: {error!r}") from error
    if version != 1:
        raise ModelFileError(f"{path}: the manifest's format must be 1, found {version!r}: update this client")
    found = hashlib.sha256(content[:-66] + content[-2:]).hexdigest()
    if not content.endswith(text.encode()) or found != expected:
        raise ModelFileError(f"{path}: the file was changed after export: SHA-256 must be {expected}, found {found}")
    return dict(manifest)


def _golden(folder: Path, entry: Mapping[str, Any]) -> np.ndarray:
    """A golden vector's array: raw little-endian values in C order."""
    file = str(entry["file"])
    if Path(file).name != file:
        raise ValueError(f"must be a file's name, found {file!r}")
    if entry["dtype"] == "string":
        texts = (folder / file).read_text(encoding="utf-8").split("\0")[:-1]
        return np.array(texts, object).reshape(entry["shape"])
    return np.fromfile(folder / file, np.dtype(entry["dtype"]).newbyteorder("<")).reshape(entry["shape"])


def _compare(place: str, found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Both arrays are equal but for the tolerance; NaN, where both have it, is equal."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise ModelFileError(
            f"{place}: must be {expected.dtype} {_shown(expected.shape)}, found {found.dtype} {_shown(found.shape)}"
        )
    if found.dtype == object:
        found, expected = found == expected, np.ones(found.shape, bool)
    apart = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    apart[np.isnan(apart)] = np.where(np.isnan(found) & np.isnan(expected), 0, np.inf)[np.isnan(apart)]
    if apart.size and apart.max() > tolerance:
        worst = tuple(int(at) for at in np.unravel_index(apart.argmax(), apart.shape))
        raise ModelFileError(
            f"{place}: must be within {tolerance:g} of {expected[worst]:g} at {_shown(worst)}, found {found[worst]:g}"
        )


def _shown(shape: tuple[int | str, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _first_samples(path: Path, names: Sequence[str], count: int) -> np.ndarray | list[Any] | dict[str, np.ndarray]:
    """Rows of a ``.csv`` with a header, lines of a ``.txt``, or an array of an ``.npz``, for each of several inputs."""
    if path.suffix in (".csv", ".txt"):
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return list(islice(csv.DictReader(stream) if path.suffix == ".csv" else stream, count))
    with np.load(path) as archive:
        for name in names:
            if name not in archive:
                raise SampleError(f"{path}: must hold {name!r}, found {', '.join(archive)}")
        samples: dict[str, np.ndarray] = {name: archive[name][:count] for name in names}
        return samples if len(names) > 1 else samples[names[0]]


def main() -> None:
    """Print the answers for the first samples of a file."""
    parser = argparse.ArgumentParser(description="Print a model's answers for the first samples of a file.")
    parser.add_argument("model", type=Path, help="the model.onnx")
    parser.add_argument(
        "samples",
        type=Path,
        nargs="?",
        help=".npz with raw samples under each input's name, .csv of rows, or .txt of texts",
    )
    parser.add_argument(
        "--check", type=Path, metavar="GOLDENS", help="compare with this folder of golden vectors first"
    )
    parser.add_argument("-n", "--count", type=int, default=5, help="how many samples (default: 5)")
    args = parser.parse_args()
    try:
        model = Model(args.model)
        if args.check is not None:
            print(f"{model.name} {model.variant}: {model.check(args.check)} golden vectors agree on this device")
        given = args.samples is not None
        answers = model.predict(_first_samples(args.samples, list(model.inputs), args.count)) if given else []
    except (ModelFileError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    reads = "; ".join(f"{item.name}, {item.dtype} {_shown(item.shape)}" for item in model.inputs.values())
    print(f"{model.name} {model.variant}: reads {reads}")
    for index, sample in enumerate(answers):
        print(f"sample {index}: " + ", ".join(f"{task} {answer}" for task, answer in sample.items()))


if __name__ == "__main__":
    main()
