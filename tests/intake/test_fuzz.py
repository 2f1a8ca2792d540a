"""Thousands of damaged models and manifests: the command line never ends in a traceback, and nothing brings it down."""

import copy
import json
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.artifact import METADATA_KEY, Manifest, seal
from mtl_edge.cli import main
from mtl_edge.errors import ModelError
from mtl_edge.intake import admit as gate
from mtl_edge.intake import probe as probing
from mtl_edge.intake.wire import encoded_pair
from mtl_edge.quantize.static import quantize_static
from mtl_edge.storage import sha256_of

SOME = 500
ALL = 10_000
SECONDS = 60
TRIAL_SECONDS = 2
"""After which a model that is still running counts as one that never ends."""

HOSTILE: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, -(2**63) - 1, 10**30, 1e308, -0.0, 0.1),
    *("", "\0", "x" * 300, "image", "kind", "../../etc/passwd", "🦀", "uint8", "object", "float128", "M8", "softmax"),
    *([], {}, [[]], [0], [-1], ["batch"], [None], [1, 2, 3], {"kind": "pixels"}, {"kind": "features", "dtype": "x"}),
)
"""What stands in a damaged manifest in place of what ought to be there."""

OPERATORS = (
    *("Relu", "Loop", "If", "Reshape", "Tile", "Expand", "ConstantOfShape", "Resize", "Conv", "Split", "Gather"),
    *("Einsum", "Pad", "TopK", "Cast", "Concat"),
)

Run = Callable[[list[str]], tuple[int, str, str] | None]


class _Shell:
    """A process that runs commands until one of them brings it down; then there is another.

    Trying a model there needs no process of its own: what a real command would survive, because its trial died in
    another process, is told from what it would not by where the shell died.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("fork")
        self._trying = context.Value("b", 0)
        self._mine, theirs = context.Pipe()
        self._child = context.Process(target=self._serve, args=(theirs,), daemon=True)
        self._child.start()
        theirs.close()

    def run(self, arguments: list[str]) -> tuple[int, str, str] | None:
        """Exit code, standard error, traceback; None where only the trial of the model died."""
        self._mine.send(arguments)
        started, trying = time.monotonic(), False
        try:
            while time.monotonic() - started < SECONDS and not trying:
                if self._mine.poll(TRIAL_SECONDS):
                    answer: tuple[int, str, str] = self._mine.recv()
                    return answer
                trying = bool(self._trying.value)
        except EOFError:
            trying = bool(self._trying.value)
        self.close()
        assert trying, f"{arguments[0]} took more than {SECONDS} s or died, after the model was admitted"
        return None

    def close(self) -> None:
        """End the process."""
        self._child.kill()
        self._child.join()
        self._mine.close()

    def _serve(self, pipe: Connection) -> None:
        def trial(path: Path, size: int) -> None:
            self._trying.value = 1
            fault = probing.attempt(path)
            self._trying.value = 0
            if fault is not None:
                raise ModelError(fault)

        gate.probe = trial
        probing._limit(0)
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            sys.stdout = nowhere
            while True:
                result = CliRunner().invoke(main, pipe.recv())
                crash = ""
                if result.exception is not None and not isinstance(result.exception, SystemExit):
                    crash = "".join(traceback.format_exception(result.exception))
                pipe.send((result.exit_code, result.stderr, crash))


@pytest.fixture
def run() -> Iterator[Run]:
    """Run a command in a process that may die."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    shells = [_Shell()]

    def in_shell(arguments: list[str]) -> tuple[int, str, str] | None:
        answer = shells[-1].run(arguments)
        if answer is None:
            shells.append(_Shell())
        return answer

    yield in_shell
    shells[-1].close()
    print(f"{len(shells) - 1} models died, or did not end, in their trial")


@pytest.fixture
def models(tiny_model: bytes, heads_int8: bytes) -> list[bytes]:
    """A float one and an int8 one, without manifests."""
    return [tiny_model, heads_int8]


@pytest.fixture(scope="module")
def heads_int8() -> bytes:
    """Two layers, in int8."""
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
                parent.append(copy.deepcopy(parent[last]))
            case _:
                parent[last] = copy.deepcopy(draw(st.sampled_from(HOSTILE)))
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


def _survives(content: bytes, command: str, folder: Path, run: Run) -> None:
    """One line and exit code 2, or success."""
    path = folder / "model.onnx"
    path.write_bytes(content)
    arguments = [command, str(path)]
    if command == "subset":
        arguments += ["--tasks", "size", "-o", str(folder / "small.onnx"), "--no-measure"]
    answer = run(arguments)
    if answer is not None:
        code, error, crash = answer
        assert not crash, crash
        assert code in (0, 2)
        if code:
            (line,) = error.splitlines()
            assert line.startswith("mtl-edge: error: ")


commands = st.sampled_from(["manifest", "verify", "verify", "subset"])


@pytest.mark.parametrize("cases", [SOME, pytest.param(ALL, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])])
def test_no_damaged_model_or_manifest_ends_in_a_traceback(
    cases: int, tmp_path: Path, models: list[bytes], tiny_manifest: Manifest, run: Run
) -> None:
    """Bytes, graphs and manifests, each a third of the cases; half of the graphs come with a seal that holds."""
    sealed = [seal(model, tiny_manifest) for model in models]
    texts = [json.loads(msgspec.json.encode(manifest)) for _, manifest in sealed]
    each = settings(max_examples=cases // 3, suppress_health_check=list(HealthCheck), database=None)

    @each
    @given(data=st.data(), which=st.integers(0, 1), command=commands)
    def bytes_are_damaged(data: st.DataObject, which: int, command: str) -> None:
        _survives(data.draw(damaged_bytes(sealed[which][0])), command, tmp_path, run)

    @each
    @given(data=st.data(), which=st.integers(0, 1), command=commands, vouched=st.booleans())
    def graphs_are_damaged(data: st.DataObject, which: int, command: str, vouched: bool) -> None:
        graph = data.draw(damaged_graphs(models[which]))
        _survives(_sealed(graph, texts[which]) if vouched else graph, command, tmp_path, run)

    @each
    @given(data=st.data(), which=st.integers(0, 1), command=commands)
    def manifests_are_damaged(data: st.DataObject, which: int, command: str) -> None:
        _survives(_sealed(models[which], data.draw(damaged_manifests(texts[which]))), command, tmp_path, run)

    for damage in (bytes_are_damaged, graphs_are_damaged, manifests_are_damaged):
        damage()
