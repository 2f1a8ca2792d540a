"""From any ``.onnx`` and a ``tasks.toml`` to a model with a manifest."""

import math
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import onnx
import onnxruntime

from mtl_edge.artifact import Lineage, Manifest, ModelInput, seal
from mtl_edge.describe.description import Description, Shape, has_channels_last, preprocessing_of, read_description
from mtl_edge.describe.outputs import fit_outputs, output_fault
from mtl_edge.errors import ModelError, RecipeError
from mtl_edge.export.edit import opset_of
from mtl_edge.intake.structure import structure_of
from mtl_edge.kits.goldens import samples_at_a_time
from mtl_edge.provenance import library_versions
from mtl_edge.quantize.source import read_source
from mtl_edge.runtime import manifest_of, open_session
from mtl_edge.storage import sha256_of_file, write_atomically

_LIBRARIES = ("onnx", "onnxruntime")


@dataclass(frozen=True)
class Described:
    """A model with the outputs of tasks, and what is true of it.

    Attributes:
        model: serialized, without the manifest.
        manifest: as it is sealed with the model.
        remarks: what was changed in the graph beside names, and what to know of it.
    """

    model: bytes
    manifest: Manifest
    remarks: tuple[str, ...]


def describe_file(model: Path, tasks: Path, output: Path) -> Described:
    """Write a copy of a model that has the tasks' outputs and a manifest.

    Args:
        model: an ``.onnx`` without a manifest.
        tasks: what its outputs mean, a ``tasks.toml``.
        output: the file to write.

    Raises:
        ModelError: the model cannot be read, or has a manifest already.
        RecipeError: the description breaks a rule, or does not fit the graph.
    """
    name = model.stem if model.stem != "model" else model.absolute().parent.name
    described = describe(undescribed(model), read_description(tasks), name=name, parent_sha256=sha256_of_file(model))
    content, _ = seal(described.model, described.manifest)
    write_atomically(output, content)
    manifest_of(output, open_session(output))
    return described


def undescribed(model: Path) -> bytes:
    """The content of a model's file, which has no manifest.

    Raises:
        ModelError: it has one, or cannot be read.
    """
    _, content, manifest = read_source(model)
    if manifest is not None:
        raise ModelError(f"{model}: must be a model without a manifest, found one of {manifest.name}")
    return content


def describe(content: bytes, description: Description, *, name: str, parent_sha256: str | None = None) -> Described:
    """Give a graph the outputs of tasks, and a manifest.

    Args:
        content: the model, serialized, its weights inside.
        description: what its outputs mean, and what is done to its inputs.
        name: of the model.
        parent_sha256: of the file that it came in, if it came in one.

    Raises:
        ModelError: the graph has no input, or its inputs differ in how many samples they read at a time.
        RecipeError: the description does not fit the graph.
    """
    session = open_session(content)
    inputs, remarks = _inputs_of(session, content, description)
    shapes = {item.name: _named(item.shape) for item in session.get_outputs()}
    _check_outputs(content, description, shapes)
    proto = onnx.load_from_string(content)
    try:
        changed = fit_outputs(proto, description.tasks, description.outputs, shapes)
    except ValueError as error:
        raise RecipeError(f"{description.path}: tasks: {error}") from error
    model = bytes(proto.SerializeToString())
    manifest = Manifest(
        name=name,
        variant="original",
        tasks=description.tasks,
        inputs=inputs,
        lineage=Lineage(recipe_sha256="", data_sha256="", seed=0, steps=("describe",), parent_sha256=parent_sha256),
        parameters=_parameters(proto),
        opset=opset_of(proto),
        versions=library_versions(_LIBRARIES),
        runtime=version("onnxruntime"),
    )
    return Described(model, seal(model, manifest)[1], (*changed, *remarks))


def _inputs_of(
    session: onnxruntime.InferenceSession, content: bytes, description: Description
) -> tuple[tuple[ModelInput, ...], tuple[str, ...]]:
    """The graph's inputs and how they are made of raw samples; and what to know of them."""
    values = structure_of(content).inputs
    names = ", ".join(value.name for value in values)
    if not values:
        raise ModelError(f"{description.path}: a graph must have an input to be described, found none")
    if description.input is not None and len(values) > 1:
        raise RecipeError(f"{description.path}: input: must be inputs.NAME for each of several inputs, found {names}")
    if unknown := [name for name in description.inputs if name not in {value.name for value in values}]:
        raise RecipeError(f"{description.path}: inputs.{unknown[0]}: must be an input of the graph ({names})")
    shapes = {item.name: _named(item.shape) for item in session.get_inputs()}
    inputs = tuple(
        ModelInput(
            name=value.name,
            dtype=value.dtype or "",
            shape=shapes[value.name],
            preprocessing=preprocessing_of(description, value.name, value.dtype or "", shapes[value.name]),
            layout="NHWC" if has_channels_last(shapes[value.name]) else None,
        )
        for value in values
    )
    fixed = samples_at_a_time(inputs)
    if fixed is None:
        return inputs, ()
    told = f"the graph reads {fixed} samples at a time; metrics need any number: mtl-edge export --batch dynamic"
    return inputs, (told,)


def _check_outputs(content: bytes, description: Description, shapes: dict[str, Shape]) -> None:
    dtypes = {value.name: value.dtype for value in structure_of(content).outputs}
    for task in description.tasks:
        output = description.outputs[task.name]
        if output not in dtypes:
            place = f"{description.path}: tasks.{task.name}"
            raise RecipeError(
                f'{place}: must be an output of the graph ({", ".join(dtypes)}), or name it, output = "…"'
            )
        if fault := output_fault(task, dtypes[output], shapes[output]):
            kind = task.__struct_config__.tag
            raise RecipeError(f"{description.path}: tasks.{task.name}: the output {output!r} of {kind} {fault}")
    if others := [name for name in dtypes if name not in description.outputs.values()]:
        raise RecipeError(
            f"{description.path}: tasks: every output must have a table, found none of {others[0]!r}: describe it, or "
            "take it off with mtl-edge subset"
        )


def _named(shape: list[int | str | None]) -> Shape:
    """A dimension that is open has a name."""
    return tuple(size if size is not None else f"axis_{axis}" if axis else "batch" for axis, size in enumerate(shape))


def _parameters(proto: onnx.ModelProto) -> int:
    """How many numbers the graph's constants of floats have."""
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)
    return sum(math.prod(item.dims) for item in proto.graph.initializer if item.data_type in floats)
