"""The native client's benchmark on an Android device, through ``adb``."""

import asyncio
import random
import re
import shlex
import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from mtl_edge.bench.contender import Contender, contenders
from mtl_edge.bench.results import Benchmark, Failure, Result
from mtl_edge.bench.settings import Settings
from mtl_edge.errors import BenchError
from mtl_edge.remote.box import Note, read_benchmark
from mtl_edge.remote.job import Job
from mtl_edge.remote.target import AndroidBox
from mtl_edge.storage import sha256_of_file

_TEMPORARY = "/data/local/tmp/mtl-edge-XXXXXXXX"
_MADE = re.compile(r"/data/local/tmp/mtl-edge-\w+")
_LIBRARIES = "libonnxruntime.so*"


class _Device:
    """One device; every word of a command is quoted for its shell, which reads them all as one line."""

    def __init__(self, adb: str, serial: str | None) -> None:
        self._adb = [adb, *(["-s", serial] if serial else [])]

    async def shell(self, *words: str) -> bytes:
        """Run a command there, and give what it wrote."""
        return await self._call("shell", shlex.join(words))

    async def push(self, source: Path, target: str) -> None:
        """Copy a file there; its SHA-256 is compared."""
        await self._call("push", str(source), target)
        digest = (await self.shell("sha256sum", target)).decode(errors="replace").split()[:1]
        expected = await asyncio.to_thread(sha256_of_file, source)
        if digest != [expected]:
            raise BenchError(f"{source.name} must have the SHA-256 {expected} there, found {' '.join(digest)}")

    async def pull(self, source: str) -> bytes:
        """A file's content."""
        return await self._call("exec-out", shlex.join(["cat", source]))

    async def _call(self, *arguments: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *self._adb,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            said = (errors or out).decode(errors="replace").strip().splitlines() or [f"status {process.returncode}"]
            raise BenchError(f"adb {arguments[0]}: {said[-1]}")
        return out


async def measure_on_android(box: AndroidBox, job: Job, note: Note) -> Benchmark:
    """Push the client, ONNX Runtime where it lies beside it, and the models; let them take turns; leave nothing behind.

    A turn is a process of its own with one cold start and one round of each number of threads.

    Raises:
        BenchError: there is no ``adb``, no device or no client, or none of the models could be measured.
    """
    adb = shutil.which("adb")
    if adb is None:
        raise BenchError("adb must be on the PATH, found none: it comes with the Android SDK's platform tools")
    if job.client is None:
        raise BenchError("--client must name mtl_edge_bench, built for the device from a C++ kit; found none")
    _check(job.settings)
    device = _Device(adb, box.serial)
    note("connect")
    folder = (await device.shell("mktemp", "-d", _TEMPORARY)).decode(errors="replace").strip()
    if not _MADE.fullmatch(folder):
        raise BenchError(f"mktemp there must name a folder, found {folder!r}")
    try:
        note("client")
        libraries = sorted(job.client.parent.glob(_LIBRARIES))
        for path in (job.client, *libraries):
            await device.push(path, f"{folder}/{path.name}")
        program = f"{folder}/{job.client.name}"
        await device.shell("chmod", "755", program)
        note("models")
        models = contenders(list(job.places))
        places = {model: f"{folder}/{number}.onnx" for number, model in enumerate(models)}
        for model, place in places.items():
            await device.push(model.paths[0], place)
        found = [f"MTL_EDGE_ONNXRUNTIME={folder}/{path.name}" for path in libraries[:1]]
        note("measure")
        return await _take_turns(device, ["env", *found, program], places, job)
    finally:
        await device.shell("rm", "-rf", folder)


def _check(settings: Settings) -> None:
    """Refuse what the native client does not measure."""
    if len(settings.batches) > 1 or settings.dims or settings.scenario != "latency" or settings.duration_s:
        raise BenchError("the native client measures latency with one batch size; it knows no --dim and no scenario")


async def _take_turns(device: _Device, program: Sequence[str], places: Mapping[Contender, str], job: Job) -> Benchmark:
    """Round after round, one turn of each model in random order."""
    settings, order = job.settings, random.Random(0)
    turns: dict[Contender, list[Benchmark]] = {model: [] for model in places}
    failures: dict[Contender, Failure] = {}
    options = {
        "--threads": ",".join(map(str, settings.threads)),
        "--batch": str(settings.batches[0]),
        "--rounds": "1",
        "--seconds": str(settings.round_seconds),
        "--cold-starts": "1",
    }
    fixed = [word for pair in options.items() for word in pair]
    for _ in range(settings.rounds):
        for model in order.sample(list(places), len(places)):
            if model in failures:
                continue
            answer = f"{places[model]}.json"
            try:
                await device.shell(*program, "--model", places[model], *fixed, "--json", answer)
                turns[model].append(read_benchmark(await device.pull(answer)))
            except BenchError as error:
                paths = tuple(map(str, model.paths))
                failures[model] = Failure(name=model.name, paths=paths, reason=str(error))
    measured = [_joined(model, found) for model, found in turns.items() if model not in failures]
    if not measured:
        raise BenchError(next(iter(failures.values())).reason)
    base = measured[0] if job.against else next((result for result in measured if _is_root(result)), measured[0])
    results = [base, *(result for result in measured if result is not base)]
    machine = next(iter(found[0].machine for found in turns.values() if found))
    return Benchmark(
        machine=machine,
        base=base.name,
        results=tuple(_against(result, base) for result in results),
        failures=tuple(failures.values()),
    )


def _joined(model: Contender, turns: Sequence[Benchmark]) -> Result:
    """One result of many turns of one round each."""
    results = [turn.results[0] for turn in turns]
    latencies = tuple(
        msgspec.structs.replace(
            latency,
            rounds_ms=tuple(result.latency(latency.point).rounds_ms[0] for result in results),
            **{
                name: tuple(value for result in results for value in getattr(result.latency(latency.point), name))
                for name in ("base_ms", "runs", "call_ms", "warm_up_runs", "other_load", "energy_j", "resident_bytes")
            },
        )
        for latency in results[0].latencies
    )
    return msgspec.structs.replace(
        results[0],
        name=model.name,
        paths=tuple(map(str, model.paths)),
        cold_starts=tuple(start for result in results for start in result.cold_starts),
        latencies=latencies,
    )


def _against(result: Result, base: Result) -> Result:
    """The same with the base's medians in the same rounds."""
    latencies = [
        msgspec.structs.replace(latency, base_ms=tuple(map(statistics.median, base.latency(latency.point).rounds_ms)))
        for latency in result.latencies
    ]
    return msgspec.structs.replace(result, latencies=tuple(latencies))


def _is_root(result: Result) -> bool:
    return any(manifest.lineage.parent is None for manifest in result.manifests)
