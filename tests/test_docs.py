"""Pages lead where they say, and the paths for a model or a network of one's own do what is said there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from mtl_edge.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(path for folder in ("docs", "exporters", "benchmarks", "models") for path in (ROOT / folder).rglob("*.md")),
]
QUICK = "--rounds 2 --seconds 0.01 --cold-starts 1 --memory-repeats 0"


def _blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in a language."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def _give(commands: str, folder: Path) -> str:
    """Give commands as a reader would, with this Python and its ``mtl-edge``; what they print."""
    scripts = folder / "bin"
    scripts.mkdir(exist_ok=True)
    for name, program in (("python", sys.executable), ("mtl-edge", f"{sys.executable} -m mtl_edge")):
        (scripts / name).write_text(f'#!/bin/sh\nexec {program} "$@"\n')
        (scripts / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "MTL_EDGE_CACHE": str(folder / "cache"),
        "MTL_EDGE_TRUST_MODELS": "1",
    }
    done = subprocess.run(
        ["bash", "-eu", "-c", commands], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _two_outputs() -> onnx.ModelProto:
    """A model that reads images ``(batch, 3, 32, 32)`` and gives ``kind`` and ``age``; nothing in it is mtl-edge's."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (32, 3, 3, 3), "w2": (64, 32, 3, 3), "w3": (64, 7), "w4": (64, 1)}
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w3"], ["kind"]),
        helper.make_node("Gemm", ["flat", "w4"], ["age"]),
    ]
    weights = [
        numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), name) for name, shape in shapes.items()
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in (("image", (3, 32, 32)), ("kind", (7,)), ("age", (1,)))
    ]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _samples(dtype: type[np.generic]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (200, 3, 32, 32)).astype(dtype)
    return {"image": image, "kind": np.arange(200) % 7, "age": rng.uniform(1, 90, 200).astype(np.float32)}


def _anchors(page: Path) -> set[str]:
    """What the titles of a page are called in links."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if "node_modules" not in page.parts],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file or folder of the project, and where it names one, to a title in it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_the_readme_names_every_command() -> None:
    """In its table."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.split("## The commands")[1].split("\n## ")[0]
    for name in main.commands:
        assert re.search(rf"^\| .*`{name}\b.*\|", table, re.MULTILINE), name


@pytest.mark.slow
def test_the_path_with_only_an_onnx_is_true(tmp_path: Path) -> None:
    """Every command and the program work in their order, and what is described carries a manifest."""
    onnx.save(_two_outputs(), tmp_path / "yours.onnx")
    np.savez(tmp_path / "samples.npz", image=_samples(np.float32)["image"] / 64 - 2)
    np.savez(tmp_path / "labelled.npz", **_samples(np.uint8))  # type: ignore[arg-type]
    (program,) = _blocks("only-onnx.md", "python")
    (tmp_path / "describe.py").write_text(program)
    install, *given = _blocks("only-onnx.md", "sh")
    assert install == 'pip install "mtl-edge[quantize,optimize]"\n'
    assert len(given) == 6
    quick = "".join(given).replace("mtl-edge bench", f"mtl-edge bench {QUICK}")
    quick = (
        quick.replace("--calib", "--samples 50 --calib")
        .replace("quantize", "quantize --placement all")
        .replace("subset", "subset --no-measure")
    )
    printed = _give(quick, tmp_path)
    assert "signal to noise" in printed
    assert "kit      kit" in printed
    assert (tmp_path / "kind.onnx").is_file()


@pytest.mark.slow
def test_the_path_with_a_network_of_ones_own_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is exported with its weights, and trained by the recipe; how it goes on from there, others test."""
    (code,) = _blocks("own-net.md", "python")
    (tmp_path / "mynet.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    import mynet  # type: ignore[import-not-found]

    torch.manual_seed(0)
    save_file(mynet.Net().state_dict(), tmp_path / "mynet.safetensors")
    np.savez(tmp_path / "samples.npz", **_samples(np.uint8))  # type: ignore[arg-type]
    (recipe,) = _blocks("own-net.md", "toml")
    (tmp_path / "recipe.toml").write_text(f"{recipe}[train]\nepochs = 2\n")
    exported, run = _blocks("own-net.md", "sh")
    assert "parity" in _give(exported, tmp_path)
    first, _ = run.splitlines()
    assert "accuracy" in _give(first.replace("mtl-edge run", "mtl-edge train"), tmp_path)
