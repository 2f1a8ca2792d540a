"""A graph from elsewhere is given the outputs of tasks and a manifest, or a line that says why not."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.artifact import Manifest, write_artifact
from mtl_edge.cli import main
from mtl_edge.errors import DataError
from mtl_edge.preprocessing import Pixels, RawPixels, Table, Tokens
from mtl_edge.runtime import evaluate, manifest_of, open_session
from mtl_edge.storage import sha256_of_file

Build = Callable[..., bytes]
TASKS = """\
[tasks.kind]
output = "logits_1"
kind = "multiclass"
classes = 4

[tasks.dense_2]
kind = "regression"
target = "age"
unit = "years"
"""
PIXELS = '\n[input]\nraw_dtype = "uint8"\nscale = 0.5\nmean = 1.0\nstd = [1, 2, 4]\n'


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models of these tests need no process of their own, which takes a third of a second."""
    monkeypatch.setenv("MTL_EDGE_TRUST_MODELS", "1")


def _describe(folder: Path, model: bytes, tasks: str) -> Result:
    (folder / "yours.onnx").write_bytes(model)
    (folder / "tasks.toml").write_text(tasks)
    names = [str(folder / name) for name in ("yours.onnx", "tasks.toml", "out.onnx")]
    return CliRunner().invoke(main, ["manifest", names[0], "--tasks", names[1], "-o", names[2]])


def _said(folder: Path) -> Manifest:
    manifest = manifest_of(folder / "out.onnx", open_session(folder / "out.onnx"))
    assert manifest is not None
    return manifest


def _answers(path: Path, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(path)
    return dict(zip([item.name for item in session.get_outputs()], session.run(None, feeds), strict=True))


@pytest.mark.parametrize("opset", [12, 17])
@pytest.mark.parametrize("ends", ["", "Softmax"])
def test_outputs_are_those_of_the_tasks(ends: str, opset: int, foreign: Build, tmp_path: Path) -> None:
    """Under their names, as logits, with an axis for values, and else equal to the bit."""
    done = _describe(tmp_path, foreign(ends=ends, opset=opset), TASKS + PIXELS)
    assert done.exit_code == 0, done.output
    feeds = {"pixels": np.random.default_rng(0).standard_normal((5, 3, 8, 8)).astype(np.float32)}
    (tmp_path / "logits.onnx").write_bytes(foreign(opset=opset))
    before, after = _answers(tmp_path / "logits.onnx", feeds), _answers(tmp_path / "out.onnx", feeds)
    assert list(after) == ["kind", "dense_2"]
    np.testing.assert_array_equal(after["kind"], before["logits_1"])
    np.testing.assert_array_equal(after["dense_2"], before["dense_2"][:, None])
    assert ("before Softmax" in done.output) == bool(ends)
    assert "Softmax" not in {node.op_type for node in onnx.load(tmp_path / "out.onnx").graph.node}
    onnx.checker.check_model(tmp_path / "out.onnx", full_check=True)


def test_the_manifest_says_what_is_known_and_no_more(foreign: Build, tmp_path: Path) -> None:
    """Tasks and preprocessing as described; of where it comes from, the file's hash."""
    assert _describe(tmp_path, foreign(), TASKS + PIXELS).exit_code == 0
    manifest = _said(tmp_path)
    assert [(task.name, task.target) for task in manifest.tasks] == [("kind", "kind"), ("dense_2", "age")]
    assert manifest.inputs[0].preprocessing == Pixels(
        raw_dtype="uint8", scale=0.5, mean=(1.0, 1.0, 1.0), std=(1.0, 2.0, 4.0)
    )
    assert (manifest.name, manifest.metrics, manifest.parameters) == ("yours", None, 16 * 3 * 3 * 3 + 16 * 4 + 16)
    lineage = manifest.lineage
    assert (lineage.recipe_sha256, lineage.data_sha256, lineage.parent, lineage.steps) == ("", "", None, ("describe",))
    assert lineage.parent_sha256 == sha256_of_file(tmp_path / "yours.onnx")


def test_names_may_be_swapped(tmp_path: Path) -> None:
    """Two outputs take each other's name, and one that is the input itself has one of its own."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in ("a", "b", "x")]
    nodes = [helper.make_node("Neg", ["x"], ["a"], "neg"), helper.make_node("Abs", ["a"], ["b"], "abs")]
    graph = helper.make_graph(nodes, "swap", [values[2]], values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    tasks = "".join(
        f'[tasks.{task}]\noutput = "{output}"\nkind = "regression"\n'
        for task, output in (("a", "b"), ("b", "a"), ("c", "x"))
    )
    done = _describe(tmp_path, model, tasks)
    assert done.exit_code == 0, done.output
    found = _answers(tmp_path / "out.onnx", {"x": np.array([[2]], np.float32)})
    assert {name: float(value[0, 0]) for name, value in found.items()} == {"a": 2, "b": -2, "c": 2}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "classes = 4",
            "classes = 5",
            "tasks.kind: the output 'logits_1' of multiclass must be (N, 5), found (batch, 4)",
        ),
        ("classes = 4", "clases = 4", "tasks.kind: unknown key 'clases'; did you mean 'classes'?"),
        ('"logits_1"', '"logits_9"', "tasks.kind: must be an output of the graph (logits_1, dense_2), or name it"),
        ('"logits_1"', '"dense_2"', "must be an output of its own, found 'dense_2' twice"),
        ('"logits_1"', "3", "tasks.kind.output: must be the name of an output, found 3"),
        ("tasks.kind", "tasks.d", "tasks: must have a name that no other tensor of the graph has, found 'd'"),
        (
            "mean = 1.0",
            "mean = [1, 2]",
            "input: 'pixels' is ['batch', 3, 8, 8]: there must be 3 values of mean, found 2",
        ),
        ("mean = 1.0", "means = 1.0", "input: unknown key 'means'; did you mean 'mean'?"),
        ('raw_dtype = "uint8"', "", "input: the key 'raw_dtype' is required, found none"),
        ('raw_dtype = "uint8"', 'kind = "picture"', "input.kind: must be one of 'pixels', 'table', 'tokens'"),
        ("[input]", "[inputs.x]", "inputs.x: must be an input of the graph (pixels)"),
        ("[input]", "[inputs]", "inputs.raw_dtype: must be a table, found 'uint8'"),
        ("[input]", "[in]", "unknown key 'in'; known are input, inputs, tasks"),
    ],
)
def test_a_description_that_does_not_fit_is_one_line(
    old: str, new: str, said: str, foreign: Build, tmp_path: Path
) -> None:
    """With the file, the place, the rule and what was found; nothing is written."""
    done = _describe(tmp_path, foreign(), (TASKS + PIXELS).replace(old, new))
    assert done.exit_code == 2
    assert said in done.output
    assert f"{tmp_path / 'tasks.toml'}: " in done.output
    assert len(done.output.splitlines()) == 1
    assert not (tmp_path / "out.onnx").exists()


def test_an_output_without_a_task_is_one_line(foreign: Build, tmp_path: Path) -> None:
    """It says which, and how to be rid of it."""
    done = _describe(tmp_path, foreign(), TASKS.partition("\n\n")[0])
    assert "every output must have a table, found none of 'dense_2'" in done.output


def _two_inputs(first: list[int | str], second: list[int | str]) -> bytes:
    """``sum``, ``(n, 1)``, is that of the values of ``image`` and of ``state``."""
    shapes = {"image": first, "state": second, "sum": [first[0], 1]}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    nodes = [helper.make_node("Flatten", [name], [f"{name}.flat"]) for name in ("image", "state")]
    nodes += [
        helper.make_node("Concat", ["image.flat", "state.flat"], ["all"], axis=1),
        helper.make_node("ReduceSum", ["all", "axis"], ["sum"]),
    ]
    axis = [numpy_helper.from_array(np.array([1]), "axis")]
    graph = helper.make_graph(nodes, "two", values[:2], values[2:], axis)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def test_each_of_several_inputs_has_steps_of_its_own(tmp_path: Path) -> None:
    """They are named in the manifest; metrics and golden vectors are made of an array each, and a client reads both."""
    steps = '[inputs.image]\nraw_dtype = "uint8"\nscale = 0.5\nmean = [1, 2]\nstd = 2\n'
    done = _describe(tmp_path, _two_inputs(["n", 2, 2, 2], ["n", 3]), f'[tasks.sum]\nkind = "regression"\n{steps}')
    assert done.exit_code == 0, done.output
    manifest = _said(tmp_path)
    kinds = {item.name: item.preprocessing for item in manifest.inputs}
    assert kinds["image"] == Pixels(raw_dtype="uint8", scale=0.5, mean=(1.0, 2.0), std=(2.0, 2.0))
    assert kinds["state"] == Pixels(raw_dtype="float32", scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (300, 2, 2, 2), np.uint8)
    states = rng.standard_normal((300, 3)).astype(np.float32)
    wanted = (images * 0.25).sum((1, 2, 3)) - 4 * (1 + 2) / 2 + states.sum(1)
    arrays = {"image": images, "state": states, "sum": wanted.astype(np.float32)}
    metrics = evaluate(open_session(tmp_path / "out.onnx"), manifest.tasks, manifest.inputs, arrays)
    assert metrics["sum"]["mae"] < 1e-4
    with pytest.raises(DataError, match="'state' must have one entry per sample, found 299"):
        evaluate(open_session(tmp_path / "out.onnx"), manifest.tasks, manifest.inputs, arrays | {"state": states[1:]})

    np.savez(tmp_path / "data.npz", **arrays)
    for data in ([], ["--data", str(tmp_path / "data.npz")]):
        command = ["export", str(tmp_path / "out.onnx"), "--for", "python", "-o", str(tmp_path / "kit"), *data]
        kit = CliRunner().invoke(main, [*command, "--overwrite"])
        assert kit.exit_code == 0, kit.output
        verified = CliRunner().invoke(main, ["verify", str(tmp_path / "kit")])
        assert verified.exit_code == 0, verified.output
    client = [sys.executable, "mtl_edge_client.py", "model.onnx", str(tmp_path / "data.npz"), "-n", "2"]
    ran = subprocess.run(
        [*client, "--check", "goldens"], cwd=tmp_path / "kit", capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.splitlines()
    assert said[0].endswith("4 golden vectors agree on this device")
    assert said[1].endswith("reads image, uint8 (n, 2, 2, 2); state, float32 (n, 3)")
    assert said[2:] == [f"sample {index}: sum {wanted[index]:.4g}" for index in range(2)]
    raw = np.fromfile(tmp_path / "kit" / "goldens" / "1-raw-1.bin", np.float32)
    np.testing.assert_array_equal(raw, states[1])


@pytest.mark.parametrize(
    ("first", "second", "steps", "said"),
    [
        (["n", 1], ["n", 1], "[input]\nscale = 2.0", "input: must be inputs.NAME for each of several inputs, found "),
        (
            ["n", 1],
            ["n", 1],
            "[inputs.other]\nscale = 2.0",
            "inputs.other: must be an input of the graph (image, st",
        ),
        (
            ["n", 1],
            ["n", 1],
            "[inputs.state]\nscales = 2.0",
            "inputs.state: unknown key 'scales'; did you mean 'scal",
        ),
        (["n", 1], ["n", 1], "[inputs.state]\n[input]\n", "input: must not stand beside inputs.NAME, found both"),
        ([2, 1], [2, 1], "", ""),
    ],
)
def test_what_does_not_fit_several_inputs_is_one_line(
    first: list[int | str], second: list[int | str], steps: str, said: str, tmp_path: Path
) -> None:
    """It names the table and the inputs that there are."""
    done = _describe(tmp_path, _two_inputs(first, second), f'[tasks.sum]\nkind = "regression"\n{steps}')
    assert (done.exit_code, said in done.output) == (2 if said else 0, True), done.output


def test_a_model_with_a_manifest_is_not_described_again(
    tiny_model: bytes, tiny_manifest: Manifest, tmp_path: Path
) -> None:
    """What it says of itself is not lost by accident."""
    path = write_artifact(tmp_path, tiny_model, tiny_manifest).path
    done = _describe(tmp_path, path.read_bytes(), TASKS)
    assert "must be a model without a manifest, found one of tiny" in done.output


@pytest.mark.parametrize(
    ("dtype", "shape", "table", "kind"),
    [
        ("FLOAT", ["n", 2], "", Pixels),
        ("UINT8", ["n", 8, 8, 3], "", RawPixels),
        ("INT64", ["n", 2], "", RawPixels),
        ("FLOAT", ["n", 2], '[input]\nkind = "table"\ncolumns = ["age", {name = "job", categories = ["x"]}]\n', Table),
        ("INT64", ["n", 2], '[input]\nkind = "tokens"\nlength = 2\nvocabulary = ["good", "bad"]\n', Tokens),
    ],
)
def test_inputs_are_as_they_are_or_of_a_kind(
    dtype: str, shape: list[int | str], table: str, kind: type, tmp_path: Path
) -> None:
    """An array of any numbers, images with channels last, columns of a table, words."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["f"], ["g"], "flatten"),
        helper.make_node("ReduceMean", ["g"], ["y"], "mean", axes=[1], keepdims=1),
    ]
    values = [
        helper.make_tensor_value_info("x", getattr(TensorProto, dtype), shape),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1]),
    ]
    graph = helper.make_graph(nodes, "any", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    done = _describe(tmp_path, model, f'[tasks.y]\nkind = "regression"\n{table}')
    assert done.exit_code == 0, done.output
    (source,) = _said(tmp_path).inputs
    assert isinstance(source.preprocessing, kind)
    assert source.layout == {2: "NT" if kind is Tokens else "NC", 4: "NHWC"}[len(shape)]
    kit = CliRunner().invoke(
        main, ["export", str(tmp_path / "out.onnx"), "--for", "python", "-o", str(tmp_path / "kit")]
    )
    assert kit.exit_code == 0, kit.output


def test_a_fixed_batch_is_told(foreign: Build, tmp_path: Path) -> None:
    """With the command that opens it."""
    done = _describe(tmp_path, foreign(batch=2), TASKS)
    assert "reads 2 samples at a time" in done.output


def test_the_starter_describes_its_graph(foreign: Build, tmp_path: Path) -> None:
    """As it is printed, it fits; what shapes leave open is asked."""
    (tmp_path / "yours.onnx").write_bytes(foreign())
    starter = CliRunner().invoke(main, ["manifest", str(tmp_path / "yours.onnx"), "--init"])
    assert 'or "binary", if it is the logit of yes' in starter.output
    done = _describe(tmp_path, foreign(), starter.output)
    assert done.exit_code == 0, done.output
    assert [task.__struct_config__.tag for task in _said(tmp_path).tasks] == ["multiclass", "regression"]
