"""What a network computes inside, batch after batch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnx

from mtl_edge.errors import DataError, last_words
from mtl_edge.graph import drop_dead
from mtl_edge.quantize.calibrate import open_unfused, without_nan


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
    session = open_unfused(proto, "quantize") if inner else None
    read = {item.name for item in session.get_inputs()} if session is not None else set()
    for batch in batches:
        fed = {name: without_nan(array) for name, array in batch.items()}
        try:
            answers = session.run(inner, {name: fed[name] for name in read}) if session is not None else []
        except Exception as error:
            raise DataError(f"quantize: the data does not fit the model: {last_words(error)}") from error
        seen = fed | dict(zip(inner, answers, strict=True))
        yield {name: seen[name] for name in wanted}


def _keep_only(graph: onnx.GraphProto, names: Sequence[str]) -> None:
    """Make these values the outputs, and drop the nodes that none of them depends on."""
    present = {value.name: value for value in graph.output}
    del graph.output[:]
    graph.output.extend(present.get(name, onnx.ValueInfoProto(name=name)) for name in names)
    drop_dead(graph)
