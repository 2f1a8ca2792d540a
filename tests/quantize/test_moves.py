"""Tests of :mod:`mtl_edge.quantize.moves`."""

import onnx
import pytest

from mtl_edge.quantize.moves import Moves, Seconds
from mtl_edge.quantize.race import movable_nodes

_GRAPH = """
<ir_version: 9, opset_import: ["" : 17]>
net (float[n, 3, 8, 8] x) => (float[n, 5] y, float[n, 4, 8, 8] z)
<float[4, 3, 3, 3] a, float[4, 4, 3, 3] b, float[4, 4, 3, 3] c, float[4, 5] e>
{
  [first] p = Conv<pads=[1, 1, 1, 1]>(x, a)
  [relu] q = Relu(p)
  [second] r = Conv<pads=[1, 1, 1, 1]>(q, b)
  [sigmoid] s = Sigmoid(r)
  [pool] u = GlobalAveragePool(s)
  [flatten] v = Flatten(u)
  [head] y = Gemm(v, e)
  [map] z = Conv<pads=[1, 1, 1, 1]>(s, c)
}
"""
TIMES = {
    "first": Seconds(0.5, 1.0),
    "second": Seconds(0.9, 1.0),
    "head": Seconds(1.2, 1.0),
    "map": Seconds(0.85, 1.0),
}
INT8 = frozenset[str]()


@pytest.fixture(scope="module")
def graph() -> onnx.GraphProto:
    """Two convolutions one after the other, a head that is a product, and one that is a map."""
    graph = onnx.parser.parse_model(_GRAPH).graph
    for name, size in {"a": (4, 3, 3, 3), "b": (4, 4, 3, 3), "c": (4, 4, 3, 3), "e": (4, 5)}.items():
        graph.initializer.append(onnx.TensorProto(name=name, dims=size, data_type=onnx.TensorProto.FLOAT))
    return graph


@pytest.fixture(scope="module")
def moves(graph: onnx.GraphProto) -> Moves:
    """With times by a rule."""
    return Moves(graph, movable_nodes(graph), TIMES.get)


def test_groups_are_kinds_then_parts_then_layers(moves: Moves, graph: onnx.GraphProto) -> None:
    """The largest layers come first; what has no weights does not move by itself."""
    groups = list(moves.groups())
    assert frozenset({"first", "second", "map"}) in groups
    assert frozenset({"pool", "flatten", "head"}) in groups
    assert groups[-3:-1] == [frozenset({"second"}), frozenset({"map"})]
    assert frozenset().union(*groups) == movable_nodes(graph)


@pytest.mark.parametrize(
    ("group", "least", "useful"),
    [
        ({"second"}, 0.05, False),  # in the midst of int8, and faster there
        ({"relu"}, 0.0, False),  # part of the layer before
        ({"sigmoid"}, 0.05, True),  # nobody knows what it takes
        ({"head"}, 0.1, True),  # faster in float by 0.2, and a product answers in float at no cost
        ({"head"}, 0.3, False),
        ({"map"}, 9.0, True),  # its answer has to be in float: a conversion goes
        ({"first"}, 0.0, False),  # so has what it reads, but it is twice as fast in int8
    ],
)
def test_what_leaves_int8(moves: Moves, group: set[str], least: float, useful: bool) -> None:
    """Where no conversion goes, layers have to gain by themselves what noise cannot."""
    assert moves.could_gain(frozenset(group), INT8, least) == useful


@pytest.mark.parametrize(
    ("group", "least", "useful"),
    [
        ({"second"}, 0.05, True),
        ({"second"}, 0.2, False),
        ({"first", "second"}, 0.55, True),  # 0.6 together
        ({"sigmoid"}, 0.0, False),  # to convert what it reads takes as long as itself
        ({"head"}, 0.0, False),
    ],
)
def test_what_leaves_float(moves: Moves, graph: onnx.GraphProto, group: set[str], least: float, useful: bool) -> None:
    """In the midst of float only a layer gains."""
    assert moves.could_gain(frozenset(group), movable_nodes(graph), least) == useful


def test_beside_int8_a_slower_layer_may_join_it(moves: Moves, graph: onnx.GraphProto) -> None:
    """It spares the conversions between them, unless it is far slower."""
    kept = movable_nodes(graph) - {"flatten", "second"}
    assert moves.could_gain(frozenset({"head"}), kept, 9.0)
    assert moves.could_gain(frozenset({"sigmoid"}), kept, 9.0)
    slow = Moves(graph, movable_nodes(graph), {"head": Seconds(3.0, 1.0)}.get)
    assert not slow.could_gain(frozenset({"head"}), kept, 0.0)
