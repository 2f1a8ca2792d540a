"""What a model is, without timing it: tasks, inputs, the graph that ONNX Runtime makes of it, and what can run it."""

import tempfile
from pathlib import Path
from typing import Protocol

import msgspec
import onnx

from mtl_edge.profile.graph import optimized_nodes
from mtl_edge.profile.results import Breakdown
from mtl_edge.quantize.audit import Audit, AuditedNode
from mtl_edge.runtime import manifest_of, open_session

_OLDEST = 9
_SINCE_OPSET = {16: 11, 17: 12, 18: 14, 19: 15, 20: 17, 21: 18, 22: 21, 23: 23, 24: 24, 25: 24, 26: 25}
"""Operator set -> the first ONNX Runtime 1.x that reads it: its table of versions up to 21, tried out beyond."""
_SINCE_IR = {8: 10, 9: 16, 10: 18, 11: 23, 12: 24, 13: 24}
_SINCE_OPERATOR = {"GatherBlockQuantized": 20, "MatMulNBits": 17}
"""Operators of the runtime's own that older versions lack."""


class Tensor(msgspec.Struct, frozen=True):
    """An input or an output: a name stands for a dimension that the caller chooses."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]


class InspectedTask(msgspec.Struct, frozen=True):
    """A task and its output; ``kind`` is empty where the model has no manifest, which says what outputs mean."""

    name: str
    kind: str
    output: Tensor


class Inspection(Breakdown, frozen=True, kw_only=True):
    """One model.

    Attributes:
        path, file_bytes: the file.
        variant: name and variant by its manifest; empty where it has none.
        made: the steps that it went through, by its manifest.
        target: the kind of processor that it was made for, where it names one.
        tasks: in the order of the outputs.
        inputs: what it reads.
        opsets: operator sets by domain; ``""`` is that of ONNX.
        ir_version: of the file's format.
        producer: the program that wrote it.
        runtime_needed: the oldest ONNX Runtime that reads it, such as ``1.17``; empty where that is not known.
        nodes_in_file: how many there are before the runtime's optimizer.
        nodes: what is left after it on this CPU, in the order in which they run.
    """

    path: str
    file_bytes: int
    variant: str
    made: tuple[str, ...]
    target: str | None
    tasks: tuple[InspectedTask, ...]
    inputs: tuple[Tensor, ...]
    opsets: dict[str, int]
    ir_version: int
    producer: str
    runtime_needed: str
    nodes_in_file: int

    @property
    def audit(self) -> Audit:
        """What runs in int8, what stayed in float, and why."""
        return Audit(tuple(AuditedNode(node.op_type, node.name, node.precision, node.reason) for node in self.nodes))


def inspect(path: Path) -> Inspection:
    """Look at any ``.onnx`` and at what ONNX Runtime makes of it on this CPU.

    Raises:
        ModelError: the file cannot be read, or contradicts its manifest.
    """
    with tempfile.TemporaryDirectory(prefix="mtl-edge-") as folder:
        optimized = Path(folder) / "optimized.onnx"
        session = open_session(path, save_optimized=optimized)
        nodes = optimized_nodes(optimized)
    manifest = manifest_of(path, session)
    model = onnx.load(path, load_external_data=False)
    opsets = {"" if item.domain == "ai.onnx" else item.domain: item.version for item in model.opset_import}
    kinds = {task.name: task.__struct_config__.tag for task in manifest.tasks} if manifest else {}
    outputs = [_tensor(item) for item in session.get_outputs()]
    return Inspection(
        path=str(path),
        file_bytes=path.stat().st_size,
        variant=f"{manifest.name} {manifest.variant}" if manifest else "",
        made=manifest.lineage.steps if manifest else (),
        target=manifest.target if manifest else None,
        tasks=tuple(InspectedTask(item.name, str(kinds.get(item.name, "")), item) for item in outputs),
        inputs=tuple(_tensor(item) for item in session.get_inputs()),
        opsets=opsets,
        ir_version=model.ir_version,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        runtime_needed=runtime_needed(opsets.get("", 0), model.ir_version, {node.op_type for node in model.graph.node}),
        nodes_in_file=len(model.graph.node),
        nodes=nodes,
    )


def runtime_needed(opset: int, ir_version: int, operators: set[str]) -> str:
    """The oldest ONNX Runtime that reads such a model, ``1.9`` for all that is older; empty if that is not known."""
    if opset > max(_SINCE_OPSET) or ir_version > max(_SINCE_IR):
        return ""
    since = (
        _OLDEST,
        _SINCE_OPSET.get(opset, 0),
        _SINCE_IR.get(ir_version, 0),
        *(_SINCE_OPERATOR.get(name, 0) for name in operators),
    )
    return f"1.{max(since)}"


class _SessionArgument(Protocol):
    """What ONNX Runtime says of an input or output."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]


def _tensor(item: _SessionArgument) -> Tensor:
    return Tensor(item.name, item.type.removeprefix("tensor(").removesuffix(")"), tuple(item.shape))
