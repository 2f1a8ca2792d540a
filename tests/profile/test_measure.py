"""Every node that runs is found, and what each task costs is what a model without it lacks."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_edge.errors import BenchError, ModelError
from mtl_edge.optimize.subset import cut_outputs
from mtl_edge.profile.measure import profile, spread_overhead
from mtl_edge.profile.results import Profile, TaskCost
from mtl_edge.quantize.audit import audit

_QUICK = 0.05


def _parts(found: Profile) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {}
    for node in found.nodes:
        parts.setdefault(node.part, []).append(node.name.removesuffix(".sigmoid"))
    return {part: sorted(set(names)) for part, names in parts.items()}


def test_each_node_belongs_to_the_trunk_to_some_tasks_or_to_one(three_tasks: Path) -> None:
    """As the graph was built."""
    found = profile(three_tasks, seconds=_QUICK)
    assert _parts(found) == {
        "trunk": ["trunk"],
        "shared (a, b)": ["both"],
        "a": ["a0"],
        "b": ["b0", "b1"],
        "c": ["c0", "c1", "c2"],
    }
    assert {node.serves for node in found.nodes} == {("a", "b", "c"), ("a", "b"), ("a",), ("b",), ("c",)}


def test_times_add_up_to_a_run_and_bytes_to_the_weights(three_tasks: Path) -> None:
    """However the nodes are grouped."""
    found = profile(three_tasks, batch=3, seconds=_QUICK)
    assert found.inputs == "x float32[3,32]"
    for costs in (found.by_op_type, found.by_layer, found.by_part, found.by_precision):
        assert 0 < sum(cost.ms or 0 for cost in costs) <= found.median_ms + 1e-3
        assert sum(cost.nodes for cost in costs) == len(found.nodes) == 16
        assert sum(cost.weight_bytes for cost in costs) == 8 * 32 * 32 * 4
        assert sum(cost.output_bytes or 0 for cost in costs) == 16 * 3 * 32 * 4


@pytest.mark.parametrize("name", ["mnist-pairs", "adult-mmoe", "fashion-scenes"])
def test_a_model_without_a_task_lacks_what_only_this_task_needs(zoo_model: Callable[[str], Path], name: str) -> None:
    """The model is really cut: the runtime then runs so many nodes less, and the file is so many bytes smaller."""
    path = zoo_model(name)
    found = profile(path, seconds=_QUICK)
    assert len(found.tasks) > 1
    names = [task.name for task in found.tasks]
    for task in found.tasks:
        without = cut_outputs(path.read_bytes(), [other for other in names if other != task.name])
        assert task.saved_bytes == path.stat().st_size - len(without)
        own = [node for node in found.nodes if node.serves == (task.name,)]
        assert len(audit(without).nodes) == len(found.nodes) - len(own)
        assert task.head_weight_bytes == sum(node.weight_bytes for node in own)
        assert len(task.saved_ms) >= 4


def test_conversions_count_for_the_layer_that_needs_them(zoo_model: Callable[[str], Path]) -> None:
    """So no row of the table of layers is a mere ``Transpose`` or ``QuantizeLinear``."""
    found = profile(zoo_model("mnist-pairs"), seconds=_QUICK)
    operators = {node.name: node.op_type for node in found.nodes}
    helpers = {"Transpose", "QuantizeLinear", "DequantizeLinear", "Reshape", "ReorderOutput"}
    assert helpers <= set(operators.values())
    assert not helpers & {operators[cost.name] for cost in found.by_layer}


def test_a_loop_is_one_node_and_the_only_output_one_task(loop_model: Path) -> None:
    """What runs inside of it is in its time; there is nothing that could be dropped."""
    found = profile(loop_model, seconds=_QUICK)
    assert [node.op_type for node in found.nodes] == ["Loop", "Sigmoid"]
    assert [(task.name, task.saved_ms, task.saved_bytes) for task in found.tasks] == [("y", (), None)]
    assert found.tasks[0].marginal_ms is None


def test_without_the_package_onnx_there_are_operators_and_times(three_tasks: Path) -> None:
    """As on a target box, and it is said how to get the rest."""
    code = (
        "import sys\nsys.modules['onnx'] = None\nfrom pathlib import Path\n"
        "from mtl_edge.profile.measure import profile\nfrom mtl_edge.report.profile import show_profile\n"
        "from rich.console import Console\n"
        f"show_profile(profile(Path({str(three_tasks)!r}), seconds=0.05), Console(width=200))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "MatMul" in done.stdout
    assert "by task" not in done.stdout
    assert "pip install 'mtl-edge[quantize]'" in done.stdout


def test_what_cannot_be_run_is_one_error(tmp_path: Path, lookup_in_nothing: Path) -> None:
    """A file that is no model, and one that fails on its inputs."""
    (tmp_path / "no.onnx").write_text("no model")
    with pytest.raises(ModelError, match=r"no\.onnx: cannot be read as one model"):
        profile(tmp_path / "no.onnx", seconds=_QUICK)
    with pytest.raises(BenchError, match=r"lookup\.onnx: cannot run on i int64\[1\]"):
        profile(lookup_in_nothing, seconds=_QUICK)


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=30), st.floats(0, 1))
def test_overhead_is_the_same_for_each_and_leaves_none_below_zero(durations: list[float], share: float) -> None:
    """And what is left adds up to the total."""
    total = sum(durations) * share
    left = spread_overhead(durations, total)
    assert sum(left) == pytest.approx(total, abs=1e-6)
    assert all(0 <= after <= before for after, before in zip(left, durations, strict=True))
    taken = [before - after for after, before in zip(left, durations, strict=True) if after > 0]
    assert max(taken, default=0.0) == pytest.approx(min(taken, default=0.0), abs=1e-6)


def test_nothing_is_taken_off_where_nodes_take_less_than_a_run() -> None:
    """The rest is the call itself."""
    assert spread_overhead([1.0, 2.0], 4.0) == [1.0, 2.0]


def test_what_a_task_costs_is_the_median_of_the_rounds_with_their_middle_half() -> None:
    """So a round that something else disturbed does not count."""
    cost = TaskCost(name="a", head_ms=0.0, head_weight_bytes=0, saved_ms=(1.0, 2.0, 3.0, 4.0, 99.0))
    assert cost.marginal_ms == 3.0
    assert cost.marginal_range_ms == (2.0, 4.0)
