"""What is true of every kind of task: missing labels, gradients, names, and what survives a file."""

import msgspec
import numpy as np
import pytest
import torch

from mtl_edge.errors import ModelError
from mtl_edge.tasks import (
    Binary,
    DenseRegression,
    Multiclass,
    Multilabel,
    Ordinal,
    Regression,
    Segmentation,
    TargetStatistics,
    Task,
    TaskKind,
    given,
)

COUNT, HEIGHT, WIDTH = 12, 5, 4
_RNG = np.random.default_rng(0)

TASKS: dict[str, Task] = {
    task.__struct_config__.tag: task
    for task in (
        Binary(name="t", target="y", positive_weight=3.0, label_smoothing=0.1),
        DenseRegression(name="t", target="y"),
        Multiclass(name="t", target="y", classes=4, class_weights=(1.0, 2.0, 0.5, 1.0), label_smoothing=0.1),
        Multilabel(name="t", target="y", classes=3, positive_weight="balanced", label_smoothing=0.1),
        Ordinal(name="t", target="y", classes=4, class_weights="balanced", label_smoothing=0.1),
        Regression(name="t", target="y"),
        Segmentation(name="t", target="y", classes=4, class_weights="balanced", label_smoothing=0.1),
    )
}

each_kind = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


def _targets(task: Task) -> np.ndarray:
    """Labels of each sample or pixel, as floats, so that NaN can stand for a missing one."""
    shape = (COUNT, HEIGHT, WIDTH) if task.dense else (COUNT, 3) if isinstance(task, Multilabel) else (COUNT,)
    count = 2 if isinstance(task, Binary | Multilabel) else 4
    return _RNG.permutation(np.arange(np.prod(shape)) % count).reshape(shape).astype(np.float32)


def _outputs(task: Task) -> np.ndarray:
    shape = (COUNT, task.width, HEIGHT, WIDTH) if task.dense else (COUNT, task.width)
    return _RNG.standard_normal(shape).astype(np.float32)


def _with_gaps(targets: np.ndarray) -> np.ndarray:
    """Every third label missing."""
    holed = targets.copy()
    holed.reshape(-1)[::3] = np.nan
    return holed


def _per_label(task: Task, outputs: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """Where the outputs ``(N, width, …)`` stand for nothing but labels that are missing: bool, of their shape."""
    if isinstance(task, Multilabel):
        return gone
    return np.broadcast_to(np.expand_dims(gone, 1), outputs.shape)


def test_every_kind_is_tested() -> None:
    """A new kind is held to the same rules."""
    assert set(TASKS) == {kind.__struct_config__.tag for kind in Task.__args__}


@each_kind
def test_a_kind_has_every_member_of_the_protocol(task: TaskKind) -> None:
    """What the rest of the line calls is there; mypy checks the types."""
    assert all(hasattr(task, name) for name in vars(TaskKind) if not name.startswith("_"))


@each_kind
def test_a_task_survives_a_file(task: Task) -> None:
    """A manifest's JSON gives the task back, of the same kind."""
    assert msgspec.json.decode(msgspec.json.encode(task), type=Task) == task


@each_kind
def test_metrics_are_named_as_they_are_measured(task: Task) -> None:
    """Reports find every declared metric in what is measured, the first one first, as a finite Python float."""
    found = task.measure(task.decode(_outputs(task)), _targets(task))
    assert list(found) == [metric.name for metric in task.metrics]
    assert all(type(value) is float and np.isfinite(value) for value in found.values())


@each_kind
def test_only_errors_are_better_when_lower(task: Task) -> None:
    """Answers that are right have no error and the best of all else; wrong ones are worse, by every metric."""
    targets = _targets(task)
    wrong, right = task.measure(_answers(task, 1 - targets), targets), task.measure(_answers(task, targets), targets)
    for metric in task.metrics:
        assert right[metric.name] == (1.0 if metric.higher_is_better else 0.0)
        assert (wrong[metric.name] < right[metric.name]) == metric.higher_is_better


def _answers(task: Task, targets: np.ndarray) -> np.ndarray:
    """What a network decodes to that answers with these."""
    if isinstance(task, Binary | Multilabel):
        return targets.reshape(COUNT, -1) - 0.5
    return targets if isinstance(task, Regression | DenseRegression) else targets.clip(0).astype(np.int64)


@each_kind
def test_whole_and_missing_labels_have_no_fault(task: Task) -> None:
    """NaN stands for a label that nobody gave, and so does -1 where labels are classes."""
    targets = _with_gaps(_targets(task))
    assert task.find_fault(targets) is None
    assert task.find_fault(np.full_like(targets, np.nan)) is None
    labels = task.labels(targets)
    np.testing.assert_array_equal(given(labels), ~np.isnan(targets))
    if labels.dtype == np.int64:
        assert task.find_fault(labels) is None
        assert task.find_fault(labels.astype(np.int8)) is None
        np.testing.assert_array_equal(task.labels(labels.astype(np.int8)), labels)


@each_kind
@pytest.mark.parametrize("change", ["further axis", "axis less", "infinity"])
def test_labels_of_another_shape_and_infinite_ones_are_a_fault(task: Task, change: str) -> None:
    """The message is one line."""
    targets = _targets(task)
    match change:
        case "further axis":
            targets = targets[..., None]
        case "axis less":
            targets = targets[0]
        case _:
            targets.reshape(-1)[-1] = np.inf
    fault = task.find_fault(targets)
    assert fault is not None
    assert "\n" not in fault
    assert "inf" in fault if change == "infinity" else f"found {targets.shape}" in fault


@each_kind
def test_a_missing_label_has_no_loss_and_no_gradient(task: Task) -> None:
    """Losses are those of the labels that were given, whatever stands in the outputs of the others."""
    targets = _targets(task)
    holed = _with_gaps(targets)
    gone = np.isnan(holed)
    statistics = task.fit(targets)
    outputs = torch.from_numpy(_outputs(task)).requires_grad_()
    whole = task.losses(outputs, torch.from_numpy(task.labels(targets)), statistics)
    losses = task.losses(outputs, torch.from_numpy(task.labels(holed)), statistics)
    assert losses.shape == ((~gone).sum(),)
    torch.testing.assert_close(losses, whole[torch.from_numpy(~gone).reshape(-1)])
    losses.sum().backward()
    assert outputs.grad is not None
    missing = torch.from_numpy(_per_label(task, outputs.detach().numpy(), gone).copy())
    assert (outputs.grad[missing] == 0).all()
    assert (outputs.grad[~missing] != 0).all()


@each_kind
def test_a_batch_without_labels_has_no_losses_and_can_be_differentiated(task: Task) -> None:
    """Nothing given, nothing learned, and nothing breaks."""
    outputs = torch.from_numpy(_outputs(task)).requires_grad_()
    nothing = task.labels(np.full_like(_targets(task), np.nan))
    losses = task.losses(outputs, torch.from_numpy(nothing), task.fit(_targets(task)))
    assert losses.shape == (0,)
    losses.sum().backward()
    assert outputs.grad is not None
    assert (outputs.grad == 0).all()


@each_kind
def test_a_missing_label_counts_in_no_metric(task: Task) -> None:
    """Metrics stay the same whatever the network says where nobody knows better."""
    holed, outputs = _with_gaps(_targets(task)), _outputs(task)
    other = np.where(_per_label(task, outputs, np.isnan(holed)), 100 * _outputs(task), outputs)
    assert task.measure(task.decode(other), holed) == task.measure(task.decode(outputs), holed)


@each_kind
def test_a_missing_label_counts_in_no_statistic(task: Task) -> None:
    """Samples without any label change nothing of what is fitted."""
    targets = _targets(task)
    fitted, longer = task.fit(targets), task.fit(np.concatenate([targets, np.full_like(targets, np.nan)]))
    assert (longer.mean, longer.std) == pytest.approx((fitted.mean, fitted.std))
    assert longer.class_weights == pytest.approx(fitted.class_weights)


@each_kind
def test_distillation_losses_are_one_for_each_sample_or_pixel_and_zero_for_equal_outputs(task: Task) -> None:
    """A student that says what its teacher says has nothing to learn; any other has."""
    outputs, teacher = torch.from_numpy(_outputs(task)), torch.from_numpy(_outputs(task))
    statistics = TargetStatistics(std=2.0)
    same = task.distillation_losses(outputs, outputs.clone(), statistics, 2.0)
    other = task.distillation_losses(outputs, teacher, statistics, 2.0)
    assert same.shape == other.shape == (COUNT * HEIGHT * WIDTH if task.dense else COUNT,)
    torch.testing.assert_close(same, torch.zeros_like(same), atol=1e-6, rtol=0)
    assert (other > 0).all()


@each_kind
def test_parts_decode_to_what_the_whole_decodes_to(task: Task) -> None:
    """Metrics do not depend on the size of the batches; nothing decoded is larger than the outputs."""
    outputs = _outputs(task)
    whole = task.decode(outputs)
    np.testing.assert_array_equal(np.concatenate([task.decode(outputs[:5]), task.decode(outputs[5:])]), whole)
    assert whole.nbytes <= outputs.nbytes


@each_kind
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_outputs_that_are_no_numbers_are_refused(task: Task, bad: float) -> None:
    """No metric hides that a network computes nonsense."""
    outputs = _outputs(task)
    outputs.reshape(-1)[7] = bad
    with pytest.raises(ModelError, match="output 't': values must be finite, found 1 NaN or inf in a batch of 12"):
        task.decode(outputs)


@pytest.mark.parametrize("kind", ["segmentation", "dense-regression"])
def test_metrics_and_statistics_of_maps_do_not_depend_on_the_parts(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many maps, taken a few at a time, give what all of them give at once."""
    task = TASKS[kind]
    targets, decoded = _with_gaps(_targets(task)), task.decode(_outputs(task))
    targets[4] = np.nan
    whole, fitted = task.measure(decoded, targets), task.fit(targets)
    monkeypatch.setattr("mtl_edge.tasks.base._PART", HEIGHT * WIDTH)
    assert task.measure(decoded, targets) == pytest.approx(whole)
    again = task.fit(targets)
    assert (again.mean, again.std) == pytest.approx((fitted.mean, fitted.std))
    assert again.class_weights == pytest.approx(fitted.class_weights)
