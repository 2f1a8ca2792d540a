"""What every change of a graph's inputs and outputs needs: its operator set, shapes, and names of what is read."""

import onnx

Shape = tuple[int | str, ...]

OLDEST_OPSET = 13
"""Since when ``Squeeze`` and ``ReduceSum`` read their axes as a tensor, and ``Softmax`` is over one axis."""


def is_onnx(domain: str) -> bool:
    """Whether operators of a domain are ONNX's own."""
    return domain in ("", "ai.onnx")


def opset_of(proto: onnx.ModelProto) -> int:
    """The version of ONNX's own operators."""
    return next((int(entry.version) for entry in proto.opset_import if is_onnx(entry.domain)), 0)


def shape_of(value: onnx.ValueInfoProto) -> Shape:
    """An input's or output's shape; a dimension without a size or a name is ``?``."""
    return tuple(
        int(dim.dim_value) if dim.HasField("dim_value") else str(dim.dim_param) or "?"
        for dim in value.type.tensor_type.shape.dim
    )


def rename_reads(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Let all nodes that read a tensor read another one, in graphs within the graph too; in place."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if all(item.name != old for item in inner.input):  # else it is a name of its own in there
                    rename_reads(inner, old, new)
                    for output in inner.output:
                        output.name = new if output.name == old else output.name
