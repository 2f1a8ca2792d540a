"""Options and types that several commands share."""

import contextlib
import importlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click


class Dims(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.3
    """``name=size,size``."""

    name = "NAME=N,N,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Name and sizes."""
        if isinstance(value, tuple):
            return value
        name, _, sizes = value.partition("=")
        if not name or not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", sizes):
            self.fail(f"must be a dimension's name and sizes such as seq=64,128, found {value!r}", param, ctx)
        return name, tuple(dict.fromkeys(map(int, sizes.split(","))))


class Dim(Dims):
    """``name=size``."""

    name = "NAME=SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Name and size."""
        name, sizes = super().convert(value, param, ctx)
        if len(sizes) > 1:
            self.fail(f"must be one size, found {value!r}", param, ctx)
        return name, sizes


EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
MODEL = click.Path(exists=True, dir_okay=False, path_type=Path)
"""An ``.onnx`` from anywhere; only for commands that are :class:`Guarded`."""


class Guarded(click.Command):
    """A command whose models are checked before it begins, so that it can open them as it likes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Admit all models that were given, then do what the command does."""
        from mtl_edge.intake.admit import admit

        given = [ctx.params[param.name] for param in self.params if param.type is MODEL and param.name]
        models = [path for value in given for path in (value if isinstance(value, tuple) else (value,))]
        with _imported_meanwhile("numpy", "onnx", "onnxruntime"):
            for model in dict.fromkeys(models):
                if model is not None:
                    admit(model)
        return super().invoke(ctx)


@contextlib.contextmanager
def _imported_meanwhile(*names: str) -> Iterator[None]:
    """Import what all such commands need while other processes look at their models; it takes as long as one does."""

    def load() -> None:
        for name in names:
            with contextlib.suppress(ImportError):  # the command itself says what is missing
                importlib.import_module(name)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        yield
    finally:
        thread.join()


with_calib = click.option(
    "--calib",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="Samples to calibrate with (an .npz, or a folder of .npy files): an array for each input.",
)
with_target = click.option(
    "--target",
    type=click.Choice(["x86-vnni", "x86-avx2", "arm64"]),
    help="Processor that will run it.  [default: this box's]",
)
with_method = click.option(
    "--method",
    type=click.Choice(["minmax", "moving-average", "percentile", "entropy", "mse", "auto"]),
    default="mse",
    show_default=True,
    help="How ranges are taken from what calibration saw.",
)
with_samples = click.option(
    "--samples", metavar="N", type=click.IntRange(1), default=512, show_default=True, help="How many to calibrate with."
)
with_cache = click.option(
    "--cache/--no-cache",
    default=True,
    show_default=True,
    help="Keep what calibration saw and what was measured for the next time.",
)
with_workdir = click.option(
    "--workdir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to work and to put the results.  [default: runs/NAME]",
)
with_rounding = click.option(
    "--rounding",
    type=click.Choice(["nearest", "compensated"]),
    default="compensated",
    show_default=True,
    help="Of weights: each to its nearest, or so that their errors make up for each other on what calibration saw.",
)
