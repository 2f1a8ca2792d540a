"""Some tasks of a model: the graph of their outputs, with nothing in it that only others need."""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import numpy_helper

from mtl_edge.errors import ModelError
from mtl_edge.graph import drop_dead, fresh_name, has_graphs_within, readers_of
from mtl_edge.optimize.merge import Branch, branches_of
from mtl_edge.optimize.narrow import narrow_quantized
from mtl_edge.optimize.unused import drop_unused_channels
from mtl_edge.quantize.int8_layers import constants_of


def cut_outputs(model: bytes, names: Collection[str], *, narrow: bool = True) -> bytes:
    """Keep some outputs of a model, in its order, and only what they are computed from.

    A layer of several tasks, as :mod:`mtl_edge.optimize.merge` makes them, loses the channels of those that go, and
    so does the one before it, where each task has channels of its own. What
    the network itself computes for all tasks at once, such as the gates of a mixture of experts, stays whole. Outputs
    are those of the whole model: of matrix products to the bit under ONNX Runtime, of convolutions but for last bits.

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
        branches = {branch.output: branch for branch in branches_of(graph)}
        for split in [node for node in graph.node if node.op_type == "Split" and node.input[0] in branches]:
            _narrow(graph, split, branches[split.input[0]])
        narrow_quantized(graph)
        drop_unused_channels(graph)
        drop_dead(graph)
    after = readers_of(graph)
    for item in [item for item in graph.input if before[item.name] and not after[item.name]]:
        graph.input.remove(item)
    return bytes(proto.SerializeToString())


def _narrow(graph: onnx.GraphProto, split: onnx.NodeProto, branch: Branch) -> None:
    """Take channels that nobody reads off the layer before a ``Split``; in place."""
    readers = readers_of(graph)
    sizes = constants_of(graph).get(split.input[1]) if len(split.input) > 1 else None
    used = [index for index, name in enumerate(split.output) if readers[name]]
    axis = next((item.i for item in split.attribute if item.name == "axis"), 0)
    if sizes is None or axis != branch.channel_axis or readers[branch.output] > 1 or len(used) == len(split.output):
        return
    starts = np.cumsum([0, *sizes])
    channels = np.concatenate([np.arange(starts[index], starts[index + 1]) for index in used])
    layer = branch.layer
    _replace(graph, branch.chain[0], layer.weight_name, np.take(layer.weight, channels, axis=layer.axis))
    if branch.bias is not None:
        _replace(graph, branch.chain[branch.bias_at], branch.bias_name, branch.bias[channels])
    if len(used) == 1:
        branch.chain[-1].output[0] = split.output[used[0]]
        graph.node.remove(split)
    else:
        _replace(graph, split, split.input[1], sizes[used])
        parts = [split.output[index] for index in used]
        split.output[:] = parts


def _replace(graph: onnx.GraphProto, node: onnx.NodeProto, name: str, values: np.ndarray) -> None:
    """Give a node another constant; what it had stays for others that read it, if any."""
    fresh = fresh_name(graph, name)
    graph.initializer.append(numpy_helper.from_array(values, fresh))
    node.input[:] = [fresh if known == name else known for known in node.input]
