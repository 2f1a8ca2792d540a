"""Tests of :mod:`mtl_edge.quantize.bias`."""

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from mtl_edge.quantize.bias import correct_biases
from mtl_edge.quantize.calibrate import calibrate
from mtl_edge.quantize.emulate import open_as_on
from mtl_edge.quantize.noise import output_noise
from mtl_edge.quantize.prepare import prepare
from mtl_edge.quantize.ranges import find_ranges
from mtl_edge.quantize.static import insert_qdq, quantize_static
from mtl_edge.quantize.target import find_target
from mtl_edge.runtime import open_session

RNG = np.random.default_rng(0)
BATCHES = [{"x": RNG.random((32, 3, 6, 6)).astype(np.float32)} for _ in range(8)]


def _model(*, biased: bool) -> bytes:
    """Convolutions, one after the other, and two heads that share what stands before them."""
    shapes = {"w0": (16, 3, 3, 3), "w1": (16, 16, 3, 3), "w2": (4, 16), "w3": (16, 5), "w4": (16, 2)}
    weights = {name: RNG.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    biases = {"b0": 16, "b1": 16, "b2": 4, "b3": 5}
    if biased:
        weights |= {name: RNG.standard_normal(size).astype(np.float32) for name, size in biases.items()}
    own = {name: [name] if biased else [] for name in biases}
    nodes = [
        helper.make_node("Conv", ["x", "w0", *own["b0"]], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "w1", *own["b1"]], ["c"], name="second"),
        helper.make_node("Relu", ["c"], ["d"], name="relu1"),
        helper.make_node("GlobalAveragePool", ["d"], ["e"], name="pool"),
        helper.make_node("Flatten", ["e"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "w2", *own["b2"]], ["left"], name="left", transB=1),
        helper.make_node("Gemm", ["f", "w3", *own["b3"]], ["right"], name="right", beta=2.0),
        helper.make_node("MatMul", ["f", "w4"], ["plain"], name="plain"),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 6, 6])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("left", "right", "plain")],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return prepare(proto.SerializeToString())


def _shift(fp32: bytes, int8: bytes) -> dict[str, float]:
    """Output -> how far its means are off, as a share of its spread."""
    found: dict[str, float] = {}
    sessions = [onnxruntime.InferenceSession(fp32), open_as_on(int8, "x86-vnni")]
    names = [item.name for item in sessions[0].get_outputs()]
    answers = [
        [np.concatenate(parts) for parts in zip(*(session.run(names, batch) for batch in BATCHES), strict=True)]
        for session in sessions
    ]
    for name, expected, seen in zip(names, *answers, strict=True):
        found[name] = float((np.abs(seen.mean(axis=0) - expected.mean(axis=0)) / expected.std(axis=0)).max())
    return found


@pytest.mark.parametrize("biased", [True, False], ids=["with biases", "without"])
def test_means_of_corrected_outputs_are_those_of_fp32(biased: bool) -> None:
    """Also where there was no bias before, and where a Gemm multiplies its own."""
    prepared = _model(biased=biased)
    # A narrow range cuts off much: the shifts are large.
    ranges = {
        name: (0.6 * low, 0.6 * high)
        for name, (low, high) in find_ranges(calibrate(prepared, BATCHES), "minmax").items()
    }

    def build(model: bytes) -> bytes:
        return insert_qdq(model, ranges, find_target("x86-vnni"))

    before = _shift(prepared, build(prepared))
    after = _shift(prepared, build(correct_biases(prepared, prepared, build, BATCHES)))
    for name in ("left", "right"):
        assert before[name] > 0.3
        assert after[name] < 0.02


def test_a_product_without_a_bias_gets_no_operator() -> None:
    """The corrected model has the nodes that it had."""
    prepared = _model(biased=False)
    ranges = find_ranges(calibrate(prepared, BATCHES), "minmax")
    corrected = correct_biases(
        prepared, prepared, lambda model: insert_qdq(model, ranges, find_target("x86-vnni")), BATCHES
    )
    kinds = [[node.op_type for node in onnx.load_from_string(model).graph.node] for model in (prepared, corrected)]
    assert kinds[0] == kinds[1]


def test_data_is_read_batch_after_batch() -> None:
    """Once for fp32 and once for each depth; a batch may go when the next one comes."""
    prepared = _model(biased=True)
    ranges = find_ranges(calibrate(prepared, BATCHES), "minmax")
    reads: list[int] = []

    class Stream:
        """Gives out each batch once a round."""

        def __iter__(self) -> Iterator[Mapping[str, np.ndarray]]:
            reads.append(0)
            for batch in BATCHES:
                reads[-1] += 1
                yield batch

    correct_biases(prepared, prepared, lambda model: insert_qdq(model, ranges, find_target("x86-vnni")), Stream())
    assert reads == [len(BATCHES)] * 4


def test_what_only_a_branch_reads_is_left_in_place() -> None:
    """Constants that no node reads are removed, and the body of a branch reads some from around it."""
    graph = parser.parse_graph("""
        g (float[N,7] x, bool yes) => (float[N,3] y) <float[7,3] w, float[3] b, float[3] outer> {
        a = Gemm (x, w, b)
        y = If (yes) <
            then_branch = t () => (float[N,3] s) { s = Add (a, outer) },
            else_branch = e () => (float[N,3] d) { d = Sub (a, outer) }
        >
    }""")
    shapes = {"w": (7, 3), "b": (3,), "outer": (3,)}
    graph.initializer.extend(
        numpy_helper.from_array(RNG.standard_normal(shape).astype(np.float32), name) for name, shape in shapes.items()
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    feeds = {"x": RNG.standard_normal((64, 7)).astype(np.float32), "yes": np.array(True)}
    int8 = quantize_static(model, [feeds])
    levels = output_noise(open_session(model), open_session(int8), feeds)
    assert levels["y"] > 25
