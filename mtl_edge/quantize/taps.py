"""What a network computes inside, batch after batch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnx
import onnxruntime

from mtl_edge.errors import DataError, ModelError
from mtl_edge.quantize.calibrate import without_nan


def tapped(
    model: bytes, names: Iterable[str], batches: Iterable[Mapping[str, np.ndarray]]
) -> Iterator[dict[str, np.ndarray]]:
    """Run a model, and hand out values from within; memory is that of one batch.

    Args:
        model: a serialized model.
        names: of the values wanted; inputs of the graph are allowed.
        batches: input name -> array.

    Yields:
        Name -> array, for each batch.

    Raises:
        ModelError: the model cannot be loaded.
        DataError: a batch does not fit it.
    """
    proto = onnx.load_from_string(model)
    inputs, wanted = {value.name for value in proto.graph.input}, list(dict.fromkeys(names))
    inner = [name for name in wanted if name not in inputs]
    _keep_only(proto.graph, inner)
    session = _load(proto) if inner else None
    read = {item.name for item in session.get_inputs()} if session is not None else set()
    for batch in batches:
        fed = {name: without_nan(array) for name, array in batch.items()}
        try:
            answers = session.run(inner, {name: fed[name] for name in read}) if session is not None else []
        except Exception as error:
            raise DataError(f"quantize: the data does not fit the model: {_last_words(error)}") from error
        seen = fed | dict(zip(inner, answers, strict=True))
        yield {name: seen[name] for name in wanted}


def _load(proto: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # What is handed out must be there: fusions would hide it, and are undone by the additional outputs anyway.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own exception types are not public
        raise ModelError(f"quantize: ONNX Runtime cannot load the model: {_last_words(error)}") from error


def _keep_only(graph: onnx.GraphProto, names: Sequence[str]) -> None:
    """Make these values the outputs, and drop the nodes that none of them depends on."""
    present = {value.name: value for value in graph.output}
    del graph.output[:]
    graph.output.extend(present.get(name, onnx.ValueInfoProto(name=name)) for name in names)
    if any(attribute.type == onnx.AttributeProto.GRAPH for node in graph.node for attribute in node.attribute):
        return  # a graph within a graph may name what is outside of it
    needed, kept = set(names), []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))


def _last_words(error: Exception) -> str:
    return " ".join(str(error).split())[-200:]
