"""What each stage of a run costs: wall time and peak memory, seen from outside the process.

Usage: python benchmarks/run-cost/stages.py [RUNS]     (writes stages.json beside this file)
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import psutil

from mtl_edge.bench.machine import this_machine

RECIPE = "mnist-pairs"
INTERVAL_S = 0.02
STAGES = ("data", "train", "prune", "export", "quantize", "bench")


def stage_of(workdir: Path, last: str) -> str:
    """The stage whose unfinished folder is there; between two stages the earlier one, after the last the report."""
    unfinished = next(iter(workdir.glob("stages/.unfinished-*")), None)
    if unfinished is not None:
        return unfinished.name.split("-")[1]
    return "report" if last == "bench" else last


def largest_rss(process: psutil.Process) -> int:
    """Resident memory of the largest process of the tree."""
    sizes = [0]
    for member in (process, *process.children(recursive=True)):
        try:
            sizes.append(member.memory_info().rss)
        except psutil.NoSuchProcess:
            continue
    return max(sizes)


def one_run() -> dict[str, dict[str, float]]:
    """Run the recipe in a new folder; stage -> seconds and peak_rss_mib."""
    workdir = Path(tempfile.mkdtemp(prefix="run-cost-"))
    cost: dict[str, dict[str, float]] = {}
    stage, started = "start-up", time.perf_counter()
    command = [sys.executable, "-m", "mtl_edge", "run", RECIPE, "--workdir", str(workdir)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            process = psutil.Process(child.pid)
            while child.poll() is None:
                stage = stage_of(workdir, stage)
                entry = cost.setdefault(stage, {"seconds": 0.0, "peak_rss_mib": 0.0})
                entry["peak_rss_mib"] = max(entry["peak_rss_mib"], largest_rss(process) / 2**20)
                time.sleep(INTERVAL_S)
                now = time.perf_counter()
                entry["seconds"] += now - started
                started = now
        finally:
            child.kill()
    shutil.rmtree(workdir)
    assert child.returncode == 0, "the run failed"
    return cost


def main() -> None:
    """Measure, print a table of medians, keep every run."""
    runs = [one_run() for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3)]
    print(f"{'stage':<10}{'seconds':>9}{'peak MiB':>10}")
    for stage in ("start-up", *STAGES, "report"):
        seconds, peak = (statistics.median(run[stage][key] for run in runs) for key in ("seconds", "peak_rss_mib"))
        print(f"{stage:<10}{seconds:>9.1f}{peak:>10.0f}")
    total = statistics.median(sum(entry["seconds"] for entry in run.values()) for run in runs)
    peak = statistics.median(max(entry["peak_rss_mib"] for entry in run.values()) for run in runs)
    print(f"{'all':<10}{total:>9.1f}{peak:>10.0f}")
    result = {"recipe": RECIPE, "machine": msgspec.to_builtins(this_machine()), "runs": runs}
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
