"""Tests of :mod:`mtl_edge.runtime`."""

import sys
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, mean_absolute_error

from mtl_edge.artifact import Manifest, write_artifact
from mtl_edge.errors import DataError, MissingExtraError, ModelError
from mtl_edge.runtime import evaluate, manifest_of, open_session, predict
from mtl_edge.tasks import Regression


@pytest.fixture
def session(tiny_model: bytes) -> onnxruntime.InferenceSession:
    """The tiny model, loaded."""
    return open_session(tiny_model)


@pytest.fixture
def raw() -> np.ndarray:
    """Thirty raw samples of the tiny model."""
    return np.random.default_rng(0).integers(0, 256, (30, 2), dtype=np.uint8)


@pytest.fixture
def arrays(raw: np.ndarray) -> dict[str, np.ndarray]:
    """The samples with a label for each task."""
    return {"image": raw, "label": np.arange(30) % 3, "area": np.arange(30, dtype=np.float32)}


def _expected(raw: np.ndarray) -> dict[str, np.ndarray]:
    """What the tiny model's manifest and weights mean, in float64."""
    first, second = ((raw * 0.5 - [1.0, 2.0]) / [0.5, 0.25]).T
    return {"kind": np.stack([first, second, -first - second], 1), "size": (2 * first + 3 * second)[:, None]}


def _load_fault(path: Path) -> str:
    """The message that a file is refused with, which is one line and starts with the path."""
    with pytest.raises(ModelError) as caught:
        open_session(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


# --- loading -------------------------------------------------------------------------------------------------------


def test_a_file_and_its_bytes_are_the_same_model(tmp_path: Path, tiny_model: bytes, raw: np.ndarray) -> None:
    """A session opens from a path as from memory."""
    (tmp_path / "model.onnx").write_bytes(tiny_model)
    inputs = {"image": raw.astype(np.float32)}
    from_file, from_bytes = (open_session(model).run(None, inputs) for model in (tmp_path / "model.onnx", tiny_model))
    for mine, theirs in zip(from_file, from_bytes, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_threads_are_those_asked_for(tiny_model: bytes) -> None:
    """The runtime takes no more intra-op threads than it was given, and one between operators."""
    options = open_session(tiny_model, threads=2).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)


@pytest.mark.parametrize("name", ["absent.onnx", "absent/model.onnx", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    """A missing file and a folder are told by their path."""
    assert _load_fault(tmp_path / name).startswith("cannot be read: ")


@pytest.mark.parametrize("content", [b"", b"this is text\nof two lines\n", b"\x00" * 100])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    """Empty files and other files end in one line."""
    (tmp_path / "model.onnx").write_bytes(content)
    assert _load_fault(tmp_path / "model.onnx").startswith("ONNX Runtime cannot load it: ")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0.01, 0.99))
def test_a_truncated_model_is_refused(tmp_path: Path, tiny_model: bytes, share: float) -> None:
    """A download that broke off anywhere is not taken for a model."""
    (tmp_path / "model.onnx").write_bytes(tiny_model[: int(share * len(tiny_model))])
    assert _load_fault(tmp_path / "model.onnx").startswith("ONNX Runtime cannot load it: ")


def test_a_model_in_memory_that_cannot_be_loaded_is_refused() -> None:
    """Without a path the message says ``model``."""
    with pytest.raises(ModelError, match=r"^model: ONNX Runtime cannot load it: "):
        open_session(b"junk")


# --- manifest_of ---------------------------------------------------------------------------------------------------


def test_the_manifest_comes_with_the_loaded_model(tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest) -> None:
    """An artifact that agrees with itself gives its manifest."""
    artifact = write_artifact(tmp_path, tiny_model, tiny_manifest)
    assert manifest_of(artifact.path, open_session(artifact.path)) == artifact.manifest


def test_a_model_that_mtl_edge_did_not_make_has_no_manifest(tmp_path: Path, tiny_model: bytes) -> None:
    """A plain .onnx is no error."""
    path = tmp_path / "plain.onnx"
    path.write_bytes(tiny_model)
    assert manifest_of(path, open_session(path)) is None


def test_a_task_that_the_graph_lacks_is_refused(tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest) -> None:
    """The message names the file, the output, and those that there are."""
    tasks = (*tiny_manifest.tasks, Regression(name="weight", target="mass"))
    path = write_artifact(tmp_path, tiny_model, msgspec.structs.replace(tiny_manifest, tasks=tasks)).path
    with pytest.raises(ModelError) as caught:
        manifest_of(path, open_session(path))
    assert str(caught.value) == f"{path}: the manifest names the output 'weight', the graph has kind, size"


def test_an_input_that_the_graph_lacks_is_refused(tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest) -> None:
    """Inputs are compared like outputs."""
    inputs = (msgspec.structs.replace(tiny_manifest.inputs[0], name="picture"),)
    path = write_artifact(tmp_path, tiny_model, msgspec.structs.replace(tiny_manifest, inputs=inputs)).path
    with pytest.raises(ModelError) as caught:
        manifest_of(path, open_session(path))
    assert str(caught.value) == f"{path}: the manifest names the input 'picture', the graph has image"


# --- predict and evaluate ------------------------------------------------------------------------------------------


def test_outputs_are_those_of_the_preprocessed_samples(
    session: onnxruntime.InferenceSession, tiny_manifest: Manifest, raw: np.ndarray
) -> None:
    """Raw samples go in, outputs come out by name, as computed by hand."""
    found = predict(session, tiny_manifest.inputs[0], raw)
    expected = _expected(raw)
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch_size=st.integers(1, 40))
def test_batches_of_any_size_give_what_one_big_batch_gives(
    session: onnxruntime.InferenceSession, tiny_manifest: Manifest, raw: np.ndarray, batch_size: int
) -> None:
    """No sample is lost, doubled or moved at the borders of batches."""
    whole = predict(session, tiny_manifest.inputs[0], raw, batch_size=len(raw))
    parts = predict(session, tiny_manifest.inputs[0], raw, batch_size=batch_size)
    assert parts.keys() == whole.keys()
    for name, values in whole.items():
        np.testing.assert_allclose(parts[name], values, rtol=1e-5, atol=1e-4)


def test_metrics_come_from_the_runtimes_own_outputs(
    session: onnxruntime.InferenceSession, tiny_manifest: Manifest, arrays: dict[str, np.ndarray]
) -> None:
    """Each task's figures are those that sklearn gives for outputs computed by hand."""
    found = evaluate(session, tiny_manifest.tasks, tiny_manifest.inputs[0], arrays)
    expected = _expected(arrays["image"])
    assert found.keys() == {"kind", "size"}
    assert found["kind"]["accuracy"] == pytest.approx(accuracy_score(arrays["label"], expected["kind"].argmax(axis=1)))
    assert found["size"]["mae"] == pytest.approx(mean_absolute_error(arrays["area"], expected["size"]), rel=1e-5)


@pytest.mark.parametrize("missing", ["image", "label", "area"])
def test_test_data_that_lacks_an_array_is_refused(
    session: onnxruntime.InferenceSession, tiny_manifest: Manifest, arrays: dict[str, np.ndarray], missing: str
) -> None:
    """The message names the array and those that there are."""
    del arrays[missing]
    with pytest.raises(DataError) as caught:
        evaluate(session, tiny_manifest.tasks, tiny_manifest.inputs[0], arrays)
    assert str(caught.value) == f"test data: no array {missing!r}, found {', '.join(sorted(arrays))}"


@pytest.mark.parametrize(
    ("name", "array", "rule"),
    [
        ("image", np.zeros((4, 3), np.uint8), r"'image' must have the shape \('batch', 2\), found \(4, 3\)"),
        ("image", np.zeros((4, 2, 1), np.uint8), r"'image' must have the shape \('batch', 2\), found \(4, 2, 1\)"),
        ("area", np.zeros(3), r"'area' must have one entry per sample, found 3"),
    ],
)
def test_test_data_of_another_shape_is_refused(
    tiny_model: bytes, tiny_manifest: Manifest, name: str, array: np.ndarray, rule: str
) -> None:
    """The message names the array, the rule and what was found."""
    arrays = {"image": np.zeros((4, 2), np.uint8), "label": np.zeros(4), "area": np.arange(4.0)} | {name: array}
    with pytest.raises(DataError, match=f"test data: {rule}"):
        evaluate(open_session(tiny_model), tiny_manifest.tasks, tiny_manifest.inputs[0], arrays)


@pytest.mark.parametrize(
    ("name", "array", "rule"),
    [
        ("label", np.array([0, 1, 2, 3]), "'label': classes = 3 allows the labels 0 to 2 (-1: no label), found 1"),
        ("label", np.full(4, -1), "'label': at least one label must be given, found none"),
        ("area", np.array(["a", "b", "c", "d"]), "'area': must be numbers, found dtype <U1"),
        ("area", np.full((4, 1), 2.0), "'area': labels must have the shape (N,), found (4, 1)"),
    ],
)
def test_test_labels_that_their_task_forbids_are_refused(
    tiny_model: bytes, tiny_manifest: Manifest, name: str, array: np.ndarray, rule: str
) -> None:
    """The same rules as for training data, so that no metric is computed of nonsense."""
    arrays = {"image": np.zeros((4, 2), np.uint8), "label": np.zeros(4), "area": np.arange(4.0)} | {name: array}
    with pytest.raises(DataError) as caught:
        evaluate(open_session(tiny_model), tiny_manifest.tasks, tiny_manifest.inputs[0], arrays)
    assert str(caught.value).startswith(f"test data: {rule}")


def test_missing_labels_count_nowhere(
    session: onnxruntime.InferenceSession, tiny_manifest: Manifest, arrays: dict[str, np.ndarray]
) -> None:
    """Metrics over samples of which some have no label are those over the samples that have one."""
    tasks, source = tiny_manifest.tasks, tiny_manifest.inputs[0]
    holed = arrays | {"label": np.where(np.arange(30) < 20, arrays["label"], -1)}
    holed["area"] = np.where(np.arange(30) < 20, arrays["area"], np.nan)
    expected = evaluate(session, tasks, source, {name: array[:20] for name, array in arrays.items()})
    found = evaluate(session, tasks, source, holed)
    for task, values in expected.items():
        assert found[task] == pytest.approx(values)


def test_a_missing_scikit_learn_is_told_with_the_command_that_installs_it(
    session: onnxruntime.InferenceSession,
    tiny_manifest: Manifest,
    arrays: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A target box that measures latency only does not need it."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delitem(sys.modules, "sklearn.metrics")
    with pytest.raises(MissingExtraError) as caught:
        evaluate(session, tiny_manifest.tasks, tiny_manifest.inputs[0], arrays)
    assert str(caught.value) == (
        "this needs the package 'sklearn', which is not installed: pip install 'mtl-edge[metrics]'"
    )


def test_outputs_that_are_no_numbers_are_refused(
    session: onnxruntime.InferenceSession, tiny_manifest: Manifest, arrays: dict[str, np.ndarray]
) -> None:
    """The message names the output."""
    pixels = msgspec.structs.replace(tiny_manifest.inputs[0].preprocessing, std=(1e-40, 1.0))
    source = msgspec.structs.replace(tiny_manifest.inputs[0], preprocessing=pixels)
    with (
        np.errstate(all="ignore"),
        pytest.raises(ModelError, match=r"output 'kind': values must be finite, found \d+ NaN or inf in a batch of 30"),
    ):
        evaluate(session, tiny_manifest.tasks, source, arrays)
