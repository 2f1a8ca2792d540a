"""Any fp32 graph becomes an int8 file that loads, takes and gives what it did, and answers nearly the same."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from mtl_edge.quantize.file import quantize_file
from mtl_edge.runtime import open_session

_SAMPLES = 48
_CODES = 10
"""Whole-number inputs lie below this."""


@dataclass(frozen=True)
class Graph:
    """A graph as text, in which inputs named ``w…`` are weights and ``s…`` positive scales, drawn by chance.

    Attributes:
        text: in the syntax of ``onnx.parser``; ``N`` is the open batch.
        opset: its version of ONNX's operators.
        least_db: signal to noise that every output keeps.
    """

    text: str
    opset: int = 20
    least_db: float = 25

    def model(self) -> onnx.ModelProto:
        """With weights drawn anew by the same chance."""
        graph = parser.parse_graph(self.text)
        rng = np.random.default_rng(0)
        for value in list(graph.input):
            if value.name[0] in "ws":
                shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
                drawn = rng.standard_normal(shape) / np.sqrt(max(np.prod(shape[1:]), 1))
                drawn = drawn if value.name[0] == "w" else 0.5 + rng.random(shape)
                dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
                graph.initializer.append(numpy_helper.from_array(drawn.astype(dtype), value.name))
                graph.input.remove(value)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = min(model.ir_version, 10)
        return model


def draw(model: onnx.ModelProto, samples: int = _SAMPLES) -> dict[str, np.ndarray]:
    """Samples for every input of a model: normal numbers, or codes."""
    rng = np.random.default_rng(1)
    arrays = {}
    for value in model.graph.input:
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        shape = (samples, *(dim.dim_value or 8 for dim in list(value.type.tensor_type.shape.dim)[1:]))
        drawn = rng.standard_normal(shape) if dtype.kind == "f" else rng.integers(0, _CODES, shape)
        arrays[value.name] = (drawn > 0 if dtype.kind == "b" else drawn).astype(dtype)
    return arrays


def signature(session: onnxruntime.InferenceSession) -> list[tuple[str, str, list[int | str | None]]]:
    """Name, type and shape of each input and output."""
    return [(item.name, item.type, item.shape) for item in (*session.get_inputs(), *session.get_outputs())]


GRAPHS = {
    "several outputs": Graph(
        """
        g (float[N,3,8,8] x, float[8,3,3,3] w1, float[8] w2, float[8,4] w3, float[8,1] w4)
          => (float[N,8,8,8] map, float[N,4] kind, float[N,1] size) {
        c = Conv<pads=[1,1,1,1]>(x, w1, w2)
        map = Relu(c)
        p = GlobalAveragePool(map)
        f = Flatten(p)
        kind = MatMul(f, w3)
        size = MatMul(f, w4)
    }""",
        least_db=20,
    ),  # a mean over noise has little spread around its mean
    "a batch of one": Graph("""
        g (float[1,3,8,8] x, float[8,3,3,3] w1, float[8,4] w2) => (float[1,4] y) {
        c = Conv<pads=[1,1,1,1]>(x, w1)
        r = Relu(c)
        p = GlobalAveragePool(r)
        f = Flatten(p)
        y = Gemm(f, w2)
    }"""),
    "a batch of four": Graph("""
        g (float[4,8] x, float[8,16] w1, float[16,4] w2) => (float[4,4] y) {
        a = MatMul(x, w1)
        r = Relu(a)
        y = MatMul(r, w2)
    }"""),
    "a weight of two layers": Graph("""
        g (float[N,8] x, float[8,8] w1) => (float[N,8] y) {
        a = MatMul(x, w1)
        r = Relu(a)
        b = Gemm<transB=1>(r, w1)
        y = Tanh(b)
    }"""),
    "an embedding that is the output's weight too": Graph("""
        g (int64[N,6] tokens, float[10,16] w1, float[16,16] w2) => (float[N,6,10] y) {
        e = Gather(w1, tokens)
        a = MatMul(e, w2)
        t = Transpose<perm=[1,0]>(w1)
        y = MatMul(a, t)
    }"""),
    "transposed convolution": Graph("""
        g (float[N,4,6,6] x, float[4,8,2,2] w1, float[8] w2, float[8,3,2,2] w3) => (float[N,3,24,24] y) {
        a = ConvTranspose<strides=[2,2]>(x, w1, w2)
        r = Relu(a)
        y = ConvTranspose<strides=[2,2]>(r, w3)
    }"""),
    "grouped transposed convolution": Graph("""
        g (float[N,8,6,6] x, float[8,4,2,2] w1, float[16,3,1,1] w2) => (float[N,3,12,12] y) {
        a = ConvTranspose<strides=[2,2], group=4>(x, w1)
        r = Relu(a)
        y = ConvTranspose(r, w2)
    }"""),
    "depthwise convolution": Graph("""
        g (float[N,3,8,8] x, float[8,3,1,1] w1, float[8,1,3,3] w2, float[8] w3, float[4,8,1,1] w4)
          => (float[N,4,4,4] y) {
        a = Conv(x, w1)
        lo = Constant<value_float=0.0>()
        hi = Constant<value_float=6.0>()
        r = Clip(a, lo, hi)
        d = Conv<group=8, pads=[1,1,1,1], strides=[2,2]>(r, w2, w3)
        e = Clip(d, lo, hi)
        y = Conv(e, w4)
    }"""),
    "grouped convolution and channel shuffle": Graph("""
        g (float[N,8,6,6] x, float[8,4,1,1] w1, float[8,4,3,3] w2) => (float[N,8,6,6] y) {
        a = Conv<group=2>(x, w1)
        apart = Constant<value_ints=[0,2,4,6,6]>()
        together = Constant<value_ints=[0,8,6,6]>()
        b = Reshape(a, apart)
        c = Transpose<perm=[0,2,1,3,4]>(b)
        d = Reshape(c, together)
        e = Conv<group=2, pads=[1,1,1,1]>(d, w2)
        y = Add(e, x)
    }"""),
    "encoder and decoder": Graph("""
        g (float[N,3,8,8] x, float[8,3,3,3] w1, float[8,8,3,3] w2, float[4,16,3,3] w3) => (float[N,4,8,8] y) {
        a = Conv<pads=[1,1,1,1]>(x, w1)
        b = Relu(a)
        p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(b)
        c = Conv<pads=[1,1,1,1]>(p, w2)
        d = Relu(c)
        scales = Constant<value_floats=[1.0,1.0,2.0,2.0]>()
        u = Resize<mode="nearest">(d, , scales)
        k = Concat<axis=1>(u, b)
        y = Conv<pads=[1,1,1,1]>(k, w3)
    }"""),
    "encoder and decoder of computed size": Graph("""
        g (float[N,3,8,8] x, float[8,3,3,3] w1, float[4,8,3,3] w2) => (float[N,4,8,8] y) {
        a = Conv<pads=[1,1,1,1], strides=[2,2]>(x, w1)
        b = Relu(a)
        outer = Shape<start=2>(x)
        inner = Shape<end=2>(b)
        sizes = Concat<axis=0>(inner, outer)
        u = Resize<mode="linear", coordinate_transformation_mode="half_pixel">(b, , , sizes)
        y = Conv<pads=[1,1,1,1]>(u, w2)
    }"""),
    "attention": Graph("""
        g (float[N,6,16] x, float[16,16] w1, float[16,16] w2, float[16,16] w3, float[16,16] w4) => (float[N,6,16] y) {
        q = MatMul(x, w1)
        k = MatMul(x, w2)
        v = MatMul(x, w3)
        kt = Transpose<perm=[0,2,1]>(k)
        s = MatMul(q, kt)
        root = Constant<value_float=4.0>()
        scaled = Div(s, root)
        p = Softmax<axis=-1>(scaled)
        a = MatMul(p, v)
        o = MatMul(a, w4)
        y = Add(o, x)
    }"""),
    "layer norm": Graph("""
        g (float[N,16] x, float[16,16] w1, float[16] s1, float[16] w2, float[16,4] w3) => (float[N,4] y) {
        a = MatMul(x, w1)
        b = LayerNormalization<axis=-1>(a, s1, w2)
        y = MatMul(b, w3)
    }"""),
    "embedding": Graph("""
        g (int64[N,5] tokens, float[10,16] w1, float[16,4] w2) => (float[N,4] y) {
        e = Gather(w1, tokens)
        axes = Constant<value_ints=[1]>()
        m = ReduceMean<keepdims=0>(e, axes)
        y = Gemm(m, w2)
    }"""),
    "LSTM": Graph("""
        g (float[N,7,6] x, float[2,32,6] w1, float[2,32,8] w2, float[2,64] w3, float[8,3] w4)
          => (float[2,N,3] y, float[7,2,N,8] every) {
        t = Transpose<perm=[1,0,2]>(x)
        every, last, cell = LSTM<hidden_size=8, direction="bidirectional">(t, w1, w2, w3)
        y = MatMul(last, w4)
    }"""),
    "GRU": Graph("""
        g (float[N,7,6] x, float[1,24,6] w1, float[1,24,8] w2, float[1,48] w3, float[8,3] w4) => (float[N,3] y) {
        t = Transpose<perm=[1,0,2]>(x)
        every, last = GRU<hidden_size=8, linear_before_reset=1>(t, w1, w2, w3)
        axes = Constant<value_ints=[0]>()
        h = Squeeze(last, axes)
        y = Gemm(h, w4)
    }"""),
    "a branch": Graph("""
        g (float[N,8] x, float[8,8] w1, float[8,8] w2, float[8,3] w3) => (float[N,3] y) {
        a = MatMul(x, w1)
        n = Shape<end=1>(x)
        two = Constant<value_ints=[2]>()
        many = Greater(n, two)
        none = Constant<value_ints=[0]>()
        yes = Squeeze(many, none)
        b = If (yes) <
            then_branch = then_g () => (float[N,8] t) { t = MatMul(a, w2) },
            else_branch = else_g () => (float[N,8] e) { m = MatMul(a, w2) e = Identity(m) }
        >
        r = Relu(b)
        y = MatMul(r, w3)
    }"""),
    "a branch of operator set 11": Graph(
        """
        g (float[N,8] x, bool[1] yes, float[8,8] w1) => (float[N] y) {
        a = MatMul(x, w1)
        cond = Squeeze<axes=[0]>(yes)
        y = If (cond) <
            then_branch = then_g () => (float[N] t) { m = ReduceSum<axes=[1]>(a) t = Squeeze<axes=[1]>(m) },
            else_branch = else_g () => (float[N] e) { m = ReduceMax<axes=[1]>(a) e = Squeeze<axes=[1]>(m) }
        >
    }""",
        opset=11,
    ),
    "a loop": Graph("""
        g (float[N,8] x, float[8,8] w1, float[8,8] w2, float[8,3] w3) => (float[N,3] y) {
        a = MatMul(x, w1)
        times = Constant<value_int=3>()
        yes = Constant<value = bool {1}>()
        b = Loop (times, yes, a) <
            body = step (int64 i, bool go, float[N,8] state) => (bool on, float[N,8] next) {
                on = Identity(go)
                m = MatMul(state, w2)
                next = Tanh(m)
            }
        >
        y = MatMul(b, w3)
    }"""),
    "hard swish": Graph("""
        g (float[N,3,8,8] x, float[8,3,3,3] w1, float[4,8,1,1] w2) => (float[N,4,8,8] y) {
        a = Conv<pads=[1,1,1,1]>(x, w1)
        b = HardSwish(a)
        y = Conv(b, w2)
    }"""),
    "sigmoid and swish": Graph("""
        g (float[N,3,8,8] x, float[8,3,3,3] w1, float[4,8,1,1] w2) => (float[N,4,8,8] y) {
        a = Conv<pads=[1,1,1,1]>(x, w1)
        s = Sigmoid(a)
        b = Mul(a, s)
        c = Conv(b, w2)
        y = Sigmoid(c)
    }"""),
    "GELU": Graph("""
        g (float[N,16] x, float[16,32] w1, float[32,4] w2) => (float[N,4] y) {
        a = MatMul(x, w1)
        b = Gelu(a)
        y = MatMul(b, w2)
    }"""),
    "squeeze and excite": Graph("""
        g (float[N,3,8,8] x, float[8,3,3,3] w1, float[4,8,1,1] w2, float[8,4,1,1] w3, float[4,8,1,1] w4)
          => (float[N,4,8,8] y) {
        a = Conv<pads=[1,1,1,1]>(x, w1)
        b = Relu(a)
        p = GlobalAveragePool(b)
        c = Conv(p, w2)
        d = Relu(c)
        e = Conv(d, w3)
        f = HardSigmoid(e)
        m = Mul(b, f)
        y = Conv(m, w4)
    }"""),
    "1-D convolution": Graph("""
        g (float[N,4,32] x, float[8,4,5] w1, float[8] w2, float[8,1,3] w3, float[8,3] w4) => (float[N,3] y) {
        a = Conv<pads=[2,2]>(x, w1, w2)
        b = Relu(a)
        p = MaxPool<kernel_shape=[2], strides=[2]>(b)
        d = Conv<group=8, pads=[2,2], dilations=[2]>(p, w3)
        q = GlobalAveragePool(d)
        f = Flatten(q)
        y = Gemm(f, w4)
    }"""),
    "an image and a vector": Graph("""
        g (float[N,3,8,8] image, float[N,4] extra, float[8,3,3,3] w1, float[12,3] w2) => (float[N,3] y) {
        a = Conv(image, w1)
        b = Relu(a)
        p = GlobalAveragePool(b)
        f = Flatten(p)
        k = Concat<axis=1>(f, extra)
        y = Gemm(k, w2)
    }"""),
    "Gemm with everything": Graph("""
        g (float[N,8] x, float[8,8] w1, float[8,6] w2, float[6] w3) => (float[6,6] y, float[N,6] z) {
        a = MatMul(x, w1)
        z = Gemm<alpha=0.5, beta=2.0>(a, w2, w3)
        y = Gemm<transA=1, alpha=0.1>(z, z)
    }"""),
    "Gemm with a weight that is transposed": Graph("""
        g (float[4,8] x, float[4,6] w1, float[3,8] w2) => (float[8,3] y) {
        a = Gemm<transA=1, alpha=0.7>(x, w1)
        t = Transpose<perm=[1,0]>(a)
        b = Gemm(a, t)
        y = Gemm<transB=1, beta=0.3>(b, w2)
    }"""),
    "means as heads": Graph("""
        g (float[N,3,8,8] x, float[8,3,3,3] w1) => (float[N,8] y, float[N,8,1,1] kept) {
        a = Conv<pads=[1,1,1,1]>(x, w1)
        b = Relu(a)
        axes = Constant<value_ints=[2,3]>()
        y = ReduceMean<keepdims=0>(b, axes)
        kept = ReduceMean<keepdims=1>(b, axes)
    }"""),
    "an output within the graph": Graph("""
        g (float[N,8] x, float[8,8] w1, float[8,3] w2) => (float[N,8] a, float[N,8] r, float[N,3] y) {
        a = MatMul(x, w1)
        r = Relu(a)
        y = MatMul(r, w2)
    }"""),
    "an output that is an input": Graph("""
        g (float[N,8] x, float[8,3] w1) => (float[N,3] y, float[N,8] x) {
        y = MatMul(x, w1)
    }"""),
    "an output that copies an input": Graph("""
        g (float[N,8] x, float[8,3] w1) => (float[N,3] y, float[N,8] same) {
        y = MatMul(x, w1)
        same = Identity(x)
    }"""),
    "doubles": Graph("""
        g (double[N,8] x, float[8,8] w1, float[8,3] w2) => (float[N,3] y, double[N,3] z) {
        f = Cast<to=1>(x)
        a = MatMul(f, w1)
        r = Relu(a)
        y = MatMul(r, w2)
        z = Cast<to=11>(y)
    }"""),
    "whole numbers": Graph("""
        g (uint8[N,3,8,8] x, int32[N,4] n, float[8,3,3,3] w1, float[12,3] w2) => (float[N,3] y, int64[N] best) {
        f = Cast<to=1>(x)
        ten = Constant<value_float=10.0>()
        g = Div(f, ten)
        a = Conv(g, w1)
        p = GlobalAveragePool(a)
        q = Flatten(p)
        m = Cast<to=1>(n)
        k = Concat<axis=1>(q, m)
        y = MatMul(k, w2)
        best = ArgMax<axis=1, keepdims=0>(y)
    }"""),
    "half precision": Graph("""
        g (float16[N,8] x, float16[8,8] w1, float16[8,3] w2) => (float16[N,3] y) {
        a = MatMul(x, w1)
        r = Relu(a)
        y = MatMul(r, w2)
    }"""),
    "weights on the left, of one row, of several matrices": Graph("""
        g (float[N,8,8] x, float[8,8] w1, float[8] w2, float[8,8,3] w3, float[8] w4)
          => (float[N,8] y, float[N,8,8,3] z, float[N,8] u) {
        a = MatMul(w1, x)
        y = MatMul(a, w2)
        axes = Constant<value_ints=[1]>()
        b = Unsqueeze(a, axes)
        z = MatMul(b, w3)
        u = MatMul(w4, a)
    }"""),
    "a half-precision input": Graph("""
        g (float16[N,8] x, float[8,8] w1, float[8,3] w2) => (float[N,3] y) {
        f = Cast<to=1>(x)
        a = MatMul(f, w1)
        r = Relu(a)
        y = MatMul(r, w2)
    }"""),
    "no layer at all": Graph("""
        g (float[N,8] x) => (float[N,8] y) {
        a = Relu(x)
        y = Sqrt(a)
    }"""),
    "a weight of a layer and of a branch": Graph("""
        g (float[N,8] x, bool[1] yes, float[8,8] w1, float[8,8] w2) => (float[N,8] y) {
        a = MatMul(x, w1)
        none = Constant<value_ints=[0]>()
        cond = Squeeze(yes, none)
        r = Relu(a)
        b = If (cond) <
            then_branch = then_g () => (float[N,8] t) { m = MatMul(r, w1) t = Sub(m, a) },
            else_branch = else_g () => (float[N,8] e) { e = Identity(a) }
        >
        c = MatMul(b, w2)
        y = Add(c, r)
    }"""),
    "a bias that is added elsewhere too": Graph("""
        g (float[N,8] x, float[8,8] w1, float[8] w2, float[8,8] w3) => (float[N,8] y) {
        a = Gemm(x, w1, w2)
        b = Add(a, w2)
        y = Gemm(b, w3, w2)
    }"""),
    "a Gemm of computed tensors with factors": Graph("""
        g (float[4,8] x, float[8,8] w1, float[4] w2) => (float[4,4] y) {
        a = MatMul(x, w1)
        r = Relu(a)
        y = Gemm<transB=1, alpha=0.25, beta=3.0>(r, r, w2)
    }"""),
    "an output that never changes": Graph("""
        g (float[N,8] x, float[8,3] w1, float[3] w2) => (float[N,3] y, float[3] c, int64[2] n) {
        y = MatMul(x, w1)
        c = Relu(w2)
        n = Constant<value_ints=[1,2]>()
    }"""),
    "an open height": Graph("""
        g (float[N,3,h,w] x, float[8,3,3,3] w1, float[4,8,1,1] w2) => (float[N,4,i,j] y) {
        a = Conv(x, w1)
        b = LeakyRelu(a)
        y = Conv(b, w2)
    }"""),
}
GRAPHS |= {
    f"operator set {opset}": Graph(
        """
        g (float[N,3,8,8] x, float[8,3,3,3] w1, float[8] s1, float[8] w2, float[8] w3, float[8] s2, float[8,4] w4,
           float[4] w5) => (float[N,4] y) {
        a = Conv<pads=[1,1,1,1]>(x, w1)
        n = BatchNormalization(a, s1, w2, w3, s2)
        b = Relu(n)
        c = Add(b, a)
        p = GlobalAveragePool(c)
        f = Flatten(p)
        k = Gemm(f, w4, w5)
        y = Softmax<axis=1>(k)
    }""",
        opset,
    )
    for opset in (7, 9, 10, 11, 12, 13, 17, 21, 22, 23, 24, 25, 26)
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_keeps_its_interface_and_its_answers(name: str, tmp_path: Path) -> None:
    """With all in int8 that has a kernel, for one sample and for several."""
    _quantize_and_compare(GRAPHS[name], tmp_path, "all")


@pytest.mark.parametrize("name", ["several outputs", "attention", "depthwise convolution", "a branch", "GRU"])
def test_so_it_does_where_the_placement_is_measured(name: str, tmp_path: Path) -> None:
    """Some layers stay in float then, with small weights."""
    _quantize_and_compare(GRAPHS[name], tmp_path, "measured")


def _quantize_and_compare(graph: Graph, folder: Path, placement: str) -> None:
    model = graph.model()
    onnx.checker.check_model(model)
    onnx.save(model, folder / "fp32.onnx")
    arrays = draw(model)
    np.savez(folder / "calib.npz", **arrays)
    found = quantize_file(folder / "fp32.onnx", folder / "calib.npz", folder / "int8.onnx", placement=placement)  # type: ignore[arg-type]
    fp32, int8 = open_session(folder / "fp32.onnx"), open_session(folder / "int8.onnx")
    assert signature(int8) == signature(fp32)
    floats = {value.name for value in model.graph.output if value.type.tensor_type.elem_type in _FLOATS}
    assert found.noise_db.keys() == floats
    assert min(found.noise_db.values()) > graph.least_db
    fixed = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    for size in () if fixed else (1, 3):
        batch = {
            value.name: arrays[value.name][: value.type.tensor_type.shape.dim[0].dim_value or size]
            for value in model.graph.input
        }
        for mine, theirs in zip(int8.run(None, batch), fp32.run(None, batch), strict=True):
            assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
            assert np.abs(mine - theirs).max() <= 0.2 * max(np.abs(theirs).max(), 1)


_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)


def test_a_torch_net_that_answers_with_a_dict_keeps_all_its_outputs(tmp_path: Path) -> None:
    """Exported by torch's own exporter, with an open batch."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
            self.kind, self.map = nn.Linear(8, 4), nn.Conv2d(8, 2, 1)

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            features = self.trunk(x)
            return {"kind": self.kind(features.mean((2, 3))), "map": self.map(features)}

    torch.manual_seed(0)
    x = torch.randn(_SAMPLES, 3, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        program = torch.onnx.export(
            Net().eval(),
            (x[:2],),
            input_names=["x"],
            output_names=["kind", "map"],
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    program.save(tmp_path / "fp32.onnx")
    np.savez(tmp_path / "calib.npz", x=x.numpy())
    found = quantize_file(tmp_path / "fp32.onnx", tmp_path / "calib.npz", tmp_path / "int8.onnx", placement="all")
    fp32, int8 = open_session(tmp_path / "fp32.onnx"), open_session(tmp_path / "int8.onnx")
    assert signature(int8) == signature(fp32)
    assert min(found.noise_db.values()) > 20
    assert [len(answer) for answer in int8.run(None, {"x": x[:3].numpy()})] == [3, 3]
