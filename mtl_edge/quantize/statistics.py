"""What calibration has seen, in a file: another method of taking ranges needs no second pass over the data."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mtl_edge.quantize.observe import Observer
from mtl_edge.storage import write_atomically

_ENDS = ("low", "high", "average_low", "average_high")


def save_statistics(path: Path, observed: Mapping[str, Observer]) -> None:
    """Write the observers of all tensors."""
    observers = list(observed.values())
    content = io.BytesIO()
    np.savez_compressed(
        content,
        names=np.array(list(observed), dtype=np.str_),
        ends=np.array([[getattr(observer, end) for end in _ENDS] for observer in observers]),
        exponents=np.array([np.nan if observer.exponent is None else observer.exponent for observer in observers]),
        firsts=np.array([observer.first for observer in observers]),
        sizes=np.array([len(observer.counts) for observer in observers]),
        counts=np.concatenate([observer.counts for observer in observers]),
    )
    write_atomically(path, content.getvalue())


def load_statistics(path: Path) -> dict[str, Observer] | None:
    """Read them back; None if there is no such file, or it is damaged: then one calibrates anew."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
        parts = np.split(found["counts"], np.cumsum(found["sizes"])[:-1])
        return {
            str(name): Observer(
                **dict(zip(_ENDS, ends.tolist(), strict=True)),
                exponent=None if np.isnan(exponent) else int(exponent),
                first=int(first),
                counts=counts,
            )
            for name, ends, exponent, first, counts in zip(
                found["names"], found["ends"], found["exponents"], found["firsts"], parts, strict=True
            )
        }
    except Exception:  # numpy and zipfile raise many kinds for a damaged archive
        return None
