"""What the accelerators of phones could run of a model: NNAPI, CoreML and XNNPACK, by ONNX Runtime's own checker.

The checker goes by operators and by whether shapes are known; what an accelerator really takes is known on the device
alone. It knows nothing of XNNPACK. Its operators are those that the execution provider itself asks about, in
``onnxruntime/core/providers/xnnpack/detail/node_support_checker.cc`` of the GitHub repository microsoft/onnxruntime,
read at commit 6479e4bc8444.
"""

import logging
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import onnx

from mtl_edge.errors import ModelError, last_words

_XNNPACK = frozenset(
    ("AveragePool", "Conv", "ConvTranspose", "Gemm", "MatMul", "MaxPool", "QLinearConv", "Resize", "Softmax")
)
"""What XNNPACK has kernels for, under conditions of their own, such as weights that are constant."""
_FUSED = frozenset(("Clip", "Relu"))
_FUSED_BEHIND = frozenset(("AveragePool", "Conv", "MaxPool"))
"""It takes activations in one step with these alone."""
_QUANTIZING = frozenset(("QuantizeLinear", "DequantizeLinear"))
_TABLES = frozenset(("Equal", "Gather", "IsNaN"))

Verdict = Literal["yes", "maybe", "no"]


class Accelerator(msgspec.Struct, frozen=True, kw_only=True):
    """What one accelerator could do.

    Attributes:
        name: such as ``NNAPI``.
        verdict: whether it is worth trying.
        nodes: how many it could run, of how many.
        parts: into how many pieces that cuts the graph; data is copied between them.
        missing: operators that it has not, and how often the graph has them.
        if_fixed: the verdict if the batch were fixed; None where it is, or where that would change nothing.
        advice: what to change, in plain words.
    """

    name: str
    verdict: Verdict
    nodes: tuple[int, int]
    parts: int
    missing: dict[str, int]
    if_fixed: Verdict | None
    advice: tuple[str, ...]


def check_mobile(model: bytes) -> tuple[Accelerator, ...]:
    """Ask the checker of ``onnxruntime.tools`` about a model; it takes some seconds for a large one.

    Args:
        model: serialized, with its weights inside.

    Raises:
        ModelError: the runtime cannot load it, or shapes cannot be inferred.
    """
    from onnxruntime.tools.mobile_helpers import usability_checker as checker
    from onnxruntime.tools.onnx_model_utils import ModelProtoWithShapeInfo, optimize_model

    logging.getLogger("default").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="mtl-edge-") as scratch:
        source, simpler = Path(scratch) / "model.onnx", Path(scratch) / "simpler.onnx"
        source.write_bytes(model)
        try:
            optimize_model(source, simpler, use_external_initializers=True)
            with_shapes = ModelProtoWithShapeInfo(simpler)
            proto = with_shapes.model_with_shape_info
        except Exception as error:  # the runtime's own exception types are not public
            raise ModelError(f"mobile: the model cannot be checked: {last_words(error)}") from error
        dynamic, _ = checker.check_shapes(proto.graph)

        def coreml(file: str) -> Any:
            return lambda fixed: checker.check_coreml_partitions(proto, fixed, file)

        checks = {
            "NNAPI (Android)": lambda fixed: checker.check_nnapi_partitions(proto, fixed),
            "CoreML (iOS), MLProgram": coreml("coreml_supported_mlprogram_ops.md"),
            "CoreML (iOS), NeuralNetwork": coreml("coreml_supported_neuralnetwork_ops.md"),
        }
        found = [_accelerator(name, check(True), check(False), bool(dynamic), proto) for name, check in checks.items()]
    return (*found, _xnnpack(proto))


def _accelerator(name: str, as_is: Any, fixed: Any, dynamic: bool, proto: onnx.ModelProto) -> Accelerator:
    verdict, better = _verdict(as_is), _verdict(fixed)
    if_fixed = better if dynamic and better != verdict else None
    advice = []
    if if_fixed is not None:
        advice.append(f"{if_fixed} with fixed shapes: export with --batch 1")
    missing = _counted(fixed.unsupported_ops, proto)
    advice += _about_operators(set(missing))
    if fixed.num_partitions > 1 and not missing.keys() & _QUANTIZING:
        advice.append(f"the graph falls into {fixed.num_partitions} pieces, and data is copied between them")
    return Accelerator(
        name=name,
        verdict=verdict,
        nodes=(as_is.num_supported_nodes, as_is.num_nodes),
        parts=as_is.num_partitions,
        missing=missing,
        if_fixed=if_fixed,
        advice=tuple(advice),
    )


def _xnnpack(proto: onnx.ModelProto) -> Accelerator:
    """It works in the CPU's own memory, so pieces cost next to nothing."""
    maker = {name: node.op_type for node in proto.graph.node for name in node.output}
    kinds = Counter(_name(node) for node in proto.graph.node)
    has = Counter(
        _name(node)
        for node in proto.graph.node
        if _name(node) in _XNNPACK | _QUANTIZING
        or (_name(node) in _FUSED and maker.get(node.input[0]) in _FUSED_BEHIND)
    )
    useful = has.keys() & _XNNPACK
    advice = (
        "it is for convolutions on phones; NNAPI and CoreML come first where they take the whole graph"
        if useful
        else "it has kernels for nothing in this graph: use the CPU alone"
    )
    return Accelerator(
        name="XNNPACK (Android, iOS)",
        verdict="maybe" if useful else "no",
        nodes=(sum(has.values()), sum(kinds.values())),
        parts=0,
        missing=dict(kinds - has),
        if_fixed=None,
        advice=(advice,),
    )


def _about_operators(kinds: set[str]) -> list[str]:
    said = []
    if kinds & _QUANTIZING:
        said.append("it reads no int8 in the form of Q/DQ nodes: give it the fp32 or the fp16 model")
    if kinds & _TABLES:
        said.append("the encoding of tables runs on the CPU: the network behind it is what counts")
    if others := sorted(kinds - _QUANTIZING - _TABLES):
        said.append(f"these run on the CPU: {', '.join(others)}")
    return said


def _counted(missing: set[str], proto: onnx.ModelProto) -> dict[str, int]:
    kinds = Counter(f"{node.domain or 'ai.onnx'}:{node.op_type}" for node in proto.graph.node)
    return {name.removeprefix("ai.onnx:"): kinds[name] for name in sorted(missing)}


def _name(node: onnx.NodeProto) -> str:
    return f"{node.domain}:{node.op_type}" if node.domain not in ("", "ai.onnx") else str(node.op_type)


_VERDICTS: Mapping[str, Verdict] = {"YES": "yes", "MAYBE": "maybe", "NO": "no"}


def _verdict(info: Any) -> Verdict:
    return _VERDICTS[info.suitability().name]
