"""Everything that mtl-edge raises on purpose.

::

    MtlEdgeError            the message is one line: place, rule, what was found; the CLI exits with 2
    ├── RecipeError         a recipe that cannot be followed
    ├── DataError           data that contradicts the recipe, or itself
    ├── ModelError          an .onnx or a manifest that cannot be read, or that contradict each other
    ├── ParityError         an exported network that does not compute what its parent computes
    ├── BenchError          a measurement that could not be made
    ├── ReportError         results that cannot be read, or that have nothing to compare
    ├── SignatureError      a signature that is missing or wrong, or a key that is none
    ├── WorkdirError        a folder that cannot be written to, or that another run is using
    └── MissingExtraError   an optional dependency that is not installed
"""

from collections.abc import Iterator
from contextlib import contextmanager


class MtlEdgeError(Exception):
    """Base of all errors that are the caller's to mend."""


class RecipeError(MtlEdgeError):
    """A recipe that cannot be followed."""


class DataError(MtlEdgeError):
    """Data that contradicts the recipe, or itself."""


class ModelError(MtlEdgeError):
    """An ``.onnx`` or a manifest that cannot be read, or that contradict each other."""


class ParityError(MtlEdgeError):
    """An exported network that does not compute what its parent computes."""


class BenchError(MtlEdgeError):
    """A measurement that could not be made."""


class ReportError(MtlEdgeError):
    """Results that cannot be read, or that have nothing to compare."""


class SignatureError(MtlEdgeError):
    """A signature that is missing or wrong, or a key that is none."""


class WorkdirError(MtlEdgeError):
    """A folder that cannot be written to, or that another run is using."""


class MissingExtraError(MtlEdgeError):
    """An optional dependency that is not installed."""


def last_words(error: Exception) -> str:
    """What a library says of a failure, in one line; of a long story the end, where the cause stands."""
    return " ".join(str(error).split())[-200:]


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Turn a failed import of a third-party module into the command that installs it.

    Example::

        with needs_extra("train"):
            import torch
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "mtl_edge":
            raise
        raise MissingExtraError(
            f"this needs the package {missing!r}, which is not installed: pip install 'mtl-edge[{extra}]'"
        ) from error
