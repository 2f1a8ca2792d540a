"""torch -> ONNX through the dynamo exporter."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import onnx_ir as ir
import onnx_ir.passes.common as passes
import torch

from mtl_edge.export.rewrite import use_global_average_pool
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
    with _quiet():
        program = torch.onnx.export(
            net.for_export(),
            (example,),
            dynamo=True,
            input_names=[input_name],
            output_names=list(net.tasks),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None  # None only for the old exporter
    model = use_global_average_pool(program.model)
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
def _quiet() -> Iterator[None]:
    """The exporter prints its steps and warns of its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
