"""Run a command and write down what it took: ``launch.py FILE COMMAND…``.

From a process that has nothing in memory, since what a process is forked from counts in its peak memory on Linux, even
where it runs another program from then on.
"""

import json
import os
import sys
import time
from pathlib import Path

report, *command = sys.argv[1:]
started = time.perf_counter()
_, status, usage = os.wait4(os.posix_spawnp(command[0], command, os.environ), 0)
cost = {
    "wall_seconds": time.perf_counter() - started,
    "cpu_seconds": usage.ru_utime + usage.ru_stime,
    "peak_mib": usage.ru_maxrss / 1024,  # KiB on Linux
}
Path(report).write_text(json.dumps(cost), encoding="utf-8")
code = os.waitstatus_to_exitcode(status)
sys.exit(code if code >= 0 else 128 - code)
