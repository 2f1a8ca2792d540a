"""The child process that loads one model, or several, and measures them, on the word of its parent.

Each line of standard input is a JSON request, each line of standard output its JSON answer; the process ends when its
input does, so it never outlives its parent. A crash of the runtime stays in here.
"""

import json
import sys
import time
from contextlib import suppress
from pathlib import Path

from mtl_edge.errors import MtlEdgeError, last_words
from mtl_edge.intake.limits import limit_memory, ran_out_of_memory

_BORN = time.perf_counter()


def main() -> None:
    """Serve requests until the input ends; the first one says which model to load."""
    with suppress(OSError):  # where memory runs out, it is this process that has to go, not its parent
        Path("/proc/self/oom_score_adj").write_text("1000")
    before = time.perf_counter()
    import onnxruntime  # here, because what it takes is part of a cold start

    import_ms = 1e3 * (time.perf_counter() - before)
    onnxruntime.set_default_logger_severity(4)
    from mtl_edge.bench.measure import Subject

    subject: Subject | None = None
    place, limit = "", 0
    for line in sys.stdin:
        request = json.loads(line)
        reply: dict[str, object]
        try:
            if subject is None:
                started = {"process_ms": 1e3 * (_BORN - request["spawned"]), "import_ms": import_ms}
                place, limit = ", ".join(request["paths"]), request.get("memory_limit") or 0
                if limit:
                    limit_memory(limit)
                subject = Subject(request)
                reply = {"value": started}
            else:
                reply = {"value": subject.answer(request)}
        except (MtlEdgeError, MemoryError) as error:
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            short = f"{place}: must do with {limit / 2**30:.2f} GiB of memory, found that it needs more: "
            reply = {"error": short + last_words(cause) if limit and ran_out_of_memory(cause) else str(error)}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
