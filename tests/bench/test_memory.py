"""The parts of a process's memory are what a model of known size must need, and add up."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.bench.contender import contenders
from mtl_edge.bench.memory import Memory
from mtl_edge.bench.settings import Settings
from mtl_edge.bench.suite import benchmark

MIB = 2**20
WEIGHTS_MIB, ACTIVATION_MIB = 48, 24
TOLERANCE_MIB = 3
"""What a session needs beside its weights, and pages that are partly used."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module")
def known_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``ids`` picks rows of a table of 48 MiB; ``x`` is spread to 24 MiB, scaled, and both are added: three tensors."""
    table = np.ones((WEIGHTS_MIB * MIB // 64, 16), np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "ids"], ["row"]),
            helper.make_node("Expand", ["x", "shape"], ["spread"]),
            helper.make_node("ReduceSum", ["row"], ["row_sum"], keepdims=0),
            helper.make_node("Mul", ["spread", "row_sum"], ["scaled"]),
            helper.make_node("Add", ["scaled", "spread"], ["both"]),
            helper.make_node("ReduceMax", ["both"], ["y"], keepdims=0),
        ],
        "known",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch"]),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array([ACTIVATION_MIB * MIB // 4], np.int64), "shape"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path = tmp_path_factory.mktemp("known") / "known.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def memories(known_model: Path) -> tuple[Memory, ...]:
    """One process with the arena, one without."""
    settings = Settings(threads=(1,), rounds=1, round_seconds=0.01, round_runs=1, cold_starts=1, memory_repeats=1)
    return benchmark(contenders([known_model]), settings=settings).results[0].memory


def test_the_parts_add_up_and_each_is_what_the_model_must_need(memories: tuple[Memory, ...]) -> None:
    """Weights are the table; activations, without the arena, three tensors; all together are what the system counts."""
    assert [memory.arena for memory in memories] == [True, False]
    for memory in memories:
        assert memory.weights_bytes / MIB == pytest.approx(WEIGHTS_MIB, abs=TOLERANCE_MIB)
        parts = memory.runtime_bytes + memory.weights_bytes + memory.activations_bytes
        assert parts / MIB == pytest.approx(memory.run_peak_bytes / MIB, abs=TOLERANCE_MIB)
        assert memory.load_peak_bytes > memory.runtime_bytes + memory.weights_bytes
        assert memory.pss_bytes is not None
        assert memory.pss_bytes <= memory.resident_bytes + TOLERANCE_MIB * MIB
    _, without = memories
    assert without.activations_bytes / MIB == pytest.approx(3 * ACTIVATION_MIB, abs=TOLERANCE_MIB)


def test_only_the_arena_keeps_what_runs_needed(memories: tuple[Memory, ...]) -> None:
    """With it at least their tensors stay resident for the next run; without it they are given back."""
    with_arena, without = memories
    assert with_arena.run_bytes > (3 * ACTIVATION_MIB - TOLERANCE_MIB) * MIB
    assert without.run_bytes < TOLERANCE_MIB * MIB
    assert with_arena.resident_bytes > without.resident_bytes
