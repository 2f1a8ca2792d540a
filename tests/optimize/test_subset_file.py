"""Subsets and parts of models, from file to file."""

import itertools
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from mtl_edge.artifact import Manifest, write_artifact
from mtl_edge.bench.suite import Settings
from mtl_edge.cli import main
from mtl_edge.errors import ModelError, ParityError, WorkdirError
from mtl_edge.graph import readers_of
from mtl_edge.intake.structure import read_structure
from mtl_edge.optimize import subset_file as module
from mtl_edge.optimize.chain import CHAIN_FILE, Chain
from mtl_edge.optimize.difference import answers_of
from mtl_edge.optimize.marginal import measure_costs
from mtl_edge.optimize.merge import find_groups, merge, merge_all
from mtl_edge.optimize.split import split_graph
from mtl_edge.optimize.split_file import split_file
from mtl_edge.optimize.subset import cut_outputs
from mtl_edge.optimize.subset_file import read_whole, subset_file
from mtl_edge.quantize.static import quantize_static
from mtl_edge.runtime import manifest_of, open_session
from mtl_edge.verify.verify import verify

ROOT = Path(__file__).parents[2]
WIDTHS = (3, 1, 5)
REFERENCES = ("mnist-pairs", "adult-mmoe", "fashion-scenes", "reviews")
"""Images, a table with gates, dense outputs, and text."""

Heads = Callable[..., bytes]


def _reference(name: str) -> Path:
    return ROOT / "models" / name / "model.onnx"


def _batch(model: bytes, count: int) -> dict[str, np.ndarray]:
    shape = [size if isinstance(size, int) else count for size in open_session(model).get_inputs()[0].shape]
    return {"x": np.random.default_rng(count).standard_normal(shape).astype(np.float32)}


@pytest.fixture(params=["Gemm", "MatMul", "Conv"])
def merged_int8(request: pytest.FixtureRequest, heads: Heads) -> tuple[bytes, bytes]:
    """Three heads, whose first layers are one, in int8; and the same with a layer for each."""
    apart = heads(request.param, WIDTHS)
    (group,) = find_groups(apart)
    together = merge(apart, group).model
    batches = [_batch(apart, 16)]
    return quantize_static(together, batches), quantize_static(apart, batches)


def test_int8_layers_of_several_tasks_lose_the_channels_of_those_that_go(merged_int8: tuple[bytes, bytes]) -> None:
    """To the bit, and with as many weights as if the heads had never been one, whichever tasks are wanted."""
    whole, apart = merged_int8
    batches = [_batch(whole, count) for count in (1, 33)]
    expected = answers_of(whole, batches)
    for wanted in (*itertools.combinations(range(3), 1), *itertools.combinations(range(3), 2)):
        names = [f"head{index}" for index in wanted]
        cut = cut_outputs(whole, names)
        onnx.checker.check_model(onnx.load_from_string(cut), full_check=True)
        graph = onnx.load_from_string(cut).graph
        assert all(readers_of(graph)[tensor.name] for tensor in graph.initializer)
        assert module._weights(cut) == module._weights(cut_outputs(apart, names)) < module._weights(whole)
        assert ("Split" in {node.op_type for node in graph.node}) == (len(wanted) > 1)
        for mine, theirs in zip(answers_of(cut, batches), expected, strict=True):
            assert list(mine) == names
            for name, values in mine.items():
                np.testing.assert_array_equal(values, theirs[name])


@pytest.mark.parametrize("kind", ["Gemm", "MatMul", "Conv"])
def test_int8_layers_behind_them_leave_no_channels_that_they_do_not_use(heads: Heads, kind: str) -> None:
    """Their weights are blocks along a diagonal: what goes into the zeros beside one block is not computed either."""
    apart = heads(kind, WIDTHS)
    batches = [_batch(apart, 16)]
    whole = quantize_static(merge_all(apart).model, batches)
    expected = answers_of(whole, batches)
    for name in ("head0", "head1", "head2"):
        cut = cut_outputs(whole, [name])
        onnx.checker.check_model(onnx.load_from_string(cut), full_check=True)
        assert module._weights(cut) == module._weights(cut_outputs(quantize_static(apart, batches), [name]))
        np.testing.assert_array_equal(answers_of(cut, batches)[0][name], expected[0][name])


@pytest.mark.parametrize("name", REFERENCES)
def test_every_task_of_a_reference_model_can_stand_alone(name: str, tmp_path: Path) -> None:
    """Smaller, with a seal and a lineage of its own, and the metrics that were measured, for its answers are equal."""
    source = _reference(name)
    parent = manifest_of(source, open_session(source))
    assert parent is not None
    assert parent.metrics is not None
    task = parent.tasks[-1].name
    found = subset_file(source, [task], tmp_path / "small.onnx")
    assert found.largest_difference == 0
    assert found.bytes_after < found.bytes_before
    assert found.nodes_after < found.nodes_before
    child = manifest_of(tmp_path / "small.onnx", open_session(tmp_path / "small.onnx"))
    assert child is not None
    assert [one.name for one in child.tasks] == [one.task for one in child.outputs] == [task]
    assert child.lineage.parent_sha256 == parent.sha256
    assert child.lineage.steps == (*parent.lineage.steps, f"subset {task}")
    assert child.metrics is not None
    assert child.metrics.values == {task: parent.metrics.values[task]}
    assert 0 < child.parameters < parent.parameters


@pytest.mark.parametrize("name", REFERENCES)
def test_a_trunk_and_its_heads_give_what_the_whole_gives(name: str, tmp_path: Path) -> None:
    """To the bit, with features in 8 bits; each file is sealed, and the folder can be verified."""
    found = split_file(_reference(name), tmp_path / "parts")
    assert found.chain.largest_difference == 0
    written = msgspec.json.decode((tmp_path / "parts" / CHAIN_FILE).read_bytes(), type=Chain)
    assert written == found.chain
    whole = read_whole(_reference(name))
    features = answers_of((tmp_path / "parts" / written.trunk).read_bytes(), whole.batches)
    expected = answers_of(whole.model, whole.batches)
    for task, file in written.heads.items():
        head = (tmp_path / "parts" / file).read_bytes()
        for batch, handed, answers in zip(whole.batches, features, expected, strict=True):
            np.testing.assert_array_equal(answers_of(head, [{**batch, **handed}])[0][task], answers[task])
    manifests = verify(tmp_path / "parts").manifests
    assert {manifest.part for manifest in manifests.values()} == {"trunk", "head"}
    assert manifests[written.trunk].tasks == ()
    assert sum(len(manifest.tasks) for manifest in manifests.values()) == len(written.heads)


def test_nothing_of_the_trunk_is_in_two_files(tmp_path: Path) -> None:
    """Weights are in one part only, and all of them are in one."""
    whole = read_whole(_reference("mnist-pairs"))
    parts = split_graph(whole.model, whole.tasks)
    assert sum(map(module._weights, (parts.trunk, *parts.heads.values()))) == module._weights(whole.model)


def test_a_task_that_is_a_step_on_another_s_way_is_the_trunk_s(heads: Heads) -> None:
    """It has no head, for there is nothing left to compute."""
    proto = onnx.load_from_string(heads("Gemm", (4,)))
    proto.graph.node.append(onnx.helper.make_node("Relu", ["head0"], ["positive"]))
    proto.graph.output.append(onnx.helper.make_tensor_value_info("positive", onnx.TensorProto.FLOAT, ["n", 4]))
    model = proto.SerializeToString()
    parts = split_graph(model, {"head0": ["head0"], "positive": ["positive"]})
    assert list(parts.heads) == ["positive"]
    batch = _batch(model, 3)
    (features,), (whole,) = answers_of(parts.trunk, [batch]), answers_of(model, [batch])
    np.testing.assert_array_equal(features["head0"], whole["head0"])
    np.testing.assert_array_equal(answers_of(parts.heads["positive"], [features])[0]["positive"], whole["positive"])


def test_tasks_that_share_nothing_have_no_trunk(tiny_model: bytes) -> None:
    """There is nothing to split."""
    with pytest.raises(ModelError, match="split: tasks must share layers, found none that two of kind, size need"):
        split_graph(tiny_model, {"kind": ["kind"], "size": ["size"]})


def test_a_model_without_a_manifest_has_an_output_for_a_task(tmp_path: Path, heads: Heads) -> None:
    """No manifest is made up for its parts."""
    source = tmp_path / "theirs.onnx"
    source.write_bytes(heads("Conv", WIDTHS))
    found = subset_file(source, ["head2", "head0"], tmp_path / "small.onnx")
    assert found.tasks == ("head0", "head2")
    assert [item.name for item in read_structure(tmp_path / "small.onnx").outputs] == ["head0", "head2"]
    split_file(source, tmp_path / "parts")
    verified = verify(tmp_path / "parts")
    assert (verified.manifests, verified.files) == ({}, 4)


def test_an_input_that_no_task_reads_any_more_is_gone(tmp_path: Path) -> None:
    """Callers need not make it."""
    value = onnx.helper.make_tensor_value_info
    floats = onnx.TensorProto.FLOAT
    nodes = [onnx.helper.make_node("Relu", [name], [f"{name}.out"]) for name in ("a", "b")]
    ends = [[value(f"{name}{end}", floats, ["n", 2]) for name in ("a", "b")] for end in ("", ".out")]
    graph = onnx.helper.make_graph(nodes, "graph", *ends)
    onnx.save(onnx.helper.make_model(graph, ir_version=9), tmp_path / "two.onnx")
    subset_file(tmp_path / "two.onnx", ["b.out"], tmp_path / "one.onnx")
    assert [item.name for item in read_structure(tmp_path / "one.onnx").inputs] == ["b"]


def test_a_wrong_cut_is_not_written(tmp_path: Path, heads: Heads, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both models are run before anything is written."""

    def wrong(model: bytes, names: list[str], *, narrow: bool = True) -> bytes:
        proto = onnx.load_from_string(cut_outputs(model, names))
        (weight,) = (tensor for tensor in proto.graph.initializer if tensor.name == "head0.b")
        weight.raw_data = bytes(len(weight.raw_data))
        return bytes(proto.SerializeToString())

    monkeypatch.setattr(module, "cut_outputs", wrong)
    (tmp_path / "model.onnx").write_bytes(heads("Gemm", WIDTHS))
    with pytest.raises(ParityError, match=r"outputs of head0 must be the whole model's within 1e-05"):
        subset_file(tmp_path / "model.onnx", ["head0"], tmp_path / "small.onnx")
    assert not (tmp_path / "small.onnx").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    """Nothing of it is lost."""
    (tmp_path / "precious").write_text("x")
    with pytest.raises(WorkdirError, match="must be a new or empty folder"):
        split_file(_reference("mnist-pairs"), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"precious"}


def test_what_a_task_costs_is_what_leaving_it_out_saves(tmp_path: Path, heads: Heads) -> None:
    """Bytes are those of the graph without it; times are in turn with the whole."""
    (tmp_path / "model.onnx").write_bytes(heads("Gemm", (1, 500)))
    quick = Settings(threads=(1,), rounds=2, round_seconds=0.01, cold_starts=1)
    costs = measure_costs(read_whole(tmp_path / "model.onnx"), quick)
    small, large = costs.tasks
    assert (small.task, large.task) == ("head0", "head1")
    assert large.marginal_bytes - small.marginal_bytes == pytest.approx(4 * 33 * 499, rel=0.01)
    assert costs.latency_ms > 0


def test_the_command_says_what_it_did_and_writes_json(
    tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest
) -> None:
    """Unknown tasks are refused in one line; --tasks or --split must be given."""
    path = str(write_artifact(tmp_path, tiny_model, tiny_manifest).path)
    quick = ["--no-measure", "--json", str(tmp_path / "found.json")]
    done = CliRunner().invoke(main, ["subset", path, "--tasks", "size", *quick])
    assert done.exit_code == 0, done.output
    assert "equal to the bit" in done.stdout
    assert (tmp_path / "model-size.onnx").is_file()
    assert msgspec.json.decode((tmp_path / "found.json").read_bytes())["subset"]["tasks"] == ["size"]
    for arguments, line in (
        (["--tasks", "sise"], "tasks must be among kind, size, found 'sise'"),
        (["--tasks", ""], "at least one task of kind, size must be named, found none"),
        ([], "give --tasks, or --split"),
        (["--split"], "tasks must share layers"),
    ):
        result = CliRunner().invoke(main, ["subset", path, *arguments, *quick])
        assert result.exit_code == 2
        assert line in result.stderr
