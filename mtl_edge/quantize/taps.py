"""What a network computes inside, batch after batch."""

from collections.abc import Iterable, Iterator, Mapping

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
    present = {value.name for value in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner if name not in present)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # What is handed out must be there: fusions would hide it, and are undone by the additional outputs anyway.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own exception types are not public
        raise ModelError(f"quantize: ONNX Runtime cannot load the model: {_last_words(error)}") from error
    for batch in batches:
        fed = {name: without_nan(array) for name, array in batch.items()}
        try:
            seen = fed | dict(zip(inner, session.run(inner, fed), strict=True))
        except Exception as error:
            raise DataError(f"quantize: the data does not fit the model: {_last_words(error)}") from error
        yield {name: seen[name] for name in wanted}


def _last_words(error: Exception) -> str:
    return " ".join(str(error).split())[-200:]
