"""A training under way, on disk: what a killed process had done is not lost."""

import io
import pickle
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from mtl_edge.storage import write_atomically

_FILE = "checkpoint.pt"


class Checkpoint:
    """One file, written from time to time.

    Args:
        folder: where it lies; None keeps nothing.
        seconds: how long it takes at least until the next one is written.
    """

    def __init__(self, folder: Path | None, seconds: float) -> None:
        self._path = None if folder is None else folder / _FILE
        self._seconds = seconds
        self._written = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """The last state that was written, or None; only plain values and tensors are read, nothing is unpickled."""
        if self._path is None or not self._path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self._path, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError):
            return None  # damaged: the training starts anew
        return state

    def offer(self, state: Callable[[], Mapping[str, object]], *, patience: float = 1.0) -> None:
        """Write the state when its time has come; ``patience`` shortens the wait at a good moment."""
        if self._path is None or time.monotonic() - self._written < self._seconds * patience:
            return
        stream = io.BytesIO()
        torch.save(dict(state()), stream)
        write_atomically(self._path, stream.getvalue())
        self._written = time.monotonic()
