"""Every command of docs/only-onnx.md and docs/own-net.md is run as it stands there, in that order."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file

from mtl_edge.artifact import Manifest
from mtl_edge.kits.kit import KIT_FILE

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


class _Runs(Protocol):
    def run(self, names: Any, feeds: Any, /) -> Sequence[np.ndarray]: ...


def _blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def _shell(page: str, folder: Path) -> str:
    """Run a page's commands as a reader would, with this Python's ``mtl-edge``; what they print."""
    (folder / "bin").mkdir()
    for name, arguments in (("mtl-edge", "-m mtl_edge"), ("python", "")):
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (folder / "bin" / name).chmod(0o755)
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    edit = "cp edited.toml tasks.toml\n"
    commands = edit + "".join(block + edit * ("> tasks.toml" in block) for block in _blocks(page, "sh"))
    quick = "mtl-edge bench --rounds 2 --cold-starts 1 --memory-repeats 1 --threads 1 --seconds 0.02"
    commands = commands.replace("mtl-edge bench", quick)
    (toml,) = _blocks(page, "toml")
    (folder / "edited.toml").write_text(toml)
    assert commands.count("mtl-edge") >= 5
    command = ["bash", "-eu", "-c", commands]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _write_samples(folder: Path, session: _Runs, name: str, size: int) -> None:
    """Random images, and labels that the network meets but for a fifth of their spread."""
    rng = np.random.default_rng(0)
    for file, count in (("train", 64), ("test", 200)):
        levels = rng.uniform(0, 255, (count, 3, 1, 1))
        images = np.clip(levels + rng.normal(0, 40, (count, 3, size, size)), 0, 255).astype(np.uint8)
        kind, age = session.run(None, {name: ((images / 255 - 0.5) / 0.25).astype(np.float32)})
        age = age.reshape(count)
        labels = {"kind": kind.argmax(1), "age": age + (age.std() / 5 * rng.standard_normal(count)).astype(np.float32)}
        arrays: dict[str, Any] = {name: images, **labels}
        np.savez(folder / f"{file}.npz", **arrays)


def test_the_path_from_an_onnx_alone_to_kits_is_true(foreign: Callable[..., bytes], tmp_path: Path) -> None:
    """A graph from elsewhere: described, measured by task, int8 within its budgets, cut, and checked in a kit."""
    (tmp_path / "yours.onnx").write_bytes(foreign())
    _write_samples(tmp_path, onnxruntime.InferenceSession(tmp_path / "yours.onnx"), "pixels", 8)
    printed = _shell("only-onnx.md", tmp_path)
    assert "accuracy" in printed
    assert "MAE" in printed
    assert "4 golden vectors agree" in printed
    manifest = msgspec.json.decode((tmp_path / "kit" / "manifest.json").read_bytes(), type=Manifest)
    assert manifest.lineage.steps == ("describe", "static int8")
    for kit in ("kit-cpp", "kit-node"):
        assert (tmp_path / kit / KIT_FILE).is_file()
    assert [item.name for item in onnxruntime.InferenceSession(tmp_path / "kind.onnx").get_outputs()] == ["kind"]


def test_the_path_from_a_network_of_ones_own_to_kits_is_true(tmp_path: Path) -> None:
    """The network of the page, untrained: a kit in one go, and int8 within a budget before it."""
    (code,) = _blocks("own-net.md", "python")
    (tmp_path / "mynet.py").write_text(code)
    names: dict[str, type[torch.nn.Module]] = {}
    exec(code, names)
    torch.manual_seed(0)
    net = names["Net"]()
    save_file(net.state_dict(), tmp_path / "mynet.safetensors")
    _write_samples(tmp_path, _Torch(net), "image", 32)
    printed = _shell("own-net.md", tmp_path)
    assert "kit      kit-cpp" in printed
    assert "4 golden vectors agree" in printed


class _Torch:
    """A network that is run as a session is."""

    def __init__(self, net: torch.nn.Module) -> None:
        self.net = net.eval()

    def run(self, names: None, feeds: Mapping[str, np.ndarray], /) -> Sequence[np.ndarray]:
        """All outputs."""
        with torch.inference_mode():
            return [value.numpy() for value in self.net(*map(torch.from_numpy, feeds.values())).values()]
