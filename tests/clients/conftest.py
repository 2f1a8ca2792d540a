"""Fixtures that the tests of several clients share."""

from pathlib import Path

import numpy as np
import pytest
from clients import trials


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the models that clients are tried on."""
    folder = tmp_path_factory.mktemp("models")
    trials.write_models(folder)
    return folder


@pytest.fixture(scope="session")
def pictures() -> list[np.ndarray]:
    """Pictures that clients are to make samples of."""
    return trials.pictures()
