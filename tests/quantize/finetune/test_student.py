"""Tests of :mod:`mtl_edge.quantize.finetune.student` and :mod:`mtl_edge.quantize.finetune.agreement`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from mtl_edge.bench.machine import TargetName
from mtl_edge.errors import ModelError
from mtl_edge.quantize.emulate import Emulator
from mtl_edge.quantize.finetune.agreement import check_agreement, steps_apart
from mtl_edge.quantize.finetune.student import Student
from mtl_edge.quantize.form import Form
from mtl_edge.quantize.int8_layers import constants_of
from mtl_edge.quantize.saturation import HIGHEST
from mtl_edge.quantize.static import insert_form, with_qdq
from mtl_edge.quantize.target import Target
from mtl_edge.runtime import open_session


def _graph(form: Form, target: Target) -> onnx.GraphProto:
    return with_qdq(form.model, form.ranges, target, pinned=form.pinned).graph


def _student(case: Any) -> Student:
    return Student(_graph(case.form, case.target), case.form, saturates=case.target.saturates)


def _shaken(student: Student, by: float) -> Student:
    """With all that can be trained moved at random."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for group, size in (
            (student.numbers, by),
            (student.biases, by),
            (student.weight_steps, 0.02 * by),
            (student.activation_steps, 0.02 * by),
        ):
            for parameter in group:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * size)
    student.settle()
    return student


@pytest.mark.parametrize("by", [0.0, 3.0])
def test_torch_computes_what_the_written_file_does(case: Any, by: float) -> None:
    """Before training and after anything that it could have done: no value is off by more than a step."""
    student = _shaken(_student(case), by)
    model = insert_form(student.trained(), case.target)
    inputs = {"x": torch.from_numpy(case.data.arrays["x"])}
    check_agreement(student, model, inputs)
    with torch.no_grad():
        found = student(inputs)
    names = ["kind", "size"]
    for name, answer in zip(names, open_session(model).run(names, {"x": inputs["x"].numpy()}), strict=True):
        assert (steps_apart(found[name].numpy(), answer) > 1).mean() <= 0.001


@pytest.mark.parametrize("name", ["x86-vnni", "x86-avx2", "arm64"])
def test_the_file_has_the_very_numbers_that_were_trained(
    make_case: Callable[[TargetName], Any], name: TargetName
) -> None:
    """Weights to the last bit, scales to the last but one; and each has moved."""
    case = make_case(name)
    student = _shaken(_student(case), 3.0)
    before, after = (_graph(form, case.target) for form in (case.form, student.trained()))
    first, last = constants_of(before), constants_of(after)
    assert [node.op_type for node in before.node] == [node.op_type for node in after.node]
    weights = [name for name, value in last.items() if value.dtype == np.int8 and value.ndim > 1]
    assert len(weights) == len(student.numbers) == 4
    trained = {tuple(numbers.shape): numbers.detach().round().numpy() for numbers in student.numbers}
    for weight in weights:
        np.testing.assert_array_equal(last[weight], trained[last[weight].shape])
        assert (first[weight] != last[weight]).any()
    np.testing.assert_array_equal(first["x_scale"], last["x_scale"])  # what comes in stays as it is
    for scale in ("b_scale", "w1_scale"):
        assert not np.allclose(first[scale], last[scale], rtol=1e-3)
    zeros = {key: value for key, value in first.items() if key.endswith("_zero_point")}
    assert all((last[key] == value).all() for key, value in zeros.items())


def test_trained_weights_cannot_saturate(case: Any) -> None:
    """Where a target adds two products in 16 bits, pairs of weights fit however far they were moved."""
    bounds = Emulator(insert_form(_shaken(_student(case), 40.0).trained(), case.target)).bounds
    assert 0 < max(bounds.values()) <= HIGHEST


def test_zeros_stay_zero(case: Any) -> None:
    """The step of channels of zeros means nothing; others are of masks, or beside the blocks of merged layers."""
    proto = onnx.load_from_string(case.form.model)
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "w1")
    values = onnx.numpy_helper.to_array(weight).copy()
    values[3] = values[2, 0] = 0
    weight.CopyFrom(onnx.numpy_helper.from_array(values, "w1"))
    form = Form(proto.SerializeToString(), case.form.original, case.form.ranges)
    student = _shaken(Student(_graph(form, case.target), form, saturates=True), 3.0)
    written = constants_of(_graph(student.trained(), case.target))["w1_quantized"]
    assert not written[3].any()
    assert not written[2, 0].any()
    assert written[2, 1:].any()


def test_an_unknown_operator_is_named(case: Any) -> None:
    """One line says which node has it."""
    graph = _graph(case.form, case.target)
    graph.node.append(helper.make_node("Inverse", ["e"], ["f"], name="odd", domain="com.microsoft"))
    with pytest.raises(ModelError, match=r"^finetune: node 'odd' .*: the operator com.microsoft.Inverse$"):
        Student(graph, case.form, saturates=True)


def test_what_does_not_agree_is_refused(case: Any) -> None:
    """The share of values that differ is said."""
    with pytest.raises(ModelError, match=r"must compute what ONNX Runtime does on this box, found 9\d\.\d% of kind"):
        check_agreement(
            _shaken(_student(case), 9.0),
            insert_form(case.form, case.target),
            {"x": torch.from_numpy(case.data.arrays["x"])},
        )
