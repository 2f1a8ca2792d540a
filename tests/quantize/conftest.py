"""ONNX Runtime on a processor without VNNI, for the tests of what becomes of int8 there."""

import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

_SCRIPT = """
import sys, pathlib, numpy, onnxruntime
for path in pathlib.Path(sys.argv[1]).glob("*.onnx"):
    session = onnxruntime.InferenceSession(path)
    feeds = {session.get_inputs()[0].name: numpy.load(path.with_suffix(".in.npy"))}
    numpy.save(path.with_suffix(".out.npy"), session.run(None, feeds)[0])
"""


@pytest.fixture
def on_haswell(tmp_path: Path) -> Callable[..., dict[str, np.ndarray]]:
    """Run models on an emulated Haswell: name -> model and input, to name -> the first output."""
    qemu = shutil.which("qemu-x86_64")
    if qemu is None or platform.machine() != "x86_64":
        pytest.skip("needs qemu-x86_64 (Debian's package qemu-user) on an x86-64 machine")

    def run(models: dict[str, tuple[bytes, np.ndarray]]) -> dict[str, np.ndarray]:
        for name, (model, x) in models.items():
            (tmp_path / f"{name}.onnx").write_bytes(model)
            np.save(tmp_path / f"{name}.in.npy", x)
        command = [qemu, "-cpu", "Haswell", sys.executable, "-c", _SCRIPT, str(tmp_path)]
        subprocess.run(command, check=True, capture_output=True, timeout=280)
        return {name: np.load(tmp_path / f"{name}.out.npy") for name in models}

    return run
