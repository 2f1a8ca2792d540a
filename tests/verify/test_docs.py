"""``docs/artifact.md`` shows commands that work, and names what there is."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from mtl_edge.artifact import Manifest
from mtl_edge.cli import main
from mtl_edge.kits.kit import write_kit
from mtl_edge.optimize import marginal

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "artifact.md").read_text(encoding="utf-8")


def test_every_command_shown_works_in_the_order_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a model and a kit of it; nothing is timed."""
    monkeypatch.chdir(tmp_path)
    whole = marginal.TaskCosts(latency_ms=0, file_bytes=0, tasks=())
    monkeypatch.setattr(marginal, "measure_costs", lambda whole_model: whole)
    shutil.copy(ROOT / "models" / "mnist-pairs" / "model.onnx", "model.onnx")
    write_kit(Path("model.onnx"), "python", Path("kit"))
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    commands = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    assert len(commands) >= 8
    for program, *arguments in commands:
        assert program == "mtl-edge"
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, (arguments, result.output)


def test_every_field_of_the_manifest_is_named() -> None:
    """In the table, or in the text above it."""
    shown = set(re.findall(r"`([a-z_0-9]+)`", PAGE))
    hidden = {"format", "parameters", "versions"}  # which say by their names what they are
    assert set(Manifest.__struct_fields__) - hidden <= shown
