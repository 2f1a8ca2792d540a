"""Thousands of damaged models and manifests: the command line never ends in a traceback, and nothing brings it down."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import onnx
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl_edge.artifact import METADATA_KEY, Manifest, seal
from mtl_edge.cli import main
from mtl_edge.errors import ModelError
from mtl_edge.intake import admit as gate
from mtl_edge.intake import probe as probing
from mtl_edge.intake.wire import encoded_pair
from mtl_edge.quantize.static import quantize_static
from mtl_edge.storage import sha256_of

EVERY_TENTH = 1_000
ALL = 10_000
SECONDS = 20

HOSTILE: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, -(2**63) - 1, 10**30, 1e308, -0.0, 0.1),
    *("", "\0", "x" * 300, "image", "kind", "../../etc/passwd", "🦀", "uint8", "object", "float128", "M8", "softmax"),
    *([], {}, [[]], [0], [-1], ["batch"], [None], [1, 2, 3], {"kind": "pixels"}, {"kind": "features", "dtype": "x"}),
)
"""What stands in a damaged manifest in place of what ought to be there."""

OPERATORS = tuple(
    [
        "Relu",
        "Loop",
        "If",
        "Reshape",
        "Tile",
        "Expand",
        "ConstantOfShape",
        "Resize",
        "Conv",
        "Split",
        "Gather",
        "Einsum",
        "Pad",
        "TopK",
        "Cast",
        "Concat",
    ]
)


def _forked_probe(path: Path, size: int) -> None:
    """As the real one, but the process is forked from this one: it starts in milliseconds."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(reading)
            os.dup2(writing, 1)
            signal.alarm(SECONDS)
            probing._limit(size)
            sys.stdout = os.fdopen(1, "w")
            fault = probing.attempt(path)
            print(probing._DONE if fault is None else json.dumps({"fault": fault}), flush=True)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, errors="replace") as stream:
        said = stream.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code or not said.endswith(f"{probing._DONE}\n"):
        raise ModelError(probing._verdict(path, said, code))


@pytest.fixture(autouse=True)
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model is still tried in a process of its own."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    monkeypatch.setattr(gate, "probe", _forked_probe)


@pytest.fixture
def models(tiny_model: bytes, heads_int8: bytes) -> list[bytes]:
    """A float one and an int8 one, without manifests."""
    return [tiny_model, heads_int8]


@pytest.fixture(scope="module")
def heads_int8() -> bytes:
    """Two layers, in int8."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Gemm", ["image", "a"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "b"], ["kind"]),
        helper.make_node("Gemm", ["r", "c"], ["size"]),
    ]
    constants = [
        numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
        for name, shape in (("a", (2, 8)), ("b", (8, 3)), ("c", (8, 1)))
    ]
    value = helper.make_tensor_value_info
    outputs = [value(name, TensorProto.FLOAT, ["batch", width]) for name, width in (("kind", 3), ("size", 1))]
    graph = helper.make_graph(nodes, "g", [value("image", TensorProto.FLOAT, ["batch", 2])], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return quantize_static(model.SerializeToString(), [{"image": rng.standard_normal((16, 2)).astype(np.float32)}])


def _sealed(model: bytes, manifest: dict[str, Any]) -> bytes:
    """A file whose hash is right, whatever its manifest says."""
    fields = {key: value for key, value in manifest.items() if key != "sha256"} | {"sha256": "0" * 64}
    content = model + encoded_pair(14, METADATA_KEY.encode(), json.dumps(fields).encode())
    before, after = content[:-66], content[-2:]
    return before + sha256_of(before, after).encode() + after


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a manifest."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from _places(part, (*path, key))


@st.composite
def damaged_manifests(draw: st.DrawFn, manifest: dict[str, Any]) -> dict[str, Any]:
    """One to three values are others, are gone, or are there twice."""
    found: dict[str, Any] = json.loads(json.dumps(manifest))
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from(list(_places(found))))
        parent: Any = found
        for key in above:
            parent = parent[key]
        match draw(st.sampled_from(["change", "change", "remove", "double"])):
            case "remove":
                del parent[last]
                if not found:
                    break
            case "double" if isinstance(parent, list):
                parent.append(parent[last])
            case _:
                parent[last] = draw(st.sampled_from(HOSTILE))
    return found


@st.composite
def damaged_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Some bits are flipped, bytes are gone or new, or the end is missing."""
    found = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(found) - 1, 0)))
        match draw(st.sampled_from(["flip", "flip", "flip", "remove", "insert", "fill", "cut"])):
            case "flip" if found:
                found[at] ^= 1 << draw(st.integers(0, 7))
            case "remove":
                del found[at : at + draw(st.integers(1, 8))]
            case "insert":
                found[at:at] = draw(st.binary(min_size=1, max_size=8))
            case "fill":
                found[at : at + 8] = b"\xff" * 8
            case _:
                del found[at:]
    return bytes(found)


@st.composite
def damaged_graphs(draw: st.DrawFn, model: bytes) -> bytes:
    """What is valid protobuf, and no graph that anybody would write."""
    proto = onnx.load_from_string(model)
    graph = proto.graph
    names = [*(name for node in graph.node for name in (*node.input, *node.output)), "", "nothing"]
    sizes = st.sampled_from([0, 1, -1, 7, 2**40, 2**62, 2**63 - 1])
    for _ in range(draw(st.integers(1, 3))):
        node = draw(st.sampled_from(list(graph.node)))
        tensor = draw(st.sampled_from(list(graph.initializer)))
        match draw(st.integers(0, 8)):
            case 0:
                node.op_type = draw(st.sampled_from(OPERATORS))
            case 1 if node.input:
                node.input[draw(st.integers(0, len(node.input) - 1))] = draw(st.sampled_from(names))
            case 2 if node.output:
                node.output[draw(st.integers(0, len(node.output) - 1))] = draw(st.sampled_from(names))
            case 3 if tensor.dims:
                tensor.dims[draw(st.integers(0, len(tensor.dims) - 1))] = draw(sizes)
            case 4:
                tensor.data_type = draw(st.integers(0, 30))
            case 5:
                tensor.raw_data = draw(st.binary(min_size=len(tensor.raw_data), max_size=len(tensor.raw_data)))
            case 6 if node.attribute:
                attribute = draw(st.sampled_from(list(node.attribute)))
                attribute.i = draw(sizes)
                attribute.name = draw(st.sampled_from([attribute.name, "axis", "pads", "strides", "group"]))
            case 7:
                proto.opset_import[0].version = draw(st.sampled_from([-1, 0, 1, 7, 13, 99, 2**62]))
            case _ if node.input:
                del node.input[draw(st.integers(0, len(node.input) - 1))]
    return bytes(proto.SerializeToString())


def _survives(content: bytes, command: str, folder: Path) -> None:
    """One line and exit code 2, or success; and it takes no longer than it may."""
    path = folder / "model.onnx"
    path.write_bytes(content)
    arguments = [command, str(path)]
    if command == "subset":
        arguments += ["--tasks", "size", "-o", str(folder / "small.onnx"), "--no-measure"]
    started = time.monotonic()
    result = CliRunner().invoke(main, arguments)
    assert time.monotonic() - started < 2 * SECONDS
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 2)
    if result.exit_code:
        (line,) = result.stderr.splitlines()
        assert line.startswith("mtl-edge: error: ")


commands = st.sampled_from(["manifest", "verify", "verify", "subset"])

Fuzz = Callable[[int], None]


@pytest.mark.parametrize("cases", [EVERY_TENTH, pytest.param(ALL, marks=pytest.mark.slow)])
def test_no_damaged_model_or_manifest_ends_in_a_traceback(
    cases: int, tmp_path: Path, models: list[bytes], tiny_manifest: Manifest
) -> None:
    """Bytes, graphs and manifests, each a third of the cases; half of the graphs come with a seal that holds."""
    sealed = [seal(model, tiny_manifest) for model in models]
    texts = [json.loads(msgspec.json.encode(manifest)) for _, manifest in sealed]
    each = settings(max_examples=cases // 3, suppress_health_check=list(HealthCheck), database=None)

    @each
    @given(data=st.data(), which=st.integers(0, 1), command=commands)
    def bytes_are_damaged(data: st.DataObject, which: int, command: str) -> None:
        _survives(data.draw(damaged_bytes(sealed[which][0])), command, tmp_path)

    @each
    @given(data=st.data(), which=st.integers(0, 1), command=commands, vouched=st.booleans())
    def graphs_are_damaged(data: st.DataObject, which: int, command: str, vouched: bool) -> None:
        graph = data.draw(damaged_graphs(models[which]))
        _survives(_sealed(graph, texts[which]) if vouched else graph, command, tmp_path)

    @each
    @given(data=st.data(), which=st.integers(0, 1), command=commands)
    def manifests_are_damaged(data: st.DataObject, which: int, command: str) -> None:
        _survives(_sealed(models[which], data.draw(damaged_manifests(texts[which]))), command, tmp_path)

    for damage in (bytes_are_damaged, graphs_are_damaged, manifests_are_damaged):
        damage()
