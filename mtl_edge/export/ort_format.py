"""``.ort`` files: ONNX Runtime's own format, which small builds of it read, for one kind of processor.

What the runtime would do to a graph when it loads it has been done already, so an ``.ort`` is bound to what it was
done for. The converter is that of ``onnxruntime.tools``.
"""

import contextlib
import io
import logging
import re
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnx
import onnxruntime

from mtl_edge.errors import ModelError, last_words, needs_extra
from mtl_edge.quantize.audit import is_quantized

Platform = Literal["arm", "amd64"]
Style = Literal["fixed", "runtime"]

STYLES: dict[Style, str] = {"fixed": "Fixed", "runtime": "Runtime"}
_X86_LAYOUT = "com.microsoft.nchwc"
"""Domain of the operators that read blocks of channels, which exist on x86 only."""

_WARNINGS, _ERRORS = 2, 3
"""What the runtime logs by default, and what it logs here."""


@dataclass(frozen=True)
class OrtFile:
    """A model in the format of ONNX Runtime.

    Attributes:
        platform: what it is for.
        style: ``fixed``, all optimizations done; or ``runtime``, some of them left to the device.
        content: the file.
        config: which operators a build of the runtime needs for it, in the form that its build script reads.
        int8: whether it computes in int8; other kernels may round elsewhere.
        warnings: what goes wrong elsewhere, in plain words.
    """

    platform: Platform
    style: Style
    content: bytes
    config: str
    int8: bool
    warnings: tuple[str, ...]

    @property
    def name(self) -> str:
        """File name, such as ``model.arm.ort``."""
        return f"model.{self.platform}{'' if self.style == 'fixed' else '.runtime'}.ort"

    @property
    def config_name(self) -> str:
        """Name of the list of operators."""
        return f"{self.name}.required_operators.config"


def convert_to_ort(model: bytes, platform: Platform, style: Style = "fixed", *, reduce_types: bool = False) -> OrtFile:
    """Write a model for one kind of processor.

    Args:
        model: a serialized ``.onnx`` with its weights inside.
        platform: ``arm`` also for what must run everywhere, WASM among it.
        style: ``runtime`` where NNAPI or CoreML take over parts of the graph.
        reduce_types: list the types of operators too, for a still smaller build.

    Raises:
        ModelError: the runtime cannot load or convert it.
        MissingExtraError: a package that the converter needs is not installed.
    """
    with needs_extra("quantize"):
        from onnxruntime.tools import convert_onnx_models_to_ort as tool

    with tempfile.TemporaryDirectory(prefix="mtl-edge-") as scratch:
        folder = Path(scratch)
        (folder / "in").mkdir()
        (folder / "in" / "model.onnx").write_bytes(model)
        try:
            with _quiet():
                tool.convert_onnx_models_to_ort(
                    folder / "in" / "model.onnx",
                    output_dir=folder / "out",
                    optimization_styles=[tool.OptimizationStyle[STYLES[style]]],
                    target_platform=platform,
                    enable_type_reduction=reduce_types,
                )
        except Exception as error:  # the runtime's own exception types are not public
            raise ModelError(f"ort: the model cannot be converted: {last_words(error)}") from error
        content = next((folder / "out").glob("*.ort")).read_bytes()
        listed = next((folder / "out").glob("*.config")).read_text()
    config = "\n".join(line for line in listed.splitlines() if not line.startswith("#")) + "\n"
    proto = onnx.load_from_string(model)
    int8 = any(is_quantized(node) or node.op_type == "DequantizeLinear" for node in proto.graph.node)
    return OrtFile(platform, style, content, config, int8, tuple(_warnings(platform, style, int8, config)))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The converter prints its steps and leaves files open; the runtime warns of what :func:`_warnings` says better."""
    logger = logging.getLogger("ort_format_model.utils")
    level = logger.level
    logger.setLevel(logging.WARNING)
    onnxruntime.set_default_logger_severity(_ERRORS)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            yield
        finally:
            logger.setLevel(level)
            onnxruntime.set_default_logger_severity(_WARNINGS)


def operators_in(config: str) -> dict[str, tuple[str, ...]]:
    """Domain -> operators, from a list of required ones."""
    found: dict[str, tuple[str, ...]] = {}
    for line in config.splitlines():
        if parts := re.fullmatch(r"([^;#]+);[^;]+;(.+)", line):
            names = re.sub(r"\{.*?\}+", "", parts[2]).split(",")
            found[parts[1]] = (*found.get(parts[1], ()), *names)
    return found


def _warnings(platform: Platform, style: Style, int8: bool, config: str) -> Iterator[str]:
    if platform == "arm" and int8:
        yield (
            "an int8 .ort for arm is about ten times slower on x86, where it has no fast kernels: never measure it "
            "there, and ship the .onnx or an .ort for amd64 to x86"
        )
    if _X86_LAYOUT in operators_in(config):
        names = ", ".join(operators_in(config)[_X86_LAYOUT])
        yield (
            f"this .ort loads on x86 only: {names} of {_X86_LAYOUT} exist neither on ARM nor in WASM, where it fails "
            "with 'is not a registered function/op'; the one for arm loads everywhere"
        )
    if style == "runtime":
        yield (
            "the device does what is left of the optimizations only with the session's config entry "
            "session.enable_saved_runtime_optimizations = 1"
        )
