"""The ARM64 build of everything: the C++ client, and ONNX Runtime with mtl-edge's own benchmark, under QEMU.

What is computed is what an ARM64 box would compute; how long it takes says nothing.
"""

import json
import os
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from clients.conftest import Probe
from clients.cpp_kits import EVERY_KIND, ROOT, STRICT
from clients.fetch import ARM64, ARM64_PACKAGES
from clients.tools import fetched, program

from mtl_edge.artifact import Manifest
from mtl_edge.bench.results import Benchmark
from mtl_edge.kits.goldens import golden_samples
from mtl_edge.runtime import open_session

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
MODEL = ROOT / "models" / "mnist-pairs" / "model.onnx"


@pytest.fixture(scope="session")
def emulator() -> list[str]:
    """What stands before the name of an ARM64 program."""
    found = program("qemu-aarch64", "qemu-aarch64-static", install="apt-get install qemu-user")
    return [found, "-L", str(fetched(ARM64))]


@pytest.fixture(scope="session")
def arm64(probe_of: Callable[..., Probe], emulator: list[str]) -> Probe:
    """The probe, compiled for ARM64."""
    compiler = program("aarch64-linux-gnu-g++", install="apt-get install g++-aarch64-linux-gnu")
    return probe_of(compiler, ("-O2", *STRICT), emulator)


@pytest.fixture(scope="session")
def runtime() -> dict[str, str]:
    """The environment that names the ARM64 library."""
    return {"MTL_EDGE_ONNXRUNTIME": str(next(fetched(ARM64_PACKAGES).glob("onnxruntime/capi/libonnxruntime.so.*")))}


@pytest.mark.parametrize("kit", ["adult", "mnist-pairs"])
def test_int8_answers_on_arm64_are_those_of_x86_to_the_last_bit(
    arm64: Probe, runtime: dict[str, str], kit: str
) -> None:
    """The golden vectors that x86 wrote are met with a tolerance of 0, where no x86 kernel cuts sums off."""
    done = arm64.ask(kit, arm64.kits / kit, "check", 0, env=runtime)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4 golden vectors")


def test_fp32_answers_on_arm64_are_those_of_x86_but_for_rounding(
    arm64: Probe, runtime: dict[str, str], tmp_path: Path
) -> None:
    """Outputs of every kind of task are within 1e-6 of the largest; what enters the network has the same bits."""
    folder = arm64.kits / EVERY_KIND
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
    (source,) = manifest.inputs
    raw = golden_samples([source], 3)[source.array]
    raw.tofile(tmp_path / "raw.bin")
    done = arm64.ask(EVERY_KIND, folder, "run", tmp_path / "raw.bin", tmp_path / "out.bin", env=runtime)
    assert done.returncode == 0, done.stderr
    inputs = source.preprocessing.apply(raw)
    content = (tmp_path / "out.bin").read_bytes()
    assert content[: inputs.nbytes] == inputs.tobytes()
    tasks = [task.name for task in manifest.tasks]
    place = inputs.nbytes
    for wanted in open_session(folder / "model.onnx").run(tasks, {source.name: inputs}):
        found = np.frombuffer(content, np.float32, wanted.size, place).reshape(wanted.shape)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())
        place += wanted.nbytes
    assert place == len(content)


def test_the_benchmark_runs_on_arm64(emulator: list[str], tmp_path: Path) -> None:
    """With the base install alone: it starts its processes, loads, runs, measures, and knows what box it is on."""
    interpreter = tmp_path / "python"
    python = next(fetched(ARM64).glob("usr/bin/python3.*"))
    interpreter.write_text(f'#!/bin/sh\nexec {" ".join(emulator)} {python} "$@"\n')
    interpreter.chmod(0o755)
    script = f"""
        import sys
        sys.executable = {str(interpreter)!r}  # without it, new processes would have no emulator
        from pathlib import Path
        import msgspec, numpy, onnxruntime
        from mtl_edge.bench.contender import contenders
        from mtl_edge.bench.settings import Settings
        from mtl_edge.bench.suite import benchmark
        settings = Settings(threads=(1,), rounds=2, round_seconds=0.01, cold_starts=1, memory_repeats=0)
        measured = benchmark(contenders([Path({str(MODEL)!r})]), settings=settings)
        session = onnxruntime.InferenceSession({str(MODEL)!r})
        outputs = session.run(None, {{"image": numpy.load("image.npy")}})
        numpy.savez("outputs.npz", *outputs)
        Path("bench.json").write_bytes(msgspec.json.encode(measured))
    """
    image = np.random.default_rng(0).standard_normal((4, 1, 36, 36)).astype(np.float32)
    np.save(tmp_path / "image.npy", image)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{fetched(ARM64_PACKAGES)}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [interpreter, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    measured = msgspec.json.decode((tmp_path / "bench.json").read_bytes(), type=Benchmark)
    assert measured.machine.system == "Linux aarch64"
    assert "asimddp" in measured.machine.isa
    assert json.loads((tmp_path / "bench.json").read_bytes())["results"][0]["latencies"][0]["rounds_ms"]
    found = np.load(tmp_path / "outputs.npz")
    for name, wanted in zip(found, open_session(MODEL).run(None, {"image": image}), strict=True):
        np.testing.assert_array_equal(found[name], wanted)
