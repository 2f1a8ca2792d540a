"""Load a model and run it once in a process of its own, with limits: what kills that process kills nothing else.

A file can be well-formed and still bring ONNX Runtime down, or make it compute for ever or with all memory, already
while it folds constants. The child process has bounded memory (on Linux) and time; what it says before it ends tells
how far it came. It costs a start of Python and ONNX Runtime, a third of a second.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from mtl_edge.errors import ModelError, last_words
from mtl_edge.intake.limits import free_to_take, limit_memory, ran_out_of_memory

TRUST = "MTL_EDGE_TRUST_MODELS"
"""Environment variable that switches this off, for models that one has made."""

_COMMAND = (sys.executable, "-m", "mtl_edge.intake.probe")
_SECONDS = 60
_BASE_BYTES = 4 << 30
_BYTES_PER_BYTE = 16
_LOADED, _DONE = "loaded", "done"


def probe(path: Path, size: int) -> None:
    """Let a process of its own load a model and run it once on random inputs, open dimensions at 1.

    That the model refuses such inputs is no fault of it.

    Args:
        path: the model's file.
        size: bytes of it and of the files that its weights are in.

    Raises:
        ModelError: ONNX Runtime cannot load it, or died of it, or needed more memory or time than it may.
    """
    if os.environ.get(TRUST):
        return
    command = [*_COMMAND, str(path), str(size)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(_verdict(path, (error.stdout or b"").decode(errors="replace"), None)) from error
    said = done.stdout.decode(errors="replace")
    if done.returncode or not said.endswith(f"{_DONE}\n"):
        raise ModelError(_verdict(path, said, done.returncode))


def _verdict(path: Path, said: str, code: int | None) -> str:
    """What an ended child has to tell: its own word, or what it died of."""
    lines = said.splitlines()
    with contextlib.suppress(IndexError, ValueError, KeyError, TypeError):
        return str(json.loads(lines[-1])["fault"])
    doing = "running" if _LOADED in lines else "loading"
    if code is None:
        return f"{path}: {doing} it must take less than {_SECONDS} s, found no end: its process was stopped"
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"{path}: {doing} it must not bring ONNX Runtime down, found {name}: its process died"
    return f"{path}: {doing} it must not bring ONNX Runtime down, found exit code {code}"


def limits_for(size: int, spare: int) -> int:
    """Bytes of memory that a model's process may take: by the size of its files, and never all that is free."""
    return min(_BASE_BYTES + _BYTES_PER_BYTE * size, spare)


def attempt(path: Path) -> str | None:
    """Load a model and run it once, in this process; why it cannot be loaded, or None. It may not return at all."""
    from mtl_edge.bench.inputs import random_inputs
    from mtl_edge.runtime import open_session

    try:
        session = open_session(path, threads=1)
    except ModelError as error:
        return str(error)
    print(_LOADED, flush=True)
    try:
        session.run(None, random_inputs(session.get_inputs(), batch=1, dims={}, place=str(path)))
    except Exception as error:  # only that it is survived matters, within the memory that there is
        if ran_out_of_memory(error):
            return f"{path}: must run in the memory that it may take, found: {last_words(error)}"
    return None


def _limit(size: int) -> None:
    if sys.platform != "linux":
        return
    import resource

    limit_memory(limits_for(size, free_to_take()))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Try the model that the command line names; after it, the bytes of its files."""
    _limit(int(sys.argv[2]))
    fault = attempt(Path(sys.argv[1]))
    print(json.dumps({"fault": fault}) if fault is not None else _DONE, flush=True)


if __name__ == "__main__":
    main()
