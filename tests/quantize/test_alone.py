"""Tests of :mod:`mtl_edge.quantize.alone`, with a rule in place of the clock where times matter."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from mtl_edge.bench.machine import TargetName
from mtl_edge.quantize import alone
from mtl_edge.quantize.alone import Alone
from mtl_edge.quantize.moves import Seconds
from mtl_edge.quantize.target import find_target

_GRAPH = """
<ir_version: 9, opset_import: ["" : 17]>
net (float[n, 3, 8, 8] x) => (float[n, 5] y)
<float[4, 3, 3, 3] a, float[4] a0, float[4, 4, 3, 3] b, float[4, 4, 3, 3] c, float[4, 1, 3, 3] d,
 float[4, 5] e, float[5] e0>
{
  [first] p = Conv<pads=[1, 1, 1, 1]>(x, a, a0)
  [relu] q = Relu(p)
  [second] r = Conv<pads=[1, 1, 1, 1]>(q, b)
  [third] s = Conv<pads=[1, 1, 1, 1]>(r, c)
  [depthwise] t = Conv<pads=[1, 1, 1, 1], group=4>(s, d)
  [pool] u = GlobalAveragePool(t)
  [flatten] v = Flatten(u)
  [head] y = Gemm(v, e, e0)
}
"""


@pytest.fixture
def prepared() -> bytes:
    """Three convolutions of which two are of one pattern, a depthwise one, and a head."""
    proto = onnx.parser.parse_model(_GRAPH)
    sizes = {
        "a": (4, 3, 3, 3),
        "a0": (4,),
        "b": (4, 4, 3, 3),
        "c": (4, 4, 3, 3),
        "d": (4, 1, 3, 3),
        "e": (4, 5),
        "e0": (5,),
    }
    for name, size in sizes.items():
        value = np.random.default_rng(0).standard_normal(size).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    return bytes(proto.SerializeToString())


def _feeds(batch: int = 1) -> dict[str, np.ndarray]:
    return {"x": np.zeros((batch, 3, 8, 8), np.float32)}


@pytest.mark.parametrize("target", ["x86-vnni", "x86-avx2", "arm64"])
def test_layers_with_weights_are_measured(prepared: bytes, target: TargetName) -> None:
    """Each runs in int8 and in float by itself; what has no weights has no times."""
    layers = Alone(prepared, find_target(target), _feeds(), None)
    times = {
        name: layers.seconds(name) for name in ("first", "second", "third", "depthwise", "head", "relu", "pool", "none")
    }
    assert [name for name, time in times.items() if time is None] == ["relu", "pool", "none"]
    assert all(time is None or (0 < time.int8 < 1 and 0 < time.float32 < 1) for time in times.values())


def test_a_pattern_is_measured_once(prepared: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For all layers that have it, in this network and the next; another batch is another pattern."""
    measured = []

    def measure(pattern: object, target: object) -> Seconds:
        measured.append(pattern)
        return Seconds(len(measured), 1.0)

    monkeypatch.setattr(alone, "_measured", measure)
    target = find_target("x86-vnni")
    layers = Alone(prepared, target, _feeds(), tmp_path)
    assert [layers.seconds(name) for name in ("second", "third", "first")] == [Seconds(n, 1.0) for n in (1, 1, 2)]
    again = Alone(prepared, target, _feeds(), tmp_path)
    assert [again.seconds(name) for name in ("third", "first")] == [Seconds(n, 1.0) for n in (1, 2)]
    assert len(measured) == 2
    assert Alone(prepared, target, _feeds(2), tmp_path).seconds("third") == Seconds(3.0, 1.0)
    assert Alone(prepared, find_target("arm64"), _feeds(), tmp_path).seconds("third") == Seconds(4.0, 1.0)


def test_damaged_files_are_measured_anew(prepared: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to delete them."""
    monkeypatch.setattr(alone, "_measured", lambda pattern, target: Seconds(0.5, 1.0))
    target = find_target("x86-vnni")
    Alone(prepared, target, _feeds(), tmp_path).seconds("first")
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"{")
    assert Alone(prepared, target, _feeds(), tmp_path).seconds("first") == Seconds(0.5, 1.0)
