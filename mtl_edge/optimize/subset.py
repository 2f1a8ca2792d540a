"""Some tasks of a model: the graph of their outputs, with nothing in it that only others need."""

from collections.abc import Collection

import onnx

from mtl_edge.errors import ModelError
from mtl_edge.graph import drop_dead, has_graphs_within, readers_of
from mtl_edge.optimize.narrow import narrow_layers


def cut_outputs(model: bytes, names: Collection[str], *, narrow: bool = True) -> bytes:
    """Keep some outputs of a model, in its order, and only what they are computed from.

    A layer of several tasks, as :mod:`mtl_edge.optimize.merge` makes them, loses the channels of those that go, and
    so does the one before it, where each task has channels of its own. What the network itself computes for all tasks
    at once, such as the gates of a mixture of experts, stays whole. Outputs are those of the whole model: of matrix
    products to the bit under ONNX Runtime, of convolutions but for last bits.

    Args:
        model: a serialized model, fp32 or int8.
        names: of the outputs to keep.
        narrow: whether layers of several tasks lose channels.

    Raises:
        ModelError: no name is given, or one that no output has.
    """
    proto = onnx.load_from_string(model)
    graph = proto.graph
    present = [output.name for output in graph.output]
    if unknown := [name for name in names if name not in present]:
        raise ModelError(f"subset: must name outputs of the model ({', '.join(present)}), found {unknown[0]!r}")
    if not names:
        raise ModelError(f"subset: must name at least one output of the model ({', '.join(present)}), found none")
    before = readers_of(graph)
    for output in [output for output in graph.output if output.name not in names]:
        graph.output.remove(output)
    drop_dead(graph)
    if narrow and not has_graphs_within(graph):
        narrow_layers(graph)
        drop_dead(graph)
    after = readers_of(graph)
    for item in [item for item in graph.input if before[item.name] and not after[item.name]]:
        graph.input.remove(item)
    return bytes(proto.SerializeToString())
