"""What a model is, without running it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from mtl_edge.cli import main
from mtl_edge.profile.inspect import inspect, runtime_needed


def test_without_a_manifest_each_output_is_a_task(three_tasks: Path) -> None:
    """Of a kind that nobody has said."""
    found = inspect(three_tasks)
    assert [(task.name, task.kind, task.output.shape) for task in found.tasks] == [
        (name, "", ("batch", 32)) for name in "abc"
    ]
    assert (found.inputs[0].name, found.inputs[0].dtype) == ("x", "float")
    assert (found.opsets, found.ir_version, found.producer, found.runtime_needed) == ({"": 17}, 8, "test", "1.12")
    assert {cost.name: cost.weight_bytes // (32 * 32 * 4) for cost in found.by_part} == {
        "trunk": 1,
        "shared (a, b)": 1,
        "a": 1,
        "b": 2,
        "c": 3,
    }


def test_a_manifest_says_what_outputs_mean(zoo_model: Callable[[str], Path]) -> None:
    """And how the model came about; the graph after the optimizer says what runs in int8."""
    found = inspect(zoo_model("mnist-pairs"))
    assert [(task.name, task.kind) for task in found.tasks] == [
        ("left", "multiclass"),
        ("right", "multiclass"),
        ("sum", "regression"),
    ]
    assert found.variant == "mnist-pairs pruned-int8"
    assert found.target == "x86-vnni"
    assert found.audit.count("int8")["QLinearConv"] == 8
    assert found.nodes_in_file > len(found.nodes)


@pytest.mark.parametrize(
    ("opset", "ir_version", "operators", "needed"),
    [
        (11, 6, set(), "1.9"),
        (17, 8, {"Conv"}, "1.12"),
        (17, 10, {"Conv"}, "1.18"),
        (20, 9, {"MatMulNBits"}, "1.17"),
        (20, 9, {"GatherBlockQuantized"}, "1.20"),
        (23, 10, set(), "1.23"),
        (99, 8, set(), ""),
    ],
)
def test_the_oldest_runtime_follows_from_opset_format_and_operators(
    opset: int, ir_version: int, operators: set[str], needed: str
) -> None:
    """The strictest of the three counts; of the future nothing is claimed."""
    assert runtime_needed(opset, ir_version, operators) == needed


def test_inspect_prints_facts_and_sizes_and_writes_them(three_tasks: Path, tmp_path: Path) -> None:
    """Without timing anything."""
    result = CliRunner().invoke(main, ["inspect", str(three_tasks), "--json", str(tmp_path / "found.json")])
    assert result.exit_code == 0, result.output
    for part in ("x float (batch, 32)", "ONNX Runtime 1.12", "by task", "shared (a, b)", "by layer"):
        assert part in result.stdout
    assert " ms" not in result.stdout
    document = json.loads((tmp_path / "found.json").read_text())
    assert len(document["model"]["nodes"]) == 16
    assert document["profile"] is None


def test_inspect_with_profile_says_where_the_time_goes(three_tasks: Path, tmp_path: Path) -> None:
    """By task, by operator, by layer, and what a model without each task saves."""
    arguments = ["inspect", str(three_tasks), "--profile", "--seconds", "0.1", "--json", str(tmp_path / "found.json")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    for part in ("by task", "by operator", "by layer", "a model without", "median of"):
        assert part in result.stdout
    document = json.loads((tmp_path / "found.json").read_text())
    assert [task["name"] for task in document["profile"]["tasks"]] == ["a", "b", "c"]


def test_a_text_file_is_one_line(tmp_path: Path) -> None:
    """With exit code 2."""
    (tmp_path / "no.onnx").write_text("no model")
    result = CliRunner().invoke(main, ["inspect", str(tmp_path / "no.onnx")])
    assert result.exit_code == 2
    assert result.stderr.startswith("mtl-edge: error: ")
    assert "no.onnx: is not an ONNX model" in result.stderr


def test_without_the_package_onnx_the_command_says_what_to_install(
    three_tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a profile does without."""
    import sys

    for name in [name for name in sys.modules if name.startswith(("onnx.", "mtl_edge.profile", "mtl_edge.quantize"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    result = CliRunner().invoke(main, ["inspect", str(three_tasks)])
    assert result.exit_code == 2
    assert "pip install 'mtl-edge[quantize]'" in result.stderr
