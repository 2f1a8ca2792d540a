"""A run that is killed anywhere goes on, and ends as if nothing had happened."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from mtl_edge.report.document import RunReport

STAGES = ("data", "train", "prune", "export", "quantize", "bench")
Start = Callable[..., "subprocess.Popen[str]"]


def _kill_when(process: "subprocess.Popen[str]", seen: Callable[[], bool]) -> None:
    while process.poll() is None and not seen():
        time.sleep(0.001)
    process.kill()
    process.communicate()


def _artifacts(workdir: Path) -> dict[str, bytes]:
    return {
        path.relative_to(workdir).as_posix(): path.read_bytes()
        for path in sorted((workdir / "artifacts").rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_killed_in_every_stage_it_still_ends_with_the_same_artifacts(
    recipe_file: Path, start: Start, finished_run: Path, tmp_path: Path
) -> None:
    """SIGKILL in each stage in turn, the report's included; the last run gives what an uninterrupted one gave."""
    stages = tmp_path / "stages"
    for stage in STAGES:
        process = start(["run", recipe_file, "--workdir", tmp_path])
        _kill_when(process, lambda stage=stage: bool(list(stages.glob(f".unfinished-{stage}-*"))))
        assert process.returncode == -signal.SIGKILL
        assert not list(stages.glob(f"{stage}-*")), "killed too late: the stage was finished already"
    process = start(["run", recipe_file, "--workdir", tmp_path])
    _kill_when(process, (tmp_path / "artifacts").exists)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "report.html").exists()

    process = start(["run", recipe_file, "--workdir", tmp_path])
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert err.count("done before") == len(STAGES)
    assert not list(stages.glob(".unfinished-*"))
    assert _artifacts(tmp_path) == _artifacts(finished_run)
    reports = [
        msgspec.json.decode((workdir / "report.json").read_bytes(), type=RunReport)
        for workdir in (tmp_path, finished_run)
    ]
    assert reports[0].training == reports[1].training
    assert [result.metrics for result in reports[0].benchmark.results] == [
        result.metrics for result in reports[1].benchmark.results
    ]


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_nothing_half_written(recipe_file: Path, start: Start, tmp_path: Path) -> None:
    """SIGINT while training ends with 130, says how to go on, and leaves no unfinished stage."""
    process = start(["run", recipe_file, "--workdir", tmp_path])
    while process.poll() is None and not list((tmp_path / "stages").glob(".unfinished-train-*")):
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert "interrupted" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not list((tmp_path / "stages").glob(".unfinished-*"))
