import ast
import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.artifact import Artifact, Lineage, Manifest, Measured, ModelInput, write_artifact
from mtl_edge.preprocessing import CategoricalColumn, NumericColumn, Pixels, Preprocessing, Table, Tokens
from mtl_edge.runtime import open_session, predict
from mtl_edge.tasks import (
    Binary,
    DenseRegression,
    Multiclass,
    Multilabel,
    Ordinal,
    Regression,
    Segmentation,
    Task,
)

CLIENT = Path(__file__).parents[2] / "exporters" / "python" / "mtl_edge_client.py"
CLASSES = 3
CHANNELS, HEIGHT, WIDTH = 2, 4, 3
PIXELS = CHANNELS * HEIGHT * WIDTH


@pytest.fixture(scope="module")
def client() -> ModuleType:
    """The client, loaded from its file as an app would."""
    spec = importlib.util.spec_from_file_location("mtl_edge_client", CLIENT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    """A linear network of two tasks over two-channel images, as mtl-edge writes it."""
    return write_artifact(tmp_path, _network(), _manifest())


@pytest.fixture
def images() -> np.ndarray:
    """Raw samples that reach both ends of their range."""
    raw = np.random.default_rng(1).integers(0, 256, (5, CHANNELS, HEIGHT, WIDTH), np.uint8)
    raw[0], raw[1] = 0, 255
    return raw


def test_answers_are_the_runtime_outputs_decoded(client: Any, artifact: Artifact, images: np.ndarray) -> None:
    """Labels, probabilities and values are those of the outputs that mtl-edge itself computes."""
    outputs = predict(open_session(artifact.path), artifact.manifest.inputs[0], images)
    shares = np.exp(outputs["kind"]) / np.exp(outputs["kind"]).sum(axis=1, keepdims=True)

    answers = client.Model(artifact.path).predict(images)

    assert [answer["kind"].label for answer in answers] == outputs["kind"].argmax(axis=1).tolist()
    assert [answer["kind"].probability for answer in answers] == pytest.approx(shares.max(axis=1).tolist(), rel=1e-5)
    assert [answer["size"].value for answer in answers] == outputs["size"][:, 0].tolist()


def test_preprocessing_is_bit_for_bit_that_of_the_library(client: Any, artifact: Artifact, images: np.ndarray) -> None:
    """The network's input is the same in every bit as the one that the metrics were measured with."""
    expected = artifact.manifest.inputs[0].preprocessing.apply(images)
    found = client.Model(artifact.path).input.preprocess(images)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_probability_of_large_logits_is_finite(client: Any, tmp_path: Path, images: np.ndarray) -> None:
    """Logits beyond what exp can hold still give probabilities."""
    artifact = write_artifact(tmp_path, _network(gain=1e5), _manifest())
    probabilities = [answer["kind"].probability for answer in client.Model(artifact.path).predict(images)]
    assert all(1 / CLASSES <= probability <= 1 for probability in probabilities)


def test_answers_are_immutable(client: Any, artifact: Artifact, images: np.ndarray) -> None:
    """An answer cannot be changed after the fact."""
    answer = client.Model(artifact.path).predict(images)[0]["size"]
    with pytest.raises(AttributeError):
        answer.value = 0.0


def test_model_says_what_it_is_and_reads_and_answers(client: Any, artifact: Artifact) -> None:
    """Name, variant, tasks and the raw input are there without a look into the manifest."""
    model = client.Model(artifact.path)
    assert (model.name, model.variant) == ("shapes", "dense")
    assert model.tasks == {"kind": "multiclass", "size": "regression"}
    assert (model.input.name, model.input.dtype) == ("image", "uint8")
    assert model.input.shape == ("batch", CHANNELS, HEIGHT, WIDTH)


def test_no_samples_give_no_answers(client: Any, artifact: Artifact, images: np.ndarray) -> None:
    """An empty batch is not an error."""
    assert client.Model(artifact.path).predict(images[:0]) == []


def test_any_changed_byte_of_the_file_is_refused(client: Any, artifact: Artifact, tmp_path: Path) -> None:
    """Wherever one bit is flipped, in the network or in the manifest, the file is not used."""
    content = artifact.path.read_bytes()
    changed = tmp_path / "changed.onnx"
    for place in range(len(content)):
        changed.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(client.ModelFileError):
            client.Model(changed)


def test_changed_weight_is_named_as_a_change(client: Any, artifact: Artifact) -> None:
    """A network that still loads but has another weight is refused for its SHA-256."""
    weight = np.float32(_weights()[0, 0]).tobytes()
    content = artifact.path.read_bytes()
    assert content.count(weight) == 1
    artifact.path.write_bytes(content.replace(weight, np.float32(7).tobytes()))
    with pytest.raises(client.ModelFileError, match=r"model\.onnx: the file was changed after export: SHA-256 must be"):
        client.Model(artifact.path)


def test_bytes_after_the_manifest_are_refused(client: Any, artifact: Artifact) -> None:
    """Metadata appended to a finished file makes it another file."""
    extra = onnx.ModelProto()
    extra.metadata_props.add(key="note", value="mine")
    artifact.path.write_bytes(artifact.path.read_bytes() + extra.SerializeToString())
    with pytest.raises(client.ModelFileError, match="changed after export"):
        client.Model(artifact.path)


def test_file_without_manifest_is_refused(client: Any, tmp_path: Path) -> None:
    """Any other ONNX model is told apart."""
    path = tmp_path / "plain.onnx"
    path.write_bytes(_network())
    with pytest.raises(client.ModelFileError, match=r"plain\.onnx: must carry mtl-edge's manifest, found none"):
        client.Model(path)


def test_missing_file_is_an_error_that_names_it(client: Any, tmp_path: Path) -> None:
    """A wrong path is told apart from a wrong file."""
    with pytest.raises(client.ModelFileError, match=r"absent\.onnx: cannot be read: No such file"):
        client.Model(tmp_path / "absent.onnx")


def test_file_that_is_no_model_is_refused(client: Any, tmp_path: Path) -> None:
    """What the runtime cannot load is an error of the client's own kind."""
    path = tmp_path / "text.onnx"
    path.write_text("hello")
    with pytest.raises(client.ModelFileError, match=r"text\.onnx: ONNX Runtime cannot load it"):
        client.Model(path)


def test_newer_manifest_format_is_refused(client: Any, tmp_path: Path) -> None:
    """A manifest of another format is not guessed at."""
    artifact = write_artifact(tmp_path, _network(), _manifest(format=2))
    with pytest.raises(client.ModelFileError, match="format must be 1, found 2"):
        client.Model(artifact.path)


@pytest.mark.parametrize("shape", [(CHANNELS, HEIGHT, WIDTH), (1, CHANNELS, WIDTH, HEIGHT), (1, 1, HEIGHT, WIDTH)])
def test_wrong_shape_is_refused(client: Any, artifact: Artifact, shape: tuple[int, ...]) -> None:
    """A missing batch axis, swapped axes and a missing channel are errors, not broadcasts."""
    with pytest.raises(client.SampleError, match=r"image: shape must be \(batch, 2, 4, 3\), found \("):
        client.Model(artifact.path).predict(np.zeros(shape, np.uint8))


def test_wrong_dtype_is_refused(client: Any, artifact: Artifact, images: np.ndarray) -> None:
    """Samples that were scaled already would be scaled twice."""
    with pytest.raises(client.SampleError, match="image: dtype must be uint8, found float32"):
        client.Model(artifact.path).predict(images.astype(np.float32))


# --- every kind of task ----------------------------------------------------------------------------------------------


def _answers(client: Any, folder: Path, task: Task, outputs: np.ndarray) -> list[Any]:
    """What the client makes of these outputs, by a model that passes its input on."""
    shape = ("batch", *outputs.shape[1:])
    channels = outputs.shape[1]
    pixels = Pixels(raw_dtype="float32", scale=1.0, mean=(0.0,) * channels, std=(1.0,) * channels)
    artifact = write_artifact(folder, _pipe(shape, TensorProto.FLOAT, "out"), _manifest_of(task, shape, pixels))
    return [answer["out"] for answer in client.Model(artifact.path).predict(outputs)]


def _logits(*shape: int) -> np.ndarray:
    """Outputs of which some are 0 and some are beyond what exp can hold."""
    logits = (4 * np.random.default_rng(2).standard_normal(shape)).astype(np.float32)
    logits.reshape(-1)[:3] = 0, 1e4, -1e4
    return logits


def test_every_kind_of_task_has_an_answer(client: Any) -> None:
    """A new kind is decoded by the client too."""
    assert set(client._DECODERS) == {kind.__struct_config__.tag for kind in Task.__args__}


def test_binary_answers_are_those_of_the_library(client: Any, tmp_path: Path) -> None:
    """Yes above a logit of 0; the probability is the sigmoid."""
    logits = _logits(9, 1)
    task = Binary(name="out", target="y")
    answers = _answers(client, tmp_path, task, logits)
    assert [answer.yes for answer in answers] == (task.decode(logits)[:, 0] > 0).tolist()
    expected = torch.from_numpy(logits).double().sigmoid()[:, 0].tolist()
    assert [answer.probability for answer in answers] == pytest.approx(expected)
    assert str(client.Binary(True, 0.987)) == "yes (98.7 %)"


def test_multilabel_answers_are_those_of_the_library(client: Any, tmp_path: Path) -> None:
    """The labels above a logit of 0, and all probabilities."""
    logits = _logits(9, 3)
    task = Multilabel(name="out", target="y", classes=3)
    answers = _answers(client, tmp_path, task, logits)
    assert [list(answer.labels) for answer in answers] == [row.nonzero()[0].tolist() for row in task.decode(logits) > 0]
    expected = torch.from_numpy(logits).double().sigmoid().tolist()
    assert [list(answer.probabilities) for answer in answers] == [pytest.approx(row) for row in expected]
    assert str(client.Multilabel((0, 2), (0.75, 0.125, 1.0))) == "0 (75.0 %) + 2 (100.0 %)"
    assert str(client.Multilabel((), (0.25,))) == "none"


def test_ordinal_answers_are_those_of_the_library(client: Any, tmp_path: Path) -> None:
    """The number of steps above a logit of 0, and the probability of each step."""
    logits = _logits(9, 3)
    task = Ordinal(name="out", target="y", classes=4)
    answers = _answers(client, tmp_path, task, logits)
    assert [answer.rank for answer in answers] == task.decode(logits).tolist()
    expected = torch.from_numpy(logits).double().sigmoid().tolist()
    assert [list(answer.above) for answer in answers] == [pytest.approx(row) for row in expected]
    assert str(client.Ordinal(2, (1.0, 0.75, 0.25))) == "rank 2 of 0 to 3"


def test_maps_are_those_of_the_library(client: Any, tmp_path: Path) -> None:
    """Classes and values of each pixel, in the dtype that the library decodes them to."""
    for task, width in (
        (Segmentation(name="out", target="y", classes=3), 3),
        (Segmentation(name="out", target="y", classes=300), 300),
        (DenseRegression(name="out", target="y"), 1),
    ):
        outputs = _logits(2, width, 4, 5)
        answers = _answers(client, tmp_path, task, outputs)
        found = np.stack([answer.values if width == 1 else answer.labels for answer in answers])
        assert found.dtype == task.decode(outputs).dtype
        np.testing.assert_array_equal(found, task.decode(outputs))
    assert str(client.Segmentation(np.array([[0, 2], [2, 2]]))) == "2 (75.0 % of pixels) + 0 (25.0 % of pixels)"
    assert str(client.DenseRegression(np.array([[0.5, 2.0]]))) == "0.5 to 2"


# --- tables and texts ------------------------------------------------------------------------------------------------

TABLE = Table(
    columns=(
        NumericColumn(name="age", mean=40.0, std=10.0),
        CategoricalColumn(name="city", categories=("Lyon", "Bern")),
        CategoricalColumn(name="class", categories=("1", "2")),
    )
)
TOKENS = Tokens(vocabulary=("my", "parcel", "isn't"), length=4)
COLUMNS = {
    "age": np.array([41.5, np.nan, -3.0, 0.0]),
    "city": np.array(["Lyon", "Bern", "Oslo", ""]),
    "class": np.array([2, 1, 3, 1]),
}
ROWS = [dict(zip(COLUMNS, values, strict=True)) for values in zip(*COLUMNS.values(), strict=True)]


@pytest.fixture
def table(client: Any, tmp_path: Path) -> Any:
    """A model that sums a row's columns."""
    manifest = _manifest_of(Regression(name="out", target="y"), ("batch", 3), TABLE)
    return client.Model(write_artifact(tmp_path, _pipe(("batch", 3), TensorProto.FLOAT, "sum"), manifest).path)


@pytest.fixture
def text(client: Any, tmp_path: Path) -> Any:
    """A model that sums a text's ids."""
    manifest = _manifest_of(Regression(name="out", target="y"), ("batch", 4), TOKENS)
    return client.Model(write_artifact(tmp_path, _pipe(("batch", 4), TensorProto.INT64, "sum"), manifest).path)


def test_rows_are_encoded_as_in_training(table: Any) -> None:
    """Numbers as they are, categories by position, whatever is unknown or missing as 0; arrays pass."""
    expected = TABLE.encode(COLUMNS)
    found = table.input.preprocess(ROWS)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(table.input.preprocess(expected), expected)
    assert table.predict(ROWS)[0]["out"].value == 41.5 + 1 + 2


@pytest.mark.parametrize("gap", [None, np.nan, float("nan"), ""])
def test_missing_values_are_nan_among_numbers_and_0_among_categories(table: Any, gap: object) -> None:
    """However the app spells that there is none."""
    found = table.input.preprocess([{"age": gap, "city": gap, "class": gap}])
    np.testing.assert_array_equal(found, np.array([[np.nan, 0, 0]], np.float32))


@pytest.mark.parametrize("two", [2, 2.0, "2", np.float32(2), np.int8(2)])
def test_a_whole_number_is_one_category_however_it_is_held(table: Any, two: object) -> None:
    """Numbers and texts of them are the same."""
    assert table.input.preprocess([{"age": "41.5", "city": "Bern", "class": two}]).tolist() == [[41.5, 2, 2]]


@pytest.mark.parametrize(
    ("samples", "rule"),
    [
        ([{"age": 1, "town": "Bern"}], "row 0: must have the column 'city', found age, town"),
        ([ROWS[0], {**ROWS[0], "age": "old"}], "row 1: 'age' must be a finite number, found 'old'"),
        ([{**ROWS[0], "age": 1e39}], "row 0: 'age' must be a finite number, found 1e+39"),
        ([{**ROWS[0], "age": float("inf")}], "row 0: 'age' must be a finite number, found inf"),
        (ROWS[0], "x: samples must be in a list or an array, found one alone"),
        (np.zeros((1, 3)), "x: dtype must be float32, found float64"),
        (np.zeros((1, 2), np.float32), "x: shape must be (batch, 3), found (1, 2)"),
    ],
)
def test_rows_that_the_model_cannot_read_are_refused(client: Any, table: Any, samples: Any, rule: str) -> None:
    """The message names the row, the column and what was found."""
    with pytest.raises(client.SampleError) as caught:
        table.predict(samples)
    assert str(caught.value) == rule


def test_texts_are_encoded_as_in_training(text: Any) -> None:
    """Words by their position, cut and padded; ids pass."""
    texts = ["My parcel ISN'T here, my dear!", "", "parcel?", "\u00e9t\u00e9 my"]
    expected = TOKENS.encode(texts)
    found = text.input.preprocess(texts)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(text.input.preprocess(expected), expected)
    np.testing.assert_array_equal(text.input.preprocess([None]), TOKENS.encode([""]))
    assert text.predict(texts)[0]["out"].value == 2 + 3 + 4 + 1


@pytest.mark.parametrize(
    ("samples", "rule"),
    [
        ("my parcel", "x: samples must be in a list or an array, found one alone"),
        (["my", 3], "samples must be texts, found 3"),
        (np.zeros((1, 4), np.int32), "x: dtype must be int64, found int32"),
    ],
)
def test_texts_that_the_model_cannot_read_are_refused(client: Any, text: Any, samples: Any, rule: str) -> None:
    """One text alone would be read letter by letter."""
    with pytest.raises(client.SampleError) as caught:
        text.predict(samples)
    assert str(caught.value) == rule


def test_nothing_in_a_list_gives_no_answers(table: Any, text: Any) -> None:
    """An empty list is not an error."""
    assert table.predict([]) == text.predict([]) == []


@pytest.mark.parametrize("name", ["rows.csv", "lines.txt"])
def test_script_reads_rows_and_texts(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> None:
    """A table comes from a .csv with a header, texts from the lines of a .txt."""
    request.getfixturevalue("table" if name == "rows.csv" else "text")
    (tmp_path / "rows.csv").write_text("class,city,age\n2,Bern,40\n1,,\n", encoding="utf-8-sig")
    (tmp_path / "lines.txt").write_text("my parcel\nnothing\n")
    finished = _run(tmp_path, "model.onnx", name)
    assert finished.returncode == 0, finished.stderr
    expected = ["out 44", "out nan"] if name == "rows.csv" else ["out 5", "out 1"]
    assert [line.partition(": ")[2] for line in finished.stdout.splitlines()[1:]] == expected


def test_preprocessing_of_another_kind_is_refused(client: Any, tmp_path: Path) -> None:
    """The message names the kinds that this client knows."""
    artifact = write_artifact(tmp_path, _network(), _manifest())
    content = artifact.path.read_bytes()
    before = content.replace(b'"kind":"pixels"', b'"kind":"voices"')[:-66]
    digits = hashlib.sha256(before + content[-2:]).hexdigest().encode()
    artifact.path.write_bytes(before + digits + content[-2:])
    with pytest.raises(client.ModelFileError, match=r"kind must be one of pixels, .*, tokens, found 'voices'"):
        client.Model(artifact.path)


# --- the script ------------------------------------------------------------------------------------------------------


def test_client_prints_answers_as_a_script(artifact: Artifact, images: np.ndarray, tmp_path: Path) -> None:
    """Copied beside a model, the client shows the answers for the first samples."""
    np.savez(tmp_path / "samples.npz", image=images)
    finished = _run(tmp_path, "model.onnx", "samples.npz", "--count", "3")
    assert finished.returncode == 0, finished.stderr
    head, *lines = finished.stdout.splitlines()
    assert head == "shapes dense: reads image, uint8 (batch, 2, 4, 3)"
    assert [line.partition(":")[0] for line in lines] == ["sample 0", "sample 1", "sample 2"]
    assert all("kind " in line and ", size " in line for line in lines)


def test_script_error_is_one_line(artifact: Artifact, images: np.ndarray, tmp_path: Path) -> None:
    """Samples under another name end the script with the place, the rule and what was found."""
    np.savez(tmp_path / "samples.npz", picture=images)
    finished = _run(tmp_path, "model.onnx", "samples.npz")
    assert finished.returncode == 1
    assert finished.stderr.splitlines() == ["error: samples.npz: must hold 'image', found picture"]


def test_client_imports_only_onnxruntime_numpy_and_the_standard_library() -> None:
    """The one file is all that an app must copy."""
    nodes = list(ast.walk(ast.parse(CLIENT.read_text(encoding="utf-8"))))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} - sys.stdlib_module_names == {"numpy", "onnxruntime"}


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(CLIENT, folder)
    return subprocess.run(
        [sys.executable, "-W", "error", CLIENT.name, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _weights() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((PIXELS, CLASSES)).astype(np.float32)


def _network(gain: float = 1.0) -> bytes:
    """``kind`` and ``size`` are two linear functions of the image."""
    shape = ["batch", CHANNELS, HEIGHT, WIDTH]
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "by_class"], ["kind"]),
            helper.make_node("MatMul", ["flat", "by_size"], ["size"]),
        ],
        "shapes",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info("kind", TensorProto.FLOAT, ["batch", CLASSES]),
            helper.make_tensor_value_info("size", TensorProto.FLOAT, ["batch", 1]),
        ],
        [
            numpy_helper.from_array(_weights() * np.float32(gain), "by_class"),
            numpy_helper.from_array(np.linspace(-1, 1, PIXELS, dtype=np.float32).reshape(-1, 1), "by_size"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return bytes(model.SerializeToString())


def _manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "name": "shapes",
        "variant": "dense",
        "tasks": (Multiclass(name="kind", target="kind", classes=CLASSES), Regression(name="size", target="size")),
        "inputs": (
            ModelInput(
                name="image",
                dtype="float32",
                shape=("batch", CHANNELS, HEIGHT, WIDTH),
                preprocessing=Pixels(raw_dtype="uint8", scale=1 / 255, mean=(0.4, 0.1), std=(0.3, 0.7)),
            ),
        ),
        "metrics": Measured(split="test", samples=0, values={}),
        "lineage": Lineage(recipe_sha256="", data_sha256="", seed=0, steps=("train",)),
        "parameters": PIXELS * (CLASSES + 1),
        "opset": 20,
        "versions": {},
    }
    return Manifest(**values | changes)


def _pipe(shape: tuple[int | str, ...], dtype: int, do: str) -> bytes:
    """``out`` is the input ``x`` as it is, or the sum of its columns."""
    nodes = [helper.make_node("Cast", ["x"], ["numbers"], to=TensorProto.FLOAT)]
    if do == "sum":
        nodes.append(helper.make_node("ReduceSum", ["numbers", "axis"], ["out"]))
    else:
        nodes.append(helper.make_node("Identity", ["numbers"], ["out"]))
    graph = helper.make_graph(
        nodes,
        "pipe",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 1] if do == "sum" else shape)],
        [numpy_helper.from_array(np.array([1]), "axis")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return bytes(model.SerializeToString())


def _manifest_of(task: Task, shape: tuple[int | str, ...], preprocessing: Preprocessing) -> Manifest:
    source = ModelInput(name="x", dtype=preprocessing.dtype, shape=shape, preprocessing=preprocessing)
    return _manifest(tasks=(task,), inputs=(source,))
