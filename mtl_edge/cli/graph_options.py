"""Options of ``export`` that say what becomes of the graph, and of a network of one's own."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class _Batch(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.3
    """A number of samples, or ``dynamic``."""

    name = "N|dynamic"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "dynamic" or isinstance(value, int):
            return value
        if not re.fullmatch(r"[1-9]\d*", value):
            self.fail(f"must be a number of samples above zero, or dynamic, found {value!r}", param, ctx)
        return int(value)


class _Size(click.ParamType):  # type: ignore[type-arg]
    """``100M``: bytes."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+)([KMG]?)(?:i?B)?", value)
        if found is None:
            self.fail(f"must be a size such as 0, 100M or 1G, found {value!r}", param, ctx)
        return int(found[1]) * _UNITS[found[2]]


_OPTIONS = (
    click.option("--preprocess", is_flag=True, help="Preprocess in the graph: it reads camera bytes, texts of tables."),
    click.option(
        "--pixels",
        type=click.Choice(["rgb", "bgr", "rgba", "bgra"]),
        help="How the camera orders the channels, with --preprocess.  [default: as in training]",
    ),
    click.option("--decode", is_flag=True, help="Decode in the graph: labels, probabilities, values as outputs."),
    click.option("--opset", metavar="N", type=click.IntRange(13), help="Operator set.  [default: that of the model]"),
    click.option("--batch", type=_Batch(), help="Samples at a time.  [default: as the model has it]"),
    click.option("--for-runtime", metavar="VERSION", help="The oldest ONNX Runtime that must read it, such as 1.17."),
    click.option(
        "--external-data",
        "external_bytes",
        type=_Size(),
        default="1G",
        show_default=True,
        help="A larger model has its weights in model.onnx.data.",
    ),
    click.option(
        "--ort",
        multiple=True,
        type=click.Choice(["arm", "amd64"]),
        help="Write an .ort, too; arm loads everywhere.",
    ),
    click.option(
        "--ort-style",
        "styles",
        multiple=True,
        type=click.Choice(["fixed", "runtime"]),
        default=("fixed",),
        show_default=True,
        help="runtime leaves some optimizations to the device, for NNAPI and CoreML.",
    ),
    click.option("--ort-types", "reduce_types", is_flag=True, help="List the types of operators for a smaller build."),
    click.option("--mobile", is_flag=True, help="Say what NNAPI, CoreML and XNNPACK could run of it."),
    click.option(
        "--earlier",
        multiple=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="An earlier form of the model, such as its fp32, to compare to; several, the first one first.",
    ),
    click.option("--strict", is_flag=True, help="A warning is an error."),
)
_MODULE_OPTIONS = (
    click.option(
        "--example",
        "examples",
        metavar="INPUT",
        multiple=True,
        help="An input of pkg.mod:factory: image=1x3x224x224:float32, an .npz or an .npy.",
    ),
    click.option(
        "--weights",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="The weights of pkg.mod:factory: .safetensors.",
    ),
    click.option(
        "--tasks",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="What the outputs of pkg.mod:factory mean: a tasks.toml, as of mtl-edge manifest.",
    ),
    click.option("--allow-pickle", is_flag=True, help="Read --weights from a pickle of torch: its tensors alone."),
)


def with_graph_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options, which come to the command in this order."""
    for option in reversed((*_OPTIONS, *_MODULE_OPTIONS)):
        command = option(command)
    return command
