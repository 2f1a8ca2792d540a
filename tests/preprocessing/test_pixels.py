"""Tests of :mod:`mtl_edge.preprocessing.pixels`."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sklearn.preprocessing import StandardScaler

from mtl_edge.preprocessing import Pixels, fit_pixels

_IMAGES = npst.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)))


@given(_IMAGES)
def test_input_is_raw_times_scale_minus_mean_over_std(raw: np.ndarray) -> None:
    """The formula of the docstring, channel by channel, in float64."""
    count = raw.shape[1]
    preprocessing = Pixels(
        raw_dtype="uint8",
        scale=1 / 255,
        mean=tuple(0.25 * (channel + 1) for channel in range(count)),
        std=tuple(0.5 + channel for channel in range(count)),
    )
    found = preprocessing.apply(raw)
    assert (found.shape, found.dtype) == (raw.shape, np.float32)
    for channel in range(count):
        expected = (raw[:, channel] / 255 - preprocessing.mean[channel]) / preprocessing.std[channel]
        np.testing.assert_allclose(found[:, channel], expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_fitted_pixels_are_standardised_as_by_sklearn(dtype: type[np.unsignedinteger]) -> None:
    """Each channel of the training images gets mean 0 and standard deviation 1."""
    top = np.iinfo(dtype).max
    raw = np.random.default_rng(0).integers(0, [[[[top]], [[top // 2]], [[top // 5]]]], (20, 3, 6, 6)).astype(dtype)
    found = np.moveaxis(fit_pixels(raw).apply(raw), 1, -1).reshape(-1, 3)
    expected = StandardScaler().fit_transform(np.moveaxis(raw, 1, -1).reshape(-1, 3).astype(np.float64))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@given(_IMAGES)
def test_any_pixels_give_finite_inputs(raw: np.ndarray) -> None:
    """A constant channel does not divide by zero."""
    preprocessing = fit_pixels(raw)
    assert (preprocessing.raw_dtype, preprocessing.scale) == ("uint8", 1 / 255)
    assert all(std > 0 for std in preprocessing.std)
    assert np.isfinite(preprocessing.apply(raw)).all()


@given(npst.arrays(np.float32, (3, 2, 4), elements=st.floats(-1e6, 1e6, width=32)))
def test_floating_point_inputs_pass_unchanged(raw: np.ndarray) -> None:
    """Who brings floats has prepared them."""
    np.testing.assert_array_equal(fit_pixels(raw).apply(raw), raw)


def test_signed_integers_are_standardised_in_their_own_unit() -> None:
    """Signed integers are no pixels: nothing is divided by their largest value."""
    raw = np.array([[-10, 5], [30, 5]], np.int16)
    preprocessing = fit_pixels(raw)
    assert preprocessing == Pixels(raw_dtype="int16", scale=1.0, mean=(10.0, 5.0), std=(20.0, 1.0))
    np.testing.assert_allclose(preprocessing.apply(raw), [[-1, 0], [1, 0]], atol=1e-6)


@given(_IMAGES)
def test_preprocessing_survives_its_json_exactly(raw: np.ndarray) -> None:
    """A client that reads the manifest computes the same inputs, bit for bit."""
    fitted = fit_pixels(raw)
    read = msgspec.json.decode(msgspec.json.encode(fitted), type=Pixels)
    np.testing.assert_array_equal(read.apply(raw), fitted.apply(raw))
