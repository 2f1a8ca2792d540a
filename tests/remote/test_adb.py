"""The native client on an Android device, as far as an ``adb`` that acts on a folder here can show it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from mtl_edge.bench.settings import Settings
from mtl_edge.cli import main
from mtl_edge.remote.boxes import benchmark_on
from mtl_edge.remote.job import Job
from mtl_edge.remote.results import Boxes
from mtl_edge.remote.target import parse_boxes

_ADB = """#!{python}
# The device is a folder: its shell is a shell here, which finds /data/local/tmp there.
import json, os, pathlib, shutil, subprocess, sys
root, device = pathlib.Path({root!r}), "/data/local/tmp"
arguments = sys.argv[1:]
with (root / "log").open("a") as log:
    log.write(json.dumps(arguments) + "\\n")
if arguments[:1] == ["-s"]:
    if arguments[1] != "emulator-5554":
        sys.exit(f"error: device '{{arguments[1]}}' not found")
    arguments = arguments[2:]
there = lambda text: text.replace(device, str(root / "tmp"))
match arguments:
    case ["push", source, target]:
        if os.environ.get("FULL"):
            sys.exit(f"adb: error: failed to copy '{{source}}' to '{{target}}': No space left on device")
        shutil.copy(source, there(target))
        if os.environ.get("CORRUPT"):
            pathlib.Path(there(target)).write_bytes(b"something else")
    case ["shell" | "exec-out", command]:
        done = subprocess.run(["sh", "-c", there(command)], capture_output=True)
        sys.stdout.buffer.write(done.stdout.replace(str(root / "tmp").encode(), device.encode()))
        sys.stderr.buffer.write(done.stderr)
        sys.exit(done.returncode)
    case _:
        sys.exit("adb: unknown command")
"""

_CLIENT = """#!{python}
# Answers as the C++ client does; a model whose file says "slow" takes twice as long, one that says "bad" fails.
import json, os, pathlib, sys
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
content = pathlib.Path(options["--model"]).read_text()
if content == "bad":
    sys.exit("error: model.onnx: must be the file that was exported, found another")
ms = 2.0 if content == "slow" else 1.0
machine = {{"cpu": "Tensor", "cores": 8, "isa": ["asimddp"], "memory_bytes": 1, "system": "Linux aarch64",
           "versions": {{"onnxruntime": os.environ.get("MTL_EDGE_ONNXRUNTIME", "of the system")}}}}
latencies = [{{"threads": int(threads), "rounds_ms": [[ms] * 5], "base_ms": [ms], "runs": [5]}}
             for threads in options["--threads"].split(",")]
cold = {{"load_ms": 1.0, "first_run_ms": 1.0, "runtime_rss_bytes": 1, "peak_rss_bytes": 2}}
result = {{"name": "x", "paths": [options["--model"]], "file_bytes": len(content), "manifests": [], "inputs": "x",
          "cold_starts": [cold], "latencies": latencies}}
pathlib.Path(options["--json"]).write_text(json.dumps({{"machine": machine, "base": "x", "results": [result]}}))
"""

SETTINGS = Settings(threads=(1, 2), rounds=3, round_seconds=0.01)


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is the device, with an ``adb`` for it on the path; ``log`` in it has what it was asked."""
    root, programs = tmp_path / "device", tmp_path / "programs"
    (root / "tmp").mkdir(parents=True)
    programs.mkdir()
    (programs / "adb").write_text(_ADB.format(python=sys.executable, root=str(root)))
    (programs / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return root


@pytest.fixture
def client(tmp_path: Path) -> Path:
    """A client that was built for it."""
    path = tmp_path / "kit" / "mtl_edge_bench"
    path.parent.mkdir()
    path.write_text(_CLIENT.format(python=sys.executable))
    return path


@pytest.fixture
def write_model(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write what stands for a model."""

    def write(name: str, content: str) -> Path:
        path = tmp_path / f"{name}.onnx"
        path.write_text(content)
        return path

    return write


Write = Callable[[str, str], Path]


def _failure(job: Job, box: str = "adb") -> str:
    (result,) = benchmark_on(parse_boxes([box]), job).boxes
    assert result.benchmark is None
    return result.failure


def test_models_take_turns_and_nothing_is_left(device: Path, client: Path, write_model: Write) -> None:
    """Each turn is one round; together they are a benchmark with ratios to the base of the same round."""
    job = Job((write_model("slow", "slow"), write_model("base", "base")), settings=SETTINGS, client=client)
    job = Job(job.models, against=job.models[1], settings=SETTINGS, client=client)
    (box,) = benchmark_on(parse_boxes(["adb:emulator-5554"]), job).boxes
    assert box.benchmark is not None, box.failure
    base, slow = box.benchmark.results
    assert (box.benchmark.base, base.name, slow.name) == ("base", "base", "slow")
    assert slow.paths == (str(job.models[0]),)
    assert [len(latency.rounds_ms) for latency in slow.latencies] == [3, 3]
    assert len(slow.cold_starts) == 3
    assert box.benchmark.ratio(slow, 2).median == 2.0
    assert box.benchmark.machine.cpu == "Tensor"
    calls = [json.loads(line) for line in (device / "log").read_text().splitlines()]
    assert all(call[:2] == ["-s", "emulator-5554"] for call in calls)
    order = [call[3].partition("--model ")[2].split()[0][-6:] for call in calls if "--model" in call[3]]
    assert sorted(order[:2]) == sorted(order[2:4]) == ["0.onnx", "1.onnx"]
    assert list((device / "tmp").iterdir()) == []


def test_the_runtime_beside_the_client_is_pushed_along(device: Path, client: Path, write_model: Write) -> None:
    """And the client is told of it."""
    (client.parent / "libonnxruntime.so").write_text("a library")
    (box,) = benchmark_on(parse_boxes(["adb"]), Job((write_model("m", "m"),), settings=SETTINGS, client=client)).boxes
    assert box.benchmark is not None, box.failure
    assert box.benchmark.machine.versions["onnxruntime"].endswith("/libonnxruntime.so")


def test_names_of_models_are_not_read_by_the_shell_there(device: Path, client: Path, write_model: Write) -> None:
    """They are not even used."""
    name = "it's $(touch pwned) `touch pwned`"
    (box,) = benchmark_on(parse_boxes(["adb"]), Job((write_model(name, "m"),), settings=SETTINGS, client=client)).boxes
    assert box.benchmark is not None, box.failure
    assert box.benchmark.results[0].name == name
    calls = [json.loads(line) for line in (device / "log").read_text().splitlines()]
    assert not any("pwned" in call[1] for call in calls if call[0] == "shell")
    assert not list(device.rglob("pwned"))


def test_a_model_that_the_client_refuses_is_a_line_and_the_others_go_on(
    device: Path, client: Path, write_model: Write, tmp_path: Path
) -> None:
    """With exit code 1, and the client's own words."""
    models = [str(write_model("good", "good")), str(write_model("bad", "bad"))]
    options = ["--on", "adb", "--client", str(client), "--rounds", "2", "--json", str(tmp_path / "found.json")]
    result = CliRunner().invoke(main, ["bench", *models, *options])
    assert result.exit_code == 1
    assert "Failed: adb: bad: adb shell: error: model.onnx: must be the file that was exported" in result.stdout
    (box,) = msgspec.json.decode((tmp_path / "found.json").read_bytes(), type=Boxes).boxes
    assert box.benchmark is not None
    assert [found.name for found in box.benchmark.results] == ["good"]
    assert _failure(Job((Path(models[1]),), settings=SETTINGS, client=client)).startswith(
        "adb shell: error: model.onnx"
    )


@pytest.mark.parametrize(
    ("variable", "reason"), [("CORRUPT", "mtl_edge_bench must have the SHA-256"), ("FULL", "No space left on device")]
)
def test_what_goes_wrong_on_the_way_is_told_and_cleared(
    device: Path, client: Path, write_model: Write, monkeypatch: pytest.MonkeyPatch, variable: str, reason: str
) -> None:
    """The folder there is removed in any case."""
    monkeypatch.setenv(variable, "1")
    assert reason in _failure(Job((write_model("m", "m"),), settings=SETTINGS, client=client))
    assert list((device / "tmp").iterdir()) == []


def test_what_is_missing_is_told(
    device: Path, client: Path, write_model: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The client, the device, settings that the client does not know, and adb itself."""
    model = write_model("m", "m")
    assert "--client must name mtl_edge_bench" in _failure(Job((model,), settings=SETTINGS))
    assert "device 'other' not found" in _failure(Job((model,), settings=SETTINGS, client=client), "adb:other")
    swept = Settings(batches=(1, 2))
    assert "one batch size" in _failure(Job((model,), settings=swept, client=client))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "adb must be on the PATH" in _failure(Job((model,), settings=SETTINGS, client=client))
