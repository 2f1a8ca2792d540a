"""Fetch what the tests of JavaScript and Kotlin clients run with, from npm.

Run as a script, ``python tests/clients/npm.py``, once; what is there already is left alone. Needs npm. Nothing is
installed: all of it lies in a folder of the user's cache.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mtl_edge.storage import cache_folder

_TOOLS = cache_folder() / "client-tools"
_FETCH = "python tests/clients/npm.py"

JAVASCRIPT = {
    "onnxruntime-node": "1.30.0",
    "onnxruntime-web": "1.30.0",
    "typescript": "7.0.2",
    "@types/node": "20.19.43",
}
"""What JavaScript clients run on and are checked by."""

KOTLIN = {"kotlin-compiler": "2.4.20", "com.github.asus4.onnxruntime": "0.4.9"}
"""A compiler, and a package that has ONNX Runtime's library for Android among its files."""


def packages(wanted: dict[str, str]) -> Path:
    """The ``node_modules`` with some packages; without them the test is skipped, or fails on CI."""
    from clients.tools import lacking  # not where this file runs as a script

    folder = _place(wanted)
    if not folder.is_dir():
        lacking(f"npm packages {', '.join(wanted)}", _FETCH)
    return folder / "node_modules"


def _place(wanted: dict[str, str]) -> Path:
    names = "+".join(f"{name.replace('/', '-')}-{version}" for name, version in sorted(wanted.items()))
    return _TOOLS / f"npm-{names}"


def _fetch(wanted: dict[str, str]) -> None:
    folder = _place(wanted)
    if folder.is_dir():
        return
    print(f"fetching {folder}", flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder.parent))
    try:
        (temporary / "package.json").write_text(json.dumps({"private": True, "dependencies": wanted}))
        environment = {**os.environ, "ONNXRUNTIME_NODE_INSTALL": "skip"}  # no libraries for CUDA from elsewhere
        command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, cwd=temporary, env=environment, check=True)
        temporary.chmod(0o755)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


if __name__ == "__main__":
    if shutil.which("npm") is None:
        sys.exit("npm: must be installed, found none: apt-get install npm")
    for group in (JAVASCRIPT, KOTLIN):
        _fetch(group)
