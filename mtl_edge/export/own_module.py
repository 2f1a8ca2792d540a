"""Any ``nn.Module`` as ONNX: a factory's, with weights from a file and whatever tree of tensors it gives."""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from mtl_edge.errors import DataError, ModelError
from mtl_edge.export.examples import Example
from mtl_edge.export.explain import explain
from mtl_edge.export.hops import Hop, check_hop, require
from mtl_edge.export.to_onnx import OPSET, finish, quiet, trace
from mtl_edge.nets.checkpoint import read_weights
from mtl_edge.nets.custom import find_factory
from mtl_edge.runtime import open_session

_LARGEST_BYTES = (1 << 31) - (1 << 24)
"""Protobuf ends at 2 GiB; the graph itself needs some of that."""


@dataclass(frozen=True)
class ExportedModule:
    """A network as ONNX, with what it was traced with, and the proof that it computes the same."""

    model: bytes
    inputs: Mapping[str, np.ndarray]
    parity: Hop


def export_module(
    source: str,
    examples: Sequence[Example],
    *,
    folder: Path,
    weights: Path | None = None,
    allow_pickle: bool = False,
    batch: int | None = None,
    opset: int = OPSET,
) -> ExportedModule:
    """Make a network, load its weights, write it as ONNX, and check it against torch.

    Args:
        source: ``pkg.mod:factory``; a module's class, a function that makes one, or a module. What needs one argument
            is given the shape of the first example without its samples.
        examples: what to trace it with: for each input of ``forward``, by name or in order.
        folder: where the module is looked for first.
        weights: safetensors; or a pickle of torch, which must be allowed.
        allow_pickle: whether a pickle may be read; only tensors are taken from it, with ``weights_only``.
        batch: how many samples at a time; None leaves it open.
        opset: the operator set.

    Raises:
        RecipeError: there is no such factory, or it fails.
        ModelError: the weights are those of another network, or the network cannot be exported.
        ParityError: torch and ONNX Runtime disagree.
    """
    if not examples:
        raise DataError("export: must have inputs to trace the network with (--example), found none")
    module = _made(source, folder, examples)
    if weights is not None:
        _load(module, weights, allow_pickle)
    module.eval()
    size = sum(value.numel() * value.element_size() for value in module.state_dict().values())
    if size > _LARGEST_BYTES:
        raise ModelError(f"export: {source}: weights must be below 2 GiB, found {size / (1 << 30):.1f} GiB")
    inputs = _named(module, source, examples)
    inputs = {name: _repeated(array, batch or max(2, len(array))) for name, array in inputs.items()}
    args = tuple(torch.from_numpy(array) for array in inputs.values())
    expected = _run(module, source, inputs)
    flat = _Flat(module, tuple(inputs)).eval()
    sample = torch.export.Dim("batch")
    shapes = None if batch else (tuple({0: sample} if arg.ndim else {} for arg in args),)
    program: torch.export.ExportedProgram | None = None
    try:
        with quiet():
            program = torch.export.export(flat, args, dynamic_shapes=shapes)
        model = finish(trace(program, args, list(inputs), list(expected), opset=opset).model)
    except Exception as error:  # torch raises many kinds
        raise ModelError(explain(error, source=source, traced=_lines_of(program))) from error
    model = model if batch else _with_name_of_batch(model)
    session = open_session(model)
    names = [item.name for item in session.get_outputs()]

    def parity(feeds: Mapping[str, np.ndarray], torchs: Mapping[str, np.ndarray]) -> Hop:
        found = dict(zip(names, session.run(names, dict(feeds)), strict=True))
        return require(check_hop("torch -> onnx", torchs, found))

    hop = parity(inputs, expected)
    if batch is None:  # the graph must not have learned the number of samples
        one = {name: array[:1] for name, array in inputs.items()}
        parity(one, _run(module, source, one))
    return ExportedModule(model, inputs, hop)


def _lines_of(program: torch.export.ExportedProgram | None) -> dict[str, str]:
    """Operator -> the traceback of the code that it comes from, as far as tracing came."""
    if program is None:
        return {}
    with quiet(), contextlib.suppress(Exception):  # what fails here has failed before, and is told of
        program = program.run_decompositions()
    return {str(node.target).rpartition(".")[0]: str(node.meta.get("stack_trace", "")) for node in program.graph.nodes}


def _with_name_of_batch(model: bytes) -> bytes:
    """The model with a word for the number of samples, where the exporter has made up a symbol."""
    proto = onnx.load_from_string(model)
    symbols = {dim.dim_param for item in proto.graph.input for dim in item.type.tensor_type.shape.dim[:1]}
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param and dim.dim_param in symbols:
                dim.dim_param = "batch"
    return bytes(proto.SerializeToString())


class _Flat(nn.Module):
    """The module with a tuple of tensors as its output; inputs are given by name where its ``forward`` has them."""

    def __init__(self, module: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.module = module
        self.names = names if _reads_by_name(module, names) else None

    def forward(self, *args: Tensor) -> tuple[Tensor, ...]:
        """Inputs in order -> all tensors of the output."""
        out = self.module(**dict(zip(self.names, args, strict=True))) if self.names else self.module(*args)
        return tuple(tensor for _, tensor in leaves(out))


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of nested dicts, tuples and lists with their names: ``boxes.0``; one alone is ``output``."""
    match value:
        case Tensor():
            yield name or "output", value
        case Mapping():
            for key, inner in value.items():
                yield from leaves(inner, f"{name}.{key}" if name else str(key))
        case tuple() | list():
            keys = getattr(value, "_fields", None) or range(len(value))
            for key, inner in zip(keys, value, strict=True):
                yield from leaves(inner, f"{name}.{key}" if name else f"output_{key}" if isinstance(key, int) else key)
        case None:
            return
        case _:
            raise TypeError(f"outputs must be tensors in dicts, tuples or lists, found {type(value).__name__}")


def _made(source: str, folder: Path, examples: Sequence[Example]) -> nn.Module:
    factory: Callable[..., object] = find_factory("export", source, folder)
    if isinstance(factory, nn.Module):
        return factory
    try:
        required = [
            item
            for item in inspect.signature(factory).parameters.values()
            if item.default is item.empty and item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)
        ]
        module = factory(examples[0].array.shape[1:]) if required else factory()
    except Exception as error:
        raise ModelError(f"export: {source}: the factory failed: {type(error).__name__}: {error}") from error
    if not isinstance(module, nn.Module):
        raise ModelError(f"export: {source}: must give a torch.nn.Module, found {type(module).__name__}")
    return module


def _load(module: nn.Module, path: Path, allow_pickle: bool) -> None:
    if path.suffix == ".safetensors":
        state: Mapping[str, Tensor] = read_weights(path)
    elif not allow_pickle:
        raise ModelError(
            f"{path}: must be .safetensors, as a pickle can run code when it is read; --allow-pickle reads its "
            "tensors, and nothing else of it"
        )
    else:
        state = _read_pickle(path)
    try:
        module.load_state_dict(dict(state))
    except RuntimeError as error:
        said = " ".join(str(error).split())[:300]
        raise ModelError(f"{path}: must hold the weights of this network: {said}") from error


def _read_pickle(path: Path) -> Mapping[str, Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path}: holds more than tensors, or is damaged, and is not read: {reason}") from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ModelError(f"{path}: must hold a dict of tensors, found {type(loaded).__name__}")
    return loaded


def _named(module: nn.Module, source: str, examples: Sequence[Example]) -> dict[str, np.ndarray]:
    """Examples in the order of ``forward``, under its names."""
    parameters = list(inspect.signature(module.forward).parameters.values())
    names = [item.name for item in parameters if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)]
    given = {example.name: example.array for example in examples if example.name in names}
    if len(given) == len(examples):
        return {name: given[name] for name in names if name in given}
    if given and len(given) != len(examples):
        wrong = next(example.name for example in examples if example.name not in names)
        raise DataError(f"--example: must name inputs of {source} ({', '.join(names)}), found {wrong!r}")
    if len(examples) > len(names) and not any(item.kind == item.VAR_POSITIONAL for item in parameters):
        raise DataError(f"--example: {source} reads {len(names)} inputs ({', '.join(names)}), found {len(examples)}")
    fallback = [*names, *(f"input_{index}" for index in range(len(names), len(examples)))]
    return {example.name or fallback[index]: example.array for index, example in enumerate(examples)}


def _reads_by_name(module: nn.Module, names: Sequence[str]) -> bool:
    known = inspect.signature(module.forward).parameters
    return all(name in known and known[name].kind is not inspect.Parameter.POSITIONAL_ONLY for name in names)


def _repeated(array: np.ndarray, count: int) -> np.ndarray:
    """So many samples, those that there are again and again: a batch of one would be taken for a constant."""
    if not array.ndim:
        return array
    return np.ascontiguousarray(np.resize(array, (count, *array.shape[1:])))


def _run(module: nn.Module, source: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs under torch, by name."""
    flat = _Flat(module, tuple(inputs)).eval()
    args = [torch.from_numpy(array) for array in inputs.values()]
    try:
        with torch.inference_mode():
            out = module(**dict(zip(flat.names, args, strict=True))) if flat.names else module(*args)
        found = {name: tensor.numpy() for name, tensor in leaves(out)}
    except Exception as error:
        raise ModelError(explain(error, source=source)) from error
    if not found:
        raise ModelError(f"export: {source}: must give tensors, found none")
    return found
