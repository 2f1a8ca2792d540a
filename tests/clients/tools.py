"""Programs and files that tests of real clients need: a machine that lacks one skips the test, CI fails it."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def program(*names: str, install: str) -> str:
    """The path of the first of some programs that is there."""
    return next((found for name in names if (found := shutil.which(name))), None) or lacking(names[0], install)


def fetched(path: Path) -> Path:
    """A file or folder that ``tests/clients/fetch.py`` has fetched."""
    return path if path.exists() else lacking(path.name, "python tests/clients/fetch.py")


def lacking(what: str, install: str) -> NoReturn:
    """Skip a test for what this machine lacks; on CI that is an error."""
    message = f"needs {what}: {install}"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(message)
    pytest.skip(message)
