"""Run a model that mtl-edge made: copy this file beside the model; it needs onnxruntime and numpy, nothing else.

Example::

    model = Model("model.onnx")
    for answers in model.predict(images):  # raw samples, such as uint8 (N, 1, 36, 36)
        print(answers["left"].label, answers["sum"].value)

The model's file says how raw samples are preprocessed and what its outputs mean, in the manifest that it carries.
"""

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
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
    """The most probable class of one sample, and how probable the model holds it (softmax, 0 to 1)."""

    label: int
    probability: float

    def __str__(self) -> str:
        return f"{self.label} ({100 * self.probability:.1f} %)"


@dataclass(frozen=True)
class Regression:
    """The value for one sample, in the unit of the labels that the model was trained on."""

    value: float

    def __str__(self) -> str:
        return f"{self.value:.4g}"


Answer = Multiclass | Regression


@dataclass(frozen=True)
class Input:
    """What the model reads: raw samples of this dtype and shape; a name in the shape is a size of your choice."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def preprocess(self, raw: np.ndarray) -> np.ndarray:
        """``(raw * scale - mean[channel]) / std[channel]`` in float32; channels are axis 1.

        Raises:
            SampleError: the samples have another dtype or shape.
        """
        if raw.dtype != self.dtype:
            raise SampleError(f"{self.name}: dtype must be {self.dtype}, found {raw.dtype}")
        free = [isinstance(size, str) for size in self.shape]
        if raw.ndim != len(free) or any(not f and a != b for f, a, b in zip(free, self.shape, raw.shape, strict=True)):
            raise SampleError(f"{self.name}: shape must be {_shown(self.shape)}, found {_shown(raw.shape)}")
        channels = (1, -1) + (1,) * (raw.ndim - 2)
        std = np.asarray(self.std, np.float32)
        factor = (np.float32(self.scale) / std).reshape(channels)
        offset = (np.asarray(self.mean, np.float32) / std).reshape(channels)
        inputs: np.ndarray = raw.astype(np.float32) * factor - offset
        return inputs


class Model:
    """A model that is loaded and verified.

    Args:
        path: the ``model.onnx``.
        threads: for one prediction; 0 takes one per core.

    Attributes:
        name, variant: which model it is, such as ``mnist-pairs`` and ``pruned-int8``.
        input: what it reads.
        tasks: what it answers: task name -> ``multiclass`` or ``regression``.

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
            self.input = _input(*manifest["inputs"])
            self.tasks = {str(task["name"]): str(task["kind"]) for task in manifest["tasks"]}
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"{path}: the manifest cannot be understood: {error!r}") from error
        for name, kind in self.tasks.items():
            if kind not in _DECODERS:
                known = ", ".join(_DECODERS)
                raise ModelFileError(f"{path}: task {name!r}: kind must be one of {known}, found {kind!r}")

    def predict(self, raw: np.ndarray) -> list[dict[str, Answer]]:
        """Raw samples ``(N, …)`` -> for each of them, task name -> answer.

        All samples are computed at once; give fewer at a time where memory is scarce.

        Raises:
            SampleError: the samples have another dtype or shape than the model reads.
        """
        inputs = self.input.preprocess(raw)
        if not len(inputs):
            return []
        outputs = self._session.run(list(self.tasks), {self.input.name: inputs})
        columns = [_DECODERS[kind](output) for kind, output in zip(self.tasks.values(), outputs, strict=True)]
        return [dict(zip(self.tasks, row, strict=True)) for row in zip(*columns, strict=True)]


def _multiclass(logits: np.ndarray) -> list[Answer]:
    weights = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    shares = weights / weights.sum(axis=1, keepdims=True)
    return [Multiclass(int(label), float(row[label])) for label, row in zip(logits.argmax(axis=1), shares, strict=True)]


def _regression(values: np.ndarray) -> list[Answer]:
    return [Regression(float(value)) for value in values[:, 0]]


_DECODERS = {"multiclass": _multiclass, "regression": _regression}


def _input(entry: dict[str, Any]) -> Input:
    steps = entry["preprocessing"]
    mean, std = (tuple(map(float, steps[key])) for key in ("mean", "std"))
    return Input(str(entry["name"]), str(steps["raw_dtype"]), tuple(entry["shape"]), float(steps["scale"]), mean, std)


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


def _shown(shape: tuple[int | str, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


def main() -> None:
    """Print the answers for the first samples of a file."""
    parser = argparse.ArgumentParser(description="Print a model's answers for the first samples of a file.")
    parser.add_argument("model", type=Path, help="the model.onnx")
    parser.add_argument("samples", type=Path, help="an .npz that holds raw samples under the name of the model's input")
    parser.add_argument("-n", "--count", type=int, default=5, help="how many samples (default: 5)")
    args = parser.parse_args()
    try:
        model = Model(args.model)
        with np.load(args.samples) as archive:
            if model.input.name not in archive:
                raise SampleError(f"{args.samples}: must hold {model.input.name!r}, found {', '.join(archive)}")
            raw = archive[model.input.name][: args.count]
        answers = model.predict(raw)
    except (ModelFileError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{model.name} {model.variant}: reads {model.input.name}, {model.input.dtype} {_shown(model.input.shape)}")
    for index, sample in enumerate(answers):
        print(f"sample {index}: " + ", ".join(f"{task} {answer}" for task, answer in sample.items()))


if __name__ == "__main__":
    main()
