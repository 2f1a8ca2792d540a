"""torch -> ONNX through the dynamo exporter."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import onnx_ir as ir
import onnx_ir.passes.common as passes
import torch
from torch import nn

from mtl_edge.export.rewrite import unsign_zeros, use_global_average_pool
from mtl_edge.nets.multitask import MultiTaskNet

OPSET = 20
IR_VERSION = 9
"""Both are understood by ONNX Runtime 1.17 (2024) and later."""


def export_onnx(net: MultiTaskNet, example: torch.Tensor, input_name: str) -> bytes:
    """Write a network as ONNX with a dynamic batch, one named input, and one named output per task.

    Args:
        net: the trained network; it stays as it is.
        example: a batch of at least two inputs, to trace the network with.
        input_name: name of the graph's input.

    Returns:
        The serialized model, without the traces of this machine that the exporter leaves in it (file names, lines).
    """
    return finish(trace_net(net, example, input_name).model)


def trace_net(
    net: MultiTaskNet, example: torch.Tensor, input_name: str, *, optimize: bool = True
) -> torch.onnx.ONNXProgram:
    """What the exporter makes of a network; arguments are those of :func:`export_onnx` and :func:`trace`."""
    shapes = ({0: torch.export.Dim("batch")},)
    return trace(net.for_export(), (example,), [input_name], list(net.tasks), shapes, optimize=optimize)


def trace(
    module: nn.Module | torch.export.ExportedProgram,
    args: tuple[torch.Tensor, ...],
    input_names: Sequence[str],
    output_names: Sequence[str],
    dynamic_shapes: tuple[dict[int, Any], ...] | None = None,
    *,
    opset: int = OPSET,
    optimize: bool = True,
) -> torch.onnx.ONNXProgram:
    """What the exporter makes of any module, for :func:`finish`; what :mod:`torch.onnx` raises of it is raised.

    Args:
        module: in evaluation mode; it reads tensors and gives tensors. Or what :mod:`torch.export` made of one.
        args: what to trace it with.
        input_names: one for each of them.
        output_names: one for each output.
        dynamic_shapes: which axes of each input are open; None fixes all, or leaves it to the program.
        opset: the operator set.
        optimize: without it every parameter is still an initializer of its own name.
    """
    with quiet():
        program = torch.onnx.export(
            module,
            args,
            dynamo=True,
            input_names=input_names,
            output_names=output_names,
            dynamic_shapes=dynamic_shapes,
            opset_version=opset,
            verbose=False,
            optimize=optimize,
        )
    assert program is not None  # None only for the old exporter
    return program


def finish(model: ir.Model) -> bytes:
    """The exporter's graph with our rewrites, serialized, as of :func:`export_onnx`; it may be changed in place."""
    model = use_global_average_pool(model)
    unsign_zeros(model)
    passes.RemoveUnusedNodesPass()(model)
    passes.ClearMetadataAndDocStringPass()(model)
    model.metadata_props.clear()
    model.ir_version = IR_VERSION
    proto = ir.to_proto(model)
    proto.graph.ClearField("value_info")
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        value.ClearField("metadata_props")
    return bytes(proto.SerializeToString(deterministic=True))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The exporter prints its steps, and warns of its own deprecations and of what it raises anyway."""
    logger = logging.getLogger("torch.onnx")
    level, disabled = logger.level, logging.root.manager.disable
    logger.setLevel(logging.ERROR)
    logging.disable(logging.WARNING)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
            logging.disable(disabled)
