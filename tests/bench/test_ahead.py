"""The first process of a benchmark starts beside the command's imports, and nothing is measured meanwhile."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mtl_edge import __main__ as program
from mtl_edge.bench import process as processes
from mtl_edge.bench import standby
from mtl_edge.bench.ahead import first_look
from mtl_edge.bench.contender import contenders
from mtl_edge.bench.describe import describe
from mtl_edge.bench.process import Child
from mtl_edge.bench.settings import Settings
from mtl_edge.errors import BenchError

LOAD = {"threads": 1, "batch": 1, "dims": {}}
SETTINGS = Settings(threads=(1,), cold_starts=2)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Child]]:
    """All processes that are started, the waiting ones and the others; none waits afterwards."""
    children: list[Child] = []

    def watched(start: Callable[[], Child]) -> Callable[[], Child]:
        def started() -> Child:
            children.append(start())
            return children[-1]

        return started

    monkeypatch.setattr(standby, "Waiting", watched(standby.Waiting))
    monkeypatch.setattr(processes, "_spawn", watched(processes._spawn))
    yield children
    standby.dismiss()


def _runs(child: Child) -> bool:
    """Whether it has not been waited for, to its end, yet."""
    try:
        os.kill(child.pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_process_that_waited_is_the_one_that_is_described(matmul_model: Path, started: list[Child]) -> None:
    """One process in all; load and first run count, and how long it took to start does not."""
    standby.prepare()
    (model,) = contenders([matmul_model])
    with first_look(matmul_model, timeout_s=60, **LOAD):
        found = describe(model, SETTINGS)
    assert len(started) == 1
    assert not _runs(started[0])
    assert found.cold_start is not None
    assert found.cold_start.load_ms > 0
    assert (found.cold_start.process_ms, found.cold_start.import_ms, found.cold_start.total_ms) == (None, None, None)


def test_where_there_is_one_cold_start_it_is_a_whole_one(matmul_model: Path, started: list[Child]) -> None:
    """That of the process that waited is left out then; of one that did not wait all is known."""
    once = Settings(threads=(1,), cold_starts=1)
    (model,) = contenders([matmul_model])
    standby.prepare()
    assert describe(model, once).cold_start is None
    alone = describe(model, once).cold_start
    assert alone is not None
    assert alone.total_ms is not None
    assert len(started) == 2


def test_a_process_that_was_looked_at_otherwise_is_not_taken(matmul_model: Path, started: list[Child]) -> None:
    """Another batch is another measurement; both processes end."""
    (model,) = contenders([matmul_model])
    with first_look(matmul_model, timeout_s=60, **{**LOAD, "batch": 2}):
        assert "float32[1,64]" in describe(model, SETTINGS).inputs
    assert list(map(_runs, started)) == [False, False]


def test_what_fails_at_the_first_look_is_told_once_and_in_the_same_words(
    matmul_model: Path, started: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the model is described, and without trying it again."""
    monkeypatch.setattr(processes, "WORKER", ("-c", "import os; os.kill(os.getpid(), 11)"))
    (model,) = contenders([matmul_model])
    with (
        first_look(matmul_model, timeout_s=60, **LOAD),
        pytest.raises(BenchError, match=r"small\.onnx: the measuring process crashed \(SIGSEGV\)"),
    ):
        describe(model, SETTINGS)
    assert len(started) == 1


def test_a_file_that_is_no_model_is_never_loaded(tmp_path: Path, started: list[Child]) -> None:
    """Its structure is read before a process is asked to."""
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with first_look(broken, timeout_s=60, **LOAD), pytest.raises(BenchError, match="is not an ONNX model"):
        describe(contenders([broken])[0], SETTINGS)
    assert started == []


@pytest.mark.parametrize(
    ("arguments", "waits"),
    [
        (["bench", "a.onnx"], True),
        (["bench", "a.onnx", "--on", "box"], False),
        (["bench", "--help"], False),
        (["inspect", "a.onnx"], False),
        ([], False),
    ],
)
def test_a_process_waits_only_for_a_command_that_measures_here(
    arguments: list[str], waits: bool, started: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it ends with the command."""
    monkeypatch.setattr(sys, "argv", ["mtl-edge", *arguments])
    seen: list[bool] = []
    monkeypatch.setattr(program, "_run", lambda: seen.append(any(map(_runs, started))))
    program.main()
    assert seen == [waits]
    assert not any(map(_runs, started))
