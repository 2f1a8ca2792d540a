"""Folders of models: what fails is a row, and what was measured before a kill is not measured again."""

import dataclasses
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.artifact import Manifest, write_artifact
from mtl_edge.bench.contender import Contender, contenders
from mtl_edge.bench.describe import Described
from mtl_edge.bench.machine import Conditions, this_machine
from mtl_edge.bench.many import Shelf, measure_many, models_in
from mtl_edge.bench.monitor import Monitor
from mtl_edge.bench.process import Process
from mtl_edge.bench.results import Benchmark, Failure, Result
from mtl_edge.bench.settings import Settings
from mtl_edge.bench.suite import GROUP, benchmark
from mtl_edge.errors import BenchError

QUICK = Settings(
    threads=(1,), rounds=2, round_seconds=0.01, round_runs=1, cold_starts=1, memory_repeats=0, keep_going=True
)
ON_X86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="ARM divides without a trap")


@pytest.fixture
def crashing_model(tmp_path: Path) -> Path:
    """The least int64 over -1: no int64 is the quotient, and x86 kills the process that asks for it."""
    constants = {"zero": 0, "least": -(2**63), "one": 1}
    nodes = [
        helper.make_node("Mul", ["x", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "least"], ["above"]),
        helper.make_node("Sub", ["zeros", "one"], ["below"]),
        helper.make_node("Div", ["above", "below"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "crashes",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, ["n"])],
        [numpy_helper.from_array(np.array([value], np.int64), name) for name, value in constants.items()],
    )
    path = tmp_path / "crashes.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def hungry_model(tmp_path: Path) -> Path:
    """Makes 1 GiB of floats out of one number."""
    nodes = [helper.make_node("Expand", ["x", "size"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "hungry",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1 << 28])],
        [numpy_helper.from_array(np.array([1 << 28]), "size")],
    )
    path = tmp_path / "hungry.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@ON_X86
def test_a_model_that_kills_its_process_is_a_failure_beside_the_others_results(
    matmul_model: Path, crashing_model: Path
) -> None:
    """And so is one that is cut off; the others are measured."""
    cut_off = matmul_model.with_name("cut.onnx")
    cut_off.write_bytes(matmul_model.read_bytes()[:-200])
    found = benchmark(contenders([matmul_model, crashing_model, cut_off]), settings=QUICK)
    assert [result.name for result in found.results] == ["small"]
    reasons = {failed.name: failed.reason for failed in found.failures}
    assert reasons["crashes"] == f"{crashing_model}: the measuring process crashed (SIGFPE)"
    assert reasons["cut"].startswith(f"{cut_off}: is not an ONNX model: ")


def test_a_base_that_fails_ends_the_benchmark(matmul_model: Path) -> None:
    """There is nothing to compare the others to."""
    broken = matmul_model.with_name("broken.onnx")
    broken.write_text("no model")
    with pytest.raises(BenchError, match=r"broken\.onnx: is not an ONNX model"):
        benchmark(contenders([matmul_model]), base=contenders([broken])[0], settings=QUICK)


def test_a_process_that_does_not_answer_is_stopped(matmul_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the seconds that it has."""
    monkeypatch.setattr("mtl_edge.bench.process.WORKER", ("-c", "import time; time.sleep(60)"))
    with pytest.raises(BenchError, match=r"small\.onnx: no answer within 0\.5 s; the process was stopped"):
        benchmark(contenders([matmul_model]), settings=Settings(timeout_s=0.5))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
def test_a_model_that_needs_more_memory_than_it_may_take_is_a_failure_that_says_so(
    matmul_model: Path, hungry_model: Path
) -> None:
    """The others are measured under the same limit."""
    settings = dataclasses.replace(QUICK, memory_limit_bytes=1 << 29)
    found = benchmark(contenders([matmul_model, hungry_model]), settings=settings)
    assert [result.name for result in found.results] == ["small"]
    (failed,) = found.failures
    assert failed.reason.startswith(f"{hungry_model}: must do with 0.50 GiB of memory, found that it needs more: ")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
def test_inputs_that_do_not_fit_into_memory_are_told_likewise(matmul_model: Path) -> None:
    """They are made in the measuring process, too."""
    settings = Settings(batches=(1 << 23,), memory_limit_bytes=1 << 29)
    with pytest.raises(BenchError, match=r"small\.onnx: must do with 0\.50 GiB of memory.*Unable to allocate"):
        benchmark(contenders([matmul_model]), settings=settings)


def test_a_model_that_never_answers_is_stopped_before_its_metrics_are_asked_for(
    tiny_model: bytes, tiny_manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metrics may take however long the samples take, so one run has to be in time first."""
    model = write_artifact(tmp_path, tiny_model, tiny_manifest).path
    asked: list[str] = []

    def ask(self: Process, what: str, **details: object) -> object:
        asked.append(what)
        raise BenchError("no answer")

    monkeypatch.setattr(Process, "ask", ask)
    with pytest.raises(BenchError, match="no answer"):
        benchmark(contenders([model]), settings=Settings(data=tmp_path / "test.npz"))
    assert asked == ["cold-start"]


def test_what_was_put_away_is_found_again_unless_the_model_has_changed(matmul_model: Path, tmp_path: Path) -> None:
    """Other settings, another base or another content of the file have places of their own."""
    base, model = contenders([matmul_model, Path(shutil.copy(matmul_model, tmp_path / "copy.onnx"))])
    machine = this_machine()
    shelf = Shelf.beside(tmp_path / "out.json", QUICK, machine, base)
    failed = Failure(name="copy", paths=(str(model.paths[0]),), reason="because")
    shelf.put(model, failed)
    assert shelf.get(model) == failed
    assert shelf.get(base) is None
    assert Shelf.beside(tmp_path / "out.json", Settings(), machine, base).get(model) is None
    model.paths[0].write_bytes(b"changed")
    assert shelf.get(model) is None


def test_a_file_that_is_written_piece_by_piece_is_one_benchmark(matmul_model: Path, tmp_path: Path) -> None:
    """With all results, the base's first, and all failures; the shelf is gone."""
    (tmp_path / "models").mkdir()
    for name in ("a", "b"):
        shutil.copy(matmul_model, tmp_path / "models" / f"{name}.onnx")
    (tmp_path / "models" / "broken.onnx").write_text("no model")
    models = contenders(models_in(tmp_path / "models"))
    file, machine = tmp_path / "out.json", this_machine()
    shelf = Shelf.beside(file, QUICK, machine, models[0])
    found = dict(measure_many(models, base=models[0], settings=QUICK, monitor=Monitor(), shelf=shelf))
    shelf.write(file, models, machine, Conditions())
    written = msgspec.json.decode(file.read_bytes(), type=Benchmark)
    assert [*written.results, *written.failures] == [found[model] for model in models]
    assert [type(found[model]) for model in models] == [Result, Result, Failure]
    assert (written.base, written.machine) == ("a", machine)
    assert not shelf.folder.exists()


def test_results_of_many_models_are_never_in_memory_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group of them at most, two while one follows the other; the measuring itself is made up here."""
    for number in range(60):
        (tmp_path / f"{number}.onnx").write_text(str(number))
    models = contenders(models_in(tmp_path))
    made = weakref.WeakSet[Result]()

    class Tracked(Result, frozen=True, weakref=True):
        """A result of which it is known whether it is still there."""

        def __hash__(self) -> int:
            return id(self)

    def result(model: Contender) -> Result:
        tracked = Tracked(
            name=model.name,
            paths=tuple(map(str, model.paths)),
            file_bytes=1,
            manifests=(),
            inputs="",
            cold_starts=(),
            latencies=(),
        )
        made.add(tracked)
        return tracked

    def measure(
        base: Described, others: Sequence[Described], *, base_is_known: bool, **rest: object
    ) -> tuple[list[Result], list[Failure]]:
        known = [] if base_is_known else [result(base.model)]
        return [*known, *(result(other.model) for other in others)], []

    def look(model: Contender, settings: Settings) -> Described:
        return Described(model, (), "", frozenset(), None, None)

    monkeypatch.setattr("mtl_edge.bench.many.describe", look)
    monkeypatch.setattr("mtl_edge.bench.many.measure_group", measure)
    names, most = [], 0
    for model, _ in measure_many(models, base=models[0], settings=QUICK, monitor=Monitor(), shelf=None):
        names.append(model.name)
        most = max(most, len(made))
    assert names == [model.name for model in models]
    assert most <= 2 * GROUP + 3


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    """The message names it."""
    with pytest.raises(BenchError, match=r"must hold \.onnx files, found none"):
        models_in(tmp_path)


@pytest.mark.slow
def test_a_benchmark_that_was_killed_goes_on(matmul_model: Path, tmp_path: Path) -> None:
    """By SIGKILL, when the first of three models was done: its samples are the same in the end."""
    folder, file = tmp_path / "models", tmp_path / "out.json"
    folder.mkdir()
    for name in ("a", "b", "c"):
        shutil.copy(matmul_model, folder / f"{name}.onnx")
    options = "--threads 1 --rounds 2 --seconds 0.01 --runs 1 --cold-starts 1 --memory-repeats 0"
    arguments = ["bench", str(folder), *options.split(), "--json", str(file)]
    one_by_one = f"import mtl_edge.bench.many as many, mtl_edge.cli as cli; many.GROUP = 1; cli.main({arguments!r})"
    killed = subprocess.Popen([sys.executable, "-c", one_by_one], stdout=subprocess.DEVNULL)
    partial = tmp_path / "out.json.partial"
    while killed.poll() is None and not list(partial.glob("*.result.json")):
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    kept = [msgspec.json.decode(path.read_bytes(), type=Result) for path in partial.glob("*.result.json")]
    assert 0 < len(kept) < 3
    assert not file.exists()
    done = subprocess.run([sys.executable, "-c", one_by_one], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = msgspec.json.decode(file.read_bytes(), type=Benchmark).results
    assert [result.name for result in results] == ["a", "b", "c"]
    assert all(result in results for result in kept)
    assert not partial.exists()
