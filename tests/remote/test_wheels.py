"""What is carried to a box."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mtl_edge.errors import BenchError
from mtl_edge.remote.wheels import base_pins, find_wheels, own_code, pip_code


def test_pins_are_the_base_install_and_what_it_needs_in_the_versions_of_this_one() -> None:
    """But nothing that only an extra brings."""
    pins = base_pins()
    assert {"click", "msgspec", "numpy", "onnxruntime", "psutil", "rich", "protobuf"} <= pins.keys()
    assert not {"mtl-edge", "onnx", "torch", "scikit-learn", "asyncssh"} & pins.keys()
    import onnxruntime

    assert pins["onnxruntime"] == onnxruntime.__version__


def test_the_code_is_this_package_and_always_the_same() -> None:
    """Modules only; of the same files the same archive, byte by byte."""
    code = own_code()
    assert code == own_code()
    names = zipfile.ZipFile(io.BytesIO(code)).namelist()
    assert {"mtl_edge/__init__.py", "mtl_edge/remote/there.py"} <= set(names)
    assert all(name.endswith(".py") for name in names)


def test_pip_runs_from_its_archive(tmp_path: Path) -> None:
    """A box that has none needs no more than this."""
    zipfile.ZipFile(io.BytesIO(pip_code())).extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, "-S", tmp_path / "pip", "--version"], capture_output=True, text=True, check=True
    )
    assert str(tmp_path) in done.stdout


def test_a_wheelhouse_must_hold_every_pinned_version(tmp_path: Path) -> None:
    """Names are compared as indexes do; another version is none; the error has the command to get them."""
    for name in (
        "markdown_it_py-4.0-py3-none-any.whl",
        "numpy-2.0-cp311-x.whl",
        "numpy-2.0-cp312-x.whl",
        "rich-1.0-x.whl",
    ):
        (tmp_path / name).touch()
    found = find_wheels(tmp_path, {"markdown-it-py": "4.0", "numpy": "2.0"})
    assert [path.name.split("-")[0] for path in found] == ["markdown_it_py", "numpy", "numpy"]
    with pytest.raises(BenchError, match=r"must hold wheels of rich==2\.0; pip download .* numpy==2\.0 rich==2\.0"):
        find_wheels(tmp_path, {"numpy": "2.0", "rich": "2.0"})
