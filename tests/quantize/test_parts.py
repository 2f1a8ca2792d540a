"""Tests of :mod:`mtl_edge.quantize.parts`."""

import onnx

from mtl_edge.quantize.parts import parts_of

_GRAPH = """
<ir_version: 9, opset_import: ["" : 20]>
net (float[n, 3, 8, 8] x) => (float[n, 2] left, float[n, 1] right)
<float[4, 3, 3, 3] a, float[4, 4, 3, 3] b, float[4, 4, 3, 3] c, float[4, 2] d, float[4, 1] e>
{
  p = Conv<pads=[1, 1, 1, 1]>(x, a)
  q = Conv<pads=[1, 1, 1, 1]>(p, b)
  r = Conv<pads=[1, 1, 1, 1], strides=[2, 2]>(q, c)
  s = GlobalAveragePool(r)
  t = Flatten(s)
  left = Gemm(t, d)
  right = Gemm(t, e)
}
"""


def _parts(by: str) -> dict[str, tuple[str, ...]]:
    model = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(_GRAPH))
    for node in model.graph.node:
        node.name = f"make_{node.output[0]}"
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    return {part.name: part.layers for part in parts_of(model.graph, layers, by)}  # type: ignore[arg-type]


def test_parts_are_the_trunk_and_the_heads() -> None:
    """By the outputs that depend on a layer."""
    trunk = ("make_p", "make_q", "make_r")
    assert _parts("part") == {"trunk": trunk, "left": ("make_left",), "right": ("make_right",)}


def test_stages_are_the_layers_of_a_part_with_maps_of_one_size() -> None:
    """A layer that halves the maps begins the next stage; layers without maps have no size."""
    assert _parts("stage") == {
        "trunk 8x8": ("make_p", "make_q"),
        "trunk 4x4": ("make_r",),
        "left": ("make_left",),
        "right": ("make_right",),
    }


def test_each_layer_can_be_a_part() -> None:
    """In the order in which they run."""
    assert list(_parts("layer")) == ["make_p", "make_q", "make_r", "make_left", "make_right"]
