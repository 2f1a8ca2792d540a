"""The commands and programs of docs/web.md and docs/android.md do what is said there, so far as they can run here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from clients.npm import JAVASCRIPT, packages
from clients.tools import program

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def _blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in a language."""
    text = (ROOT / "docs" / page).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def _shell(commands: str, folder: Path) -> str:
    """Run commands as a reader would, with this Python's ``mtl-edge``; what they print."""
    scripts = folder / "bin"
    scripts.mkdir(exist_ok=True)
    command = scripts / "mtl-edge"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mtl_edge "$@"\n')
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    options = {"cwd": folder, "env": environment, "capture_output": True, "text": True, "check": False}
    done = subprocess.run(["bash", "-eu", "-c", commands], **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    assert isinstance(done.stdout, str)
    return done.stdout


def test_the_path_to_node_and_the_browser_is_true(tmp_path: Path) -> None:
    """Kits are written, Node's example prints answers, and the program of the page runs; npm's packages are at hand."""
    program("node", install="apt-get install nodejs")
    modules = packages(JAVASCRIPT)
    export, node, web = _blocks("web.md", "sh")
    (tmp_path / "models").symlink_to(ROOT / "models")
    _shell(export, tmp_path)
    for kit in ("kit-node", "kit-web"):
        (tmp_path / kit / "node_modules").symlink_to(modules)
    printed = _shell(node.replace("npm install\n", ""), tmp_path)
    assert "mnist-pairs pruned-int8: 4 golden vectors agree on this machine" in printed
    assert web == "cd kit-web\nnpm install\nnpm start\n"
    first, second = _blocks("web.md", "js")
    (tmp_path / "app.mjs").write_text(f"const pixels = new Uint8Array(36 * 36);\n{first}")
    assert re.fullmatch(r"\d \d -?[\d.]+\n", _shell("node app.mjs", tmp_path))
    for name in re.findall(r'from "(.*)"', second):
        assert (tmp_path / name).is_file()


def test_the_path_to_android_is_true(finished_run: Path, tmp_path: Path) -> None:
    """A run's fp32 model becomes int8 for ARM, and a kit; Gradle's tasks are those of the kit's README."""
    export, gradle = _blocks("android.md", "sh")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mnist-pairs").symlink_to(finished_run)
    printed = _shell(export, tmp_path)
    assert "kit      kit-android" in printed
    assert gradle.removeprefix("cd kit-android\n") in (tmp_path / "kit-android" / "README.md").read_text()
    for part in ("settings.gradle.kts", "app/build.gradle.kts", "mtl_edge/build.gradle.kts", "model.onnx"):
        assert (tmp_path / "kit-android" / part).is_file()
