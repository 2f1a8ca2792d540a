"""What every script of this folder reads and writes; it imports nothing but numpy, so that it runs in any environment.

A script takes ``--model fp32.onnx --calib calib.npz --out DIR SETTING`` and writes ``DIR/model.onnx``; with ``--list``
it names its settings, the tool's own default first. The samples are inputs as the graph reads them, one array for each.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 32

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """One model to make.

    Attributes:
        model: the dense fp32 network; its folder holds what else is known of it.
        calib: the samples to calibrate with.
        out: the folder of what is made.
        cpu_seconds: how much processor time training may take, of tools that train.
    """

    model: Path
    calib: Path
    out: Path
    cpu_seconds: float

    @property
    def target(self) -> Path:
        """Where the model goes."""
        return self.out / "model.onnx"

    def samples(self) -> dict[str, np.ndarray]:
        """Input name -> all samples."""
        with np.load(self.calib) as arrays:
            return dict(arrays)

    def batches(self, size: int = BATCH) -> Iterator[dict[str, np.ndarray]]:
        """The samples in their order, a few at a time."""
        arrays = self.samples()
        for start in range(0, len(next(iter(arrays.values()))), size):
            yield {name: array[start : start + size] for name, array in arrays.items()}


class Reader:
    """The samples as ONNX Runtime's quantizer and those that follow it want them; each network here has one input."""

    def __init__(self, job: Job, size: int = BATCH) -> None:
        self._job = job
        self._size = size
        self.rewind()

    def rewind(self) -> None:
        """Begin again."""
        self._batches = self._job.batches(self._size)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch, or None at the end."""
        return next(self._batches, None)


def run(settings: Mapping[str, Options], work: Callable[[Job, Options], None]) -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--calib", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cpu-seconds", type=float, default=60.0)
    parser.add_argument("setting", nargs="?", choices=list(settings))
    args = parser.parse_args()
    if args.list:
        print(json.dumps(list(settings)))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    work(Job(args.model, args.calib, args.out, args.cpu_seconds), settings[args.setting])
