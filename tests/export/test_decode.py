"""A graph that decodes gives what the Python client makes of its outputs, for every kind of task."""

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import onnx
import pytest

from mtl_edge.errors import ModelError
from mtl_edge.export.decode import decode_in_graph
from mtl_edge.runtime import open_session
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

COUNT, HEIGHT, WIDTH = 50, 4, 3
TASKS: dict[str, Task] = {
    "multiclass": Multiclass(name="t", target="t", classes=5),
    "binary": Binary(name="t", target="t"),
    "multilabel": Multilabel(name="t", target="t", classes=4),
    "ordinal": Ordinal(name="t", target="t", classes=6),
    "regression": Regression(name="t", target="t"),
    "segmentation": Segmentation(name="t", target="t", classes=3),
    "dense-regression": DenseRegression(name="t", target="t"),
}
each_kind = pytest.mark.parametrize("kind", TASKS)
Build = Callable[..., bytes]


def _outputs(task: Task) -> np.ndarray:
    """Outputs of a network, small and large, with ties and zeros among them."""
    shape = (COUNT, task.width, *((HEIGHT, WIDTH) if task.dense else ()))
    outputs = np.random.default_rng(0).standard_normal(shape) * 4
    outputs[0], outputs[1], outputs[2] = 0, 30, -60
    return outputs.astype(np.float32)


def _run(task: Task, outputs: np.ndarray, echo: Build) -> dict[str, np.ndarray]:
    """The answers of a graph that decodes, by their meaning."""
    model, answers = decode_in_graph(echo("x", ("n", *outputs.shape[1:]), [task.name]), [task])
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    session = open_session(model)
    names = [item.name for item in session.get_outputs()]
    found = dict(zip(names, session.run(names, {"x": outputs}), strict=True))
    np.testing.assert_array_equal(found[task.name], outputs)
    assert names == [task.name, *(answer.output for answer in answers)]
    for answer in answers:
        assert found[answer.output].dtype == answer.dtype
        assert found[answer.output].shape[1:] == answer.shape[1:]
    return {answer.meaning: found[answer.output] for answer in answers}


def test_every_kind_is_tried() -> None:
    """A kind that is added must be decoded, too."""
    assert {type(task) for task in TASKS.values()} == set(get_args(Task))


@each_kind
def test_answers_are_those_of_the_python_client(kind: str, echo: Build, client: Any) -> None:
    """What is decided is the same to the bit; probabilities are within 1e-6."""
    task = TASKS[kind]
    outputs = _outputs(task)
    found = _run(task, outputs, echo)
    expected = client._DECODERS[kind](outputs)
    match kind:
        case "multiclass":
            assert found["label"].tolist() == [answer.label for answer in expected]
            most = [answer.probability for answer in expected]
            np.testing.assert_allclose(found["probabilities"].max(axis=1), most, rtol=0, atol=1e-6)
            np.testing.assert_allclose(found["probabilities"].sum(axis=1), 1, rtol=0, atol=1e-6)
        case "binary":
            assert found["yes"].tolist() == [answer.yes for answer in expected]
            shares = [answer.probability for answer in expected]
            np.testing.assert_allclose(found["probability"], shares, rtol=0, atol=1e-6)
        case "multilabel":
            assert [tuple(row.nonzero()[0]) for row in found["labels"]] == [answer.labels for answer in expected]
            shares = [answer.probabilities for answer in expected]
            np.testing.assert_allclose(found["probabilities"], shares, rtol=0, atol=1e-6)
        case "ordinal":
            assert found["rank"].tolist() == [answer.rank for answer in expected]
            np.testing.assert_allclose(found["above"], [answer.above for answer in expected], rtol=0, atol=1e-6)
        case "regression":
            assert found["value"].tolist() == [answer.value for answer in expected]
        case "segmentation":
            np.testing.assert_array_equal(found["labels"], [answer.labels for answer in expected])
        case "dense-regression":
            np.testing.assert_array_equal(found["values"], [answer.values for answer in expected])


@each_kind
def test_old_operator_sets_decode_too(kind: str, echo: Build) -> None:
    """From 13 on; before, it is an error that says so."""
    task, shape = TASKS[kind], ("n", *_outputs(TASKS[kind]).shape[1:])
    model, answers = decode_in_graph(echo("x", shape, ["t"], opset=13), [task])
    assert len(open_session(model).get_outputs()) == 1 + len(answers)
    with pytest.raises(ModelError, match="must have operator set 13 or later, found 12"):
        decode_in_graph(echo("x", shape, ["t"], opset=12), [task])


def test_more_classes_than_a_byte_holds_are_decoded(echo: Build) -> None:
    """Labels of pixels are as narrow as the classes allow, of the types that all clients read."""
    task = Segmentation(name="t", target="t", classes=300)
    outputs = np.zeros((1, 300, 2, 2), np.float32)
    outputs[0, 299] = 1
    labels = _run(task, outputs, echo)["labels"]
    assert labels.dtype == np.int32
    assert (labels == 299).all()


def test_names_that_are_taken_and_outputs_that_are_missing_are_named(echo: Build) -> None:
    """Both would make the graph ambiguous."""
    task = TASKS["regression"]
    with pytest.raises(ModelError, match=r"the name 't\.value' must be free for an answer"):
        decode_in_graph(echo("x", ("n", 1), ["t", "t.value"]), [task])
    with pytest.raises(ModelError, match="task 't' must have an output of its name, found other"):
        decode_in_graph(echo("x", ("n", 1), ["other"]), [task])
