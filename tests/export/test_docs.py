"""Every command of ``docs/export.md`` is run as it stands there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from mtl_edge.artifact import Manifest, write_artifact
from mtl_edge.cli import main
from mtl_edge.cli.graph_options import _MODULE_OPTIONS, _OPTIONS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^mtl-edge (export .*)$", PAGE, re.MULTILINE)
NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 2, 3, stride=16)

    def forward(self, image):
        return {"kind": self.body(image).mean((2, 3))}


make = Net
"""


def test_the_page_shows_commands() -> None:
    """Else the next test claims nothing."""
    assert len(COMMANDS) == 4


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_works(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: bytes, tiny_manifest: Manifest
) -> None:
    """With the files that it names in place."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(ROOT / "models")
    (tmp_path / "mynet.py").write_text(NET)
    save_file({"body.weight": torch.ones(2, 3, 3, 3), "body.bias": torch.zeros(2)}, tmp_path / "mynet.safetensors")
    for variant in ("pruned", "pruned-int8"):
        write_artifact(tmp_path / "artifacts" / variant, tiny_model, tiny_manifest)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (20, 2), np.uint8)
    np.savez(tmp_path / "test.npz", image=image, label=np.arange(20) % 3, area=np.arange(20, dtype=np.float32))
    done = CliRunner().invoke(main, shlex.split(command))
    assert done.exit_code == 0, done.output
    assert "parity" in done.output


@pytest.mark.parametrize("option", [*_OPTIONS, *_MODULE_OPTIONS])
def test_every_option_is_explained(option: object) -> None:
    """On the page, by its name."""

    def command() -> None: ...

    option(command)  # type: ignore[operator]
    (parameter,) = command.__click_params__  # type: ignore[attr-defined]
    assert parameter.opts[0] in PAGE
