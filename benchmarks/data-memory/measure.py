"""Does memory grow with the data? Prepares data sets of some size and reads them in batches, seen from outside.

Usage: python benchmarks/data-memory/measure.py [GIB [FILE.json]]     (4 GiB each; writes measure.json beside this file)

Linux only: anonymous memory, which is what a process allocates, is told from mapped files, which the system drops
when it needs the room.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from mtl_edge.bench.machine import this_machine
from mtl_edge.data.source import prepare
from mtl_edge.data.splits import load_splits_from
from mtl_edge.recipe import load_recipe

MIB = 2**20
INTERVAL_S = 0.005
BATCH = 128
IMAGE = (3, 64, 64)
NUMBERS, TEXTS = 60, 4
RECIPE = """
[data]
source = "{source}"
input = "input"
[tasks.kind]
kind = "multiclass"
target = "label"
classes = 3
[tasks.size]
kind = "regression"
target = "area"
[net]
trunk = "resnet"
"""


def write_npy(folder: Path, size: int) -> str:
    """Random images with two targets, as many as fill the size in bytes; the source's name."""
    rng = np.random.default_rng(0)
    count = size // int(np.prod(IMAGE))
    (folder / "arrays").mkdir()
    images = np.lib.format.open_memmap(folder / "arrays" / "input.npy", "w+", np.uint8, (count, *IMAGE))
    for start in range(0, count, 4096):
        images[start : start + 4096] = rng.integers(0, 256, images[start : start + 4096].shape, dtype=np.uint8)
    np.save(folder / "arrays" / "label.npy", rng.integers(0, 3, count))
    np.save(folder / "arrays" / "area.npy", rng.standard_normal(count))
    return "npy:arrays"


def write_parquet(folder: Path, size: int) -> str:
    """Rows of numbers and texts with two targets, as many as fill the size in bytes; the source's name."""
    rng = np.random.default_rng(0)
    count = size // (8 * (NUMBERS + TEXTS))
    words = np.array([f"word {number}" for number in range(1000)])
    writer = None
    for start in range(0, count, 100_000):
        rows = min(100_000, count - start)
        table = pa.table(
            {f"n{column}": rng.standard_normal(rows) for column in range(NUMBERS)}
            | {f"t{column}": words[rng.integers(0, 1000, rows)] for column in range(TEXTS)}
            | {"label": rng.integers(0, 3, rows), "area": rng.standard_normal(rows)}
        )
        writer = writer or pq.ParquetWriter(folder / "rows.parquet", table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return "parquet:rows.parquet"


def work(folder: Path) -> None:
    """What is measured: prepare, then one epoch of random batches."""

    def enter(phase: str) -> None:
        (folder / "phase").write_text(phase)

    recipe = load_recipe(folder / "recipe.toml")
    target = folder / "prepared"
    target.mkdir()
    enter("ready")
    time.sleep(0.2)
    enter("prepare")
    preprocessing = prepare(recipe, target)
    enter("read")
    train = load_splits_from(target).train
    order = np.random.default_rng(0).permutation(len(train))
    for start in range(0, len(train), BATCH):
        rows = order[start : start + BATCH]
        preprocessing.apply(train["input"][rows])
        for task in recipe.tasks:
            task.labels(train[task.target][rows])


def memory(process: int) -> dict[str, float]:
    """Anonymous and mapped resident memory in MiB."""
    lines = (line.split() for line in Path(f"/proc/{process}/status").read_text().splitlines())
    found = {words[0].rstrip(":"): words[1] for words in lines if len(words) > 1}
    return {key: int(found[name]) / 1024 for key, name in (("anonymous_mib", "RssAnon"), ("mapped_mib", "RssFile"))}


def measure(write: Callable[[Path, int], str], size: int) -> dict[str, object]:
    """Write a data set, work on it in a process of its own, and look at its memory all the while."""
    with tempfile.TemporaryDirectory(prefix="data-memory-") as name:
        folder = Path(name)
        source = write(folder, size)
        (folder / "recipe.toml").write_text(RECIPE.format(source=source))
        (folder / "phase").write_text("start")
        written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        samples: list[dict[str, object]] = []
        started = time.perf_counter()
        with subprocess.Popen([sys.executable, __file__, "--work", name]) as child:
            while child.poll() is None:
                phase = (folder / "phase").read_text()
                try:
                    seen = memory(child.pid)
                except (KeyError, FileNotFoundError, ProcessLookupError):  # it is ending
                    continue
                samples.append({"seconds": round(time.perf_counter() - started, 3), "phase": phase, **seen})
                time.sleep(INTERVAL_S)
        assert child.returncode == 0, "the work failed"
    peaks = {
        phase: {
            key: max(float(str(sample[key])) for sample in samples if sample["phase"] == phase)
            for key in ("anonymous_mib", "mapped_mib", "seconds")
        }
        for phase in ("ready", "prepare", "read")
    }
    step = max(len(samples) // 200, 1)
    return {"source": source.partition(":")[0], "mib": written / MIB, "peaks": peaks, "samples": samples[::step]}


def main() -> None:
    """Measure both kinds, print the peaks, keep the course of time."""
    if sys.argv[1:2] == ["--work"]:
        work(Path(sys.argv[2]))
        return
    size = int(float(sys.argv[1]) * 2**30) if len(sys.argv) > 1 else 4 * 2**30
    into = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_suffix(".json")
    runs = [measure(write, size) for write in (write_npy, write_parquet)]
    print(f"{'source':<9}{'data MiB':>9}{'at rest':>9}{'prepare':>9}{'read':>7}   (peak anonymous MiB)")
    for run in runs:
        values = [run["peaks"][phase]["anonymous_mib"] for phase in ("ready", "prepare", "read")]  # type: ignore[index]
        print(f"{run['source']:<9}{run['mib']:>9.0f}{values[0]:>9.0f}{values[1]:>9.0f}{values[2]:>7.0f}")
    result = {"machine": msgspec.to_builtins(this_machine()), "runs": runs}
    into.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
