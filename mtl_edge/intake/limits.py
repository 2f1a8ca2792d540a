"""How much memory a process may take that runs a model: more, and the model fails instead of the box.

Imports nothing that takes time, because processes that measure start often.
"""

import re
import sys

LARGEST_SHARE = 0.9
"""Of the memory that is free: what is left keeps the box alive."""

_WORDS = re.compile("bad_alloc|allocate memory|requires? more than [0-9]+ bytes")
"""What ONNX Runtime says when memory ends; it has no type of error for it."""


def free_to_take() -> int:
    """Bytes that one process may take now without harm to the others."""
    import psutil

    return int(LARGEST_SHARE * psutil.virtual_memory().available)


def limit_memory(allowed: int) -> None:
    """Let this process allocate so many bytes and no more; on Linux only. What it maps from files does not count."""
    if sys.platform != "linux":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory came to its end."""
    return isinstance(error, MemoryError) or bool(_WORDS.search(str(error)))
