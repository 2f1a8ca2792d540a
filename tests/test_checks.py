"""Style and types are part of the tests, so that one command says whether all is well."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["mypy"],
        ["mypy", "--explicit-package-bases", "benchmarks"],  # else two scripts of one name would be one module
    ],
    ids=["lint", "format", "types", "benchmarks' types"],
)
def test_the_source_is_clean(command: list[str]) -> None:
    """The linter, the formatter and the strict type checker have nothing to say.

    The benchmarks' scripts take minutes to run, so their types are how one learns that they lag behind the code.
    """
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
