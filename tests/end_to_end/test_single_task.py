"""A run that also trains each task alone."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import onnxruntime
import pytest

from mtl_edge.report.document import RunReport
from mtl_edge.report.sharing import sharing


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_says_whether_sharing_helped(
    recipe_file: Path, start: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    """Every task has single-task models of every variant, measured together against the multi-task one."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text("single_task = true\n" + recipe_file.read_text())
    process = start(["run", recipe, "--workdir", tmp_path / "run"])
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "Did sharing help?" in out
    report = msgspec.json.decode((tmp_path / "run" / "report.json").read_bytes(), type=RunReport)
    pairs = sharing(report.benchmark)
    assert [pair.multi.name for pair in pairs] == ["dense", "dense-int8", "pruned", "pruned-int8"]
    assert all(set(pair.gains) == {"left", "right", "sum"} for pair in pairs)
    artifacts = tmp_path / "run" / "artifacts"
    for pair in pairs:
        files = [artifacts / "single-task" / task / pair.multi.name / "model.onnx" for task in pair.gains]
        assert pair.single.file_bytes == sum(file.stat().st_size for file in files)
        outputs = [[item.name for item in onnxruntime.InferenceSession(file).get_outputs()] for file in files]
        assert outputs == [["left"], ["right"], ["sum"]]
    assert {"single-task/left/dense", "single-task/sum/pruned"} <= set(report.training)
