"""One benchmark on one box over SSH, from nothing but Python there."""

import json
from collections.abc import Callable, Mapping

import msgspec

from mtl_edge.bench.results import Benchmark
from mtl_edge.errors import BenchError
from mtl_edge.remote.job import Job, Parcel
from mtl_edge.remote.ssh import Agent, open_agent
from mtl_edge.remote.target import SshBox
from mtl_edge.remote.there import Request
from mtl_edge.storage import sha256_of

Note = Callable[[str], None]
"""Told of each step that begins."""


async def measure_over_ssh(box: SshBox, job: Job, parcel: Parcel, note: Note) -> Benchmark:
    """Bring what is needed, measure, and leave nothing behind but the environment, if that is to be kept.

    Raises:
        BenchError: something failed; the temporary folder is gone all the same.
    """
    note("connect")
    async with open_agent(box) as agent:
        there = await agent.ask("hello", seconds=int(job.timeout_s) + 60)
        await agent.put("code.zip", parcel.code)
        await agent.ask("unpack", path="code.zip", into="code")
        key = _environment_key(there, parcel)
        if not (job.keep_environment and await agent.ask("has-environment", key=key)):
            note("environment")
            await _make_environment(agent, job, parcel, key)
        note("models")
        places = job.places
        for path, place in job.files.items():
            await agent.put(place, path)
        note("measure")
        request = Request(models=tuple(places.values()), first_is_base=job.against is not None, settings=job.settings)
        answer = await agent.ask(
            "run",
            key=key,
            keep=job.keep_environment,
            arguments=["-m", "mtl_edge.remote.there"],
            input=msgspec.json.encode(request).decode(),
        )
        note("done")
    return with_own_paths(read_benchmark(answer), {place: str(path) for path, place in places.items()})


def read_benchmark(content: bytes) -> Benchmark:
    """What a box answered.

    Raises:
        BenchError: it is no benchmark.
    """
    try:
        return msgspec.json.decode(content, type=Benchmark)
    except msgspec.DecodeError as error:
        raise BenchError(f"its answer must be the JSON of a benchmark: {error}") from error


def with_own_paths(measured: Benchmark, paths: Mapping[str, str]) -> Benchmark:
    """The same with the models' paths here, in the place of those on the box."""
    results = [
        msgspec.structs.replace(result, paths=tuple(paths.get(path, path) for path in result.paths))
        for result in measured.results
    ]
    failures = [
        msgspec.structs.replace(failed, paths=tuple(paths.get(path, path) for path in failed.paths))
        for failed in measured.failures
    ]
    return msgspec.structs.replace(measured, results=tuple(results), failures=tuple(failures))


async def _make_environment(agent: Agent, job: Job, parcel: Parcel, key: str) -> None:
    await agent.put("pip.zip", parcel.pip)
    await agent.ask("unpack", path="pip.zip", into="pip")
    for path in parcel.wheels:
        await agent.put(f"wheels/{path.name}", path)
    await agent.ask("make-environment", key=key, keep=job.keep_environment, pip=parcel.pip_arguments)


def _environment_key(there: Mapping[str, str], parcel: Parcel) -> str:
    """What decides on the content of an environment: the box's Python, and what is installed with it."""
    python = there["python"].rpartition(".")[0]
    parts = [python, there["machine"], parcel.pip_arguments, sorted(parcel.wheels.values())]
    return sha256_of(json.dumps(parts).encode())[:16]
