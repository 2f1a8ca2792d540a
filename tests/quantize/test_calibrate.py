"""Tests of :mod:`mtl_edge.quantize.calibrate`."""

import numpy as np
import onnxruntime
import pytest
from onnx import helper, parser

from mtl_edge.errors import DataError
from mtl_edge.quantize.calibrate import calibrate, samples_of_a_batch
from mtl_edge.quantize.prepare import prepare


@pytest.fixture
def prepared(tiny_model: bytes) -> bytes:
    """The tiny model with shapes."""
    return prepare(tiny_model)


def test_ranges_are_those_of_the_runtimes_outputs(prepared: bytes) -> None:
    """Over several batches, of different sizes."""
    rng = np.random.default_rng(0)
    batches = [{"image": rng.standard_normal((size, 2)).astype(np.float32)} for size in (3, 8, 1)]
    observed = calibrate(prepared, batches)
    session = onnxruntime.InferenceSession(prepared)
    outputs = np.concatenate([session.run(["kind"], batch)[0] for batch in batches])
    assert observed["kind"].low == pytest.approx(outputs.min())
    assert observed["kind"].high == pytest.approx(outputs.max())
    assert observed["image"].counts.sum() == 24


def test_a_generator_is_read_once(prepared: bytes) -> None:
    """Data that streams from a disk need not be seen twice."""
    seen = []

    def stream():  # type: ignore[no-untyped-def]
        for index in range(3):
            seen.append(index)
            yield {"image": np.ones((2, 2), np.float32)}

    calibrate(prepared, stream())
    assert seen == [0, 1, 2]


@pytest.mark.parametrize(("side", "expected"), [(8, 32), (256, 16), (512, 4), (2048, 1)])
def test_a_batch_has_fewer_samples_where_they_compute_more(side: int, expected: int) -> None:
    """A power of two, so that activations take 8 MiB at most; or as many as were asked for; one at least."""
    graph = parser.parse_graph(
        f"""
        graph (float[n, 1, {side}, {side}] image) => (float[n, 1, {side}, {side}] y) {{
            x = Neg(image)
            y = Exp(x)
        }}
        """
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert samples_of_a_batch(prepare(model.SerializeToString()), most=32) == expected


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "at least one sample is needed, found none"),
        ([{"picture": np.ones((2, 2), np.float32)}], "inputs must be image, found picture"),
        ([{"image": np.ones((2, 3), np.float32)}], "batch 0 does not fit the model"),
        ([{"image": np.ones((2, 2), np.float64)}], "batch 0 does not fit the model"),
        (
            [{"image": np.ones((2, 2), np.float32)}, {"image": np.full((2, 2), np.inf, np.float32)}],
            "tensor 'image' in batch 1: values must be finite",
        ),
    ],
)
def test_data_that_does_not_fit_is_one_line(prepared: bytes, batches: list, message: str) -> None:
    """Each names the rule and what was found."""
    with pytest.raises(DataError, match=message) as caught:
        calibrate(prepared, batches)
    assert "\n" not in str(caught.value)


def test_a_missing_number_is_taken_as_its_columns_mean() -> None:
    """A range cannot end at NaN, in a graph that looks for it."""
    graph = parser.parse_graph("""
        g (float[n,2] image) => (float[n,2] y) {
        gone = IsNaN(image)
        zero = Constant<value_float=0.0>()
        y = Where(gone, zero, image)
    }""")
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    image = np.array([[1, np.nan], [3, 5]], np.float32)
    observed = calibrate(prepare(model.SerializeToString()), [{"image": image}])["image"]
    assert (observed.low, observed.high) == (1, 5)


def test_nan_is_refused_where_the_graph_does_not_look_for_it(prepared: bytes) -> None:
    """There it is a mistake in the data."""
    with pytest.raises(DataError, match="tensor 'image' in batch 0: values must be finite, found NaN"):
        calibrate(prepared, [{"image": np.array([[1, np.nan], [3, 5]], np.float32)}])
