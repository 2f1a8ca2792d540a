"""Bad input gets one clear line and exit code 2; nothing is lost or half-written."""

import errno
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper

from mtl_edge.artifact import Lineage, Manifest, Measured, write_artifact
from mtl_edge.cli import main
from mtl_edge.cli.options import _imported_meanwhile
from mtl_edge.compress.outcome import Withheld
from mtl_edge.errors import ModelError
from mtl_edge.tasks import Regression

RECIPE = """
[data]
source = "npz:data.npz"
input = "x"
[tasks.kind]
kind = "multiclass"
target = "kind"
classes = 3
[tasks.size]
kind = "regression"
target = "size"
[net]
trunk = "resnet"
width = 8
depth = [1]
"""


def _arrays(count: int = 60) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "x": rng.standard_normal((count, 1, 8, 8)).astype(np.float32),
        "kind": rng.integers(0, 3, count),
        "size": rng.standard_normal(count).astype(np.float32),
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a recipe and its data."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    np.savez(tmp_path / "data.npz", **_arrays())
    return tmp_path


def _fails_in_one_line(result: Result, *parts: str) -> None:
    lines = result.stderr.strip().splitlines()
    assert result.exit_code == 2, result.output
    assert lines[-1].startswith("mtl-edge: error: ")
    assert not any("Traceback" in line for line in lines)
    for part in parts:
        assert part in lines[-1]


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("width = 8", "widht = 8", ["recipe.toml: net: unknown key 'widht'", "did you mean 'width'?"]),
        ("width = 8", 'width = "8"', ["recipe.toml: net.width: expected int", "found '8'"]),
        ('target = "kind"\n', "", ["recipe.toml: tasks.kind: has no target"]),
        ("[tasks.size]", "[tasks.kind]", ["recipe.toml: is not valid TOML", "kind"]),
        (
            "classes = 3",
            "classes = 2",
            ["tasks.kind.target 'kind': classes = 2 allows the labels 0 to 1", "is 2 at index"],
        ),
        ('target = "size"', 'target = "sizes"', ["no array 'sizes' in the data", "did you mean 'size'?"]),
        ('"npz:data.npz"', '"npz:none.npz"', ["none.npz: cannot be read: No such file"]),
        ('"npz:data.npz"', '"csv:data.csv"', ["data.csv: cannot be read"]),
        ('input = "x"', 'input = "x"\nsplit = [0.999, 0.0005, 0.0005]', ["the val split is empty: 60 samples"]),
    ],
)
def test_a_wrong_recipe_is_one_line(folder: Path, old: str, new: str, parts: list[str]) -> None:
    """File or data, key, rule and what was found."""
    (folder / "recipe.toml").write_text(RECIPE.replace(old, new, 1))
    _fails_in_one_line(_run("run", "recipe.toml", "--workdir", "out"), *parts)
    assert not list((folder / "out").glob("stages/*"))


@pytest.mark.parametrize(
    ("array", "rule"),
    [
        ("x", "input 'x': values must be finite, found 42 NaN or inf, the first at index"),
        ("size", "tasks.size.target 'size': labels must be finite (NaN: no label), found inf at index 0"),
    ],
)
def test_infinity_is_located(folder: Path, array: str, rule: str) -> None:
    """The rule and the index of the first."""
    arrays = _arrays()
    arrays[array].reshape(len(arrays[array]), -1)[:, 0] = np.inf
    np.savez(folder / "data.npz", **arrays)
    _fails_in_one_line(_run("run", "recipe.toml", "--workdir", "out"), rule)


def test_a_truncated_npz_is_one_line(folder: Path) -> None:
    """The archive's own complaint, with the file's name."""
    path = folder / "data.npz"
    path.write_bytes(path.read_bytes()[:-100])
    _fails_in_one_line(_run("run", "recipe.toml", "--workdir", "out"), "data.npz: is not a readable .npz")


def test_an_unwritable_workdir_is_one_line(folder: Path) -> None:
    """Here the workdir's parent is a file, which stops even root."""
    (folder / "file").write_text("precious")
    _fails_in_one_line(_run("run", "recipe.toml", "--workdir", "file/out"), "file/out", "cannot be written")
    assert (folder / "file").read_text() == "precious"


def test_a_full_disk_is_one_line_and_leaves_nothing_unfinished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stage fails as a whole: no folder of it stays, not even a temporary one."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    _fails_in_one_line(_run("run", "recipe.toml", "--workdir", "out"), "cannot be written: No space left on device")
    assert list((folder / "out" / "stages").iterdir()) == []


def test_a_missing_extra_names_the_pip_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torch, the command that installs it."""
    for name in [name for name in sys.modules if name.startswith(("mtl_edge.pipeline", "mtl_edge.stages"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for name in [name for name in sys.modules if name.startswith("mtl_edge.nets")]:
        monkeypatch.delitem(sys.modules, name)
    _fails_in_one_line(_run("run", "recipe.toml"), "'safetensors'", "pip install 'mtl-edge[train]'")


def test_debug_shows_where_an_error_comes_from(folder: Path) -> None:
    """The exception itself, for a bug report."""
    result = _run("--debug", "run", "nothing-of-this-name")
    assert type(result.exception).__name__ == "RecipeError"


def test_an_unknown_recipe_lists_the_reference_recipes(folder: Path) -> None:
    """A typing error in a name is mended by reading one line."""
    _fails_in_one_line(_run("run", "mnist-pears"), "mnist-pears: must be", "mnist-pairs", "found neither")


def test_an_unreadable_model_is_one_line(folder: Path) -> None:
    """A text file with a model's name."""
    (folder / "model.onnx").write_text("not a model")
    _fails_in_one_line(_run("bench", "model.onnx"), "model.onnx: is not an ONNX model")


def test_a_missing_model_is_a_usage_error(folder: Path) -> None:
    """Click's own message, and the same exit code."""
    result = _run("bench", "none.onnx")
    assert result.exit_code == 2
    assert "'none.onnx' does not exist" in result.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--threads", "0"),
        ("--threads", "1;2"),
        ("--dim", "seq"),
        ("--dim", "seq=0"),
        ("--batch", "0"),
        ("--plot", "picture.gif"),
        ("--scenario", "server"),
    ],
)
def test_wrong_numbers_are_usage_errors(folder: Path, option: str, value: str) -> None:
    """The option is named."""
    (folder / "model.onnx").write_bytes(b"")
    result = _run("bench", "model.onnx", option, value)
    assert result.exit_code == 2
    assert option in result.stderr


def test_a_folder_with_a_broken_model_is_measured_and_the_exit_code_says_so(folder: Path, tiny_model: bytes) -> None:
    """The good one has its row, the broken one its reason."""
    (folder / "models").mkdir()
    (folder / "models" / "good.onnx").write_bytes(tiny_model)
    (folder / "models" / "broken.onnx").write_text("no model")
    quick = ["--threads", "1", "--rounds", "2", "--seconds", "0.01", "--cold-starts", "1", "--memory-repeats", "0"]
    result = _run("bench", "models", *quick)
    assert result.exit_code == 1
    assert "good" in result.stdout
    assert "1 measured, 1 failed" in result.stdout
    assert "Failed: broken: models/broken.onnx: is not an ONNX model" in result.stdout


def test_a_manifest_that_names_a_missing_output_is_one_line(folder: Path) -> None:
    """Manifest and graph must agree before anything is measured."""
    manifest = Manifest(
        name="test",
        variant="dense",
        tasks=(Regression(name="size", target="size"),),
        inputs=(),
        metrics=Measured(split="test", samples=0, values={}),
        lineage=Lineage(recipe_sha256="", data_sha256="", seed=0, steps=()),
        parameters=0,
        opset=17,
        versions={},
    )
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["other"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1])],
        [helper.make_tensor_value_info("other", TensorProto.FLOAT, ["n", 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    artifact = write_artifact(folder / "artifact", model.SerializeToString(), manifest)
    _fails_in_one_line(_run("bench", str(artifact.path)), "the manifest names the output 'size', the graph has other")


@pytest.mark.parametrize("withheld", [{}, {"pruned": Withheld("dense", 1.2)}], ids=["none", "one"])
def test_run_exits_with_1_where_a_model_is_withheld(
    withheld: dict[str, Withheld], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run worked, and what it found is not good enough."""
    (folder / "recipe.toml").write_text(RECIPE)
    monkeypatch.setattr("mtl_edge.pipeline.run", lambda recipe, workdir: SimpleNamespace(withheld=withheld))
    monkeypatch.setattr("mtl_edge.report.finished.show_run", lambda report, console: None)
    result = _run("run", "recipe.toml", "--workdir", "out")
    assert result.exit_code == len(withheld), result.output
    assert "report  out/report.html" in result.output


def test_help_names_every_command() -> None:
    """And each command's help names its options."""
    assert all(word in _run("--help").output for word in ("run", "bench", "--debug"))
    assert "--workdir" in _run("run", "--help").output
    assert all(option in _run("bench", "--help").output for option in ("--against", "--dim", "--data", "--json"))


def test_what_commands_need_is_imported_while_models_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there in the end, after an error too; what is not installed is for the command itself to tell."""
    (tmp_path / "needed_by_commands.py").write_text("import time; time.sleep(0.1); done = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError), _imported_meanwhile("needed_by_nobody_at_all", "needed_by_commands"):
        raise ModelError("hostile")
    assert sys.modules.pop("needed_by_commands").done


def test_train_prints_the_metrics_and_where_the_weights_are(folder: Path) -> None:
    """The dense network only; a second time there is nothing to do."""
    (folder / "recipe.toml").write_text(RECIPE + "[train]\nepochs = 1\nbatch_size = 8\n")
    for _ in range(2):
        result = _run("train", "recipe.toml", "--workdir", "out", "--device", "cpu", "--log-dir", "logs")
        assert result.exit_code == 0, result.output
        table, _, path = result.stdout.partition("weights  ")
        assert all(word in table for word in ("kind", "accuracy", "size", "MAE"))
        assert Path(path.strip()).is_file()
    assert sorted(entry.name.split("-")[0] for entry in (folder / "out" / "stages").iterdir()) == ["data", "train"]


def test_train_refuses_what_run_refuses(folder: Path) -> None:
    """In one line, with the same exit code."""
    (folder / "recipe.toml").write_text(RECIPE + '[train]\nbalance = "magic"\n')
    _fails_in_one_line(_run("train", "recipe.toml"), "recipe.toml: train.balance: unknown method 'magic'")


def test_train_single_task_trains_a_network_for_each_task(folder: Path) -> None:
    """And none for all; each has metrics, weights and logs of its own."""
    (folder / "recipe.toml").write_text(RECIPE + "[train]\nepochs = 1\nbatch_size = 8\n")
    result = _run("train", "recipe.toml", "--workdir", "out", "--single-task", "--log-dir", "logs")
    assert result.exit_code == 0, result.output
    weights = {Path(line.split()[-1]) for line in result.stdout.splitlines() if line.startswith("weights")}
    assert len(weights) == 2
    assert all(path.is_file() for path in weights)
    assert all(f"single-task/{task}, validation samples" in result.stdout for task in ("kind", "size"))
    assert all((folder / "logs" / "single-task" / task / "train").is_dir() for task in ("kind", "size"))


def test_the_help_names_every_command_in_a_whole_line() -> None:
    """At 80 columns, each under its subject; so does the help of zoo."""
    shown = CliRunner().invoke(main, ["--help"], terminal_width=80).output.splitlines()
    for name, command in main.commands.items():
        assert f"  {name:<8}  {command.short_help}" in shown
    assert sorted(main.commands) == sorted(main.list_commands(click.Context(main)))
    assert CliRunner().invoke(main, ["zoo", "--help"], terminal_width=80).output.count("...") == 1  # of its usage


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "recipe.toml"], "goes on with the stage that was not finished"),
        (["compare", ".", "."], "no file is half-written"),
    ],
)
def test_ctrl_c_says_what_is_true_of_the_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    """What goes on says so; what begins anew promises nothing but whole files. The exit code is 130."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main.commands[arguments[0]], "callback", interrupted)
    result = _run(*arguments)
    assert result.exit_code == 130
    assert result.stderr.startswith("mtl-edge: interrupted; ")
    assert result.stderr.rstrip().endswith(says)
