"""An environment for each peer, made of its pinned requirements."""

import hashlib
import sys
import venv
from pathlib import Path

from costs import ToolError, run

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ALONE = {"PYTHONPATH": ""}
"""Nothing of the environment that this runs in."""
_INSTALL_LIMIT_S = 3600


def python_of(peer: str, envs: Path) -> Path:
    """The interpreter of a peer's environment, which is made, or changed, where its requirements say so.

    Raises:
        ToolError: it cannot be installed.
    """
    folder = envs / peer
    python = folder / "bin" / "python"
    wanted = hashlib.sha256(requirements(peer).read_bytes() + sys.version.encode()).hexdigest()
    mark = folder / "installed"
    if mark.exists() and mark.read_text() == wanted:
        return python
    print(f"{peer}: installing into {folder}", flush=True)
    if not python.exists():
        venv.create(folder, with_pip=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements(peer))]
    try:
        run(install, log=folder / "install.log", limit_s=_INSTALL_LIMIT_S, folder=ROOT, env=ALONE)
    except ToolError as error:
        raise ToolError(f"does not install: {error}") from error
    mark.write_text(wanted)
    return python


def requirements(peer: str) -> Path:
    """The pinned requirements of a peer."""
    return HERE / "peers" / f"{peer}.txt"


def version(peer: str) -> str:
    """The pinned version of the tool itself, which stands first."""
    return next(line for line in requirements(peer).read_text().splitlines() if line and not line.startswith("#"))
