"""A recipe may bring its own trunk, or its own whole network."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mtl_edge.artifact import ModelInput
from mtl_edge.compress.prune import prune_channels
from mtl_edge.errors import RecipeError
from mtl_edge.export.to_onnx import export_onnx
from mtl_edge.nets.build import build_net, load_weights
from mtl_edge.nets.custom import code_sha256
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.recipe import CustomNetSpec, CustomTrunkSpec, MMoESpec, NetSpec, ResNetSpec
from mtl_edge.tasks import Multiclass, Regression, TargetStatistics

TASKS = (Multiclass(name="kind", target="kind", classes=3), Regression(name="size", target="size"))
STATISTICS = {"kind": TargetStatistics(), "size": TargetStatistics(mean=1000.0, std=20.0)}

NETS = """
import torch
from torch import nn
from mtl_edge.nets.trunks.resnet import resnet


def vectors(shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], 24), nn.ReLU(), nn.Linear(24, 16))


def trunk(shape):
    return resnet(shape[0], 8, (1,))


class Whole(nn.Module):
    def __init__(self, channels, names=("kind", "size"), width=3):
        super().__init__()
        self.names = names
        grouped = nn.Conv2d(16, 16, 3, groups=4)
        self.body = nn.Sequential(nn.Conv2d(channels, 16, 3), nn.ReLU(), grouped, nn.Conv2d(16, 32, 1), nn.ReLU())
        self.ends = nn.ModuleList([nn.Linear(32, width), nn.Linear(32, 1)])

    def forward(self, x):
        pooled = self.body(x).mean((2, 3))
        return {name: end(pooled) for name, end in zip(self.names, self.ends)}


def whole(shape):
    return Whole(shape[0])


def other_names(shape):
    return Whole(shape[0], names=("kind", "weight"))


def other_width(shape):
    return Whole(shape[0], width=4)


def no_module(shape):
    return 3


def maps(shape):
    return nn.Conv2d(shape[0], 4, 3)


def fails(shape):
    raise ValueError("no\\nluck")


def fails_later(shape):
    return nn.Linear(7, 7)


number = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recipe's folder with a module of the user's."""
    (tmp_path / "nets.py").write_text(NETS)
    return tmp_path


@pytest.fixture
def build(folder: Path, source: Callable[..., ModelInput]) -> Callable[[NetSpec], MultiTaskNet]:
    """A network for small images."""
    torch.manual_seed(0)
    return lambda spec: build_net(spec, TASKS, source(2, 8, 8), STATISTICS, folder)


@pytest.mark.parametrize(
    "spec",
    [
        CustomTrunkSpec(factory="nets:vectors", head_hidden=16),
        CustomTrunkSpec(factory="nets:trunk", head_hidden=16),
        CustomNetSpec(factory="nets:whole"),
    ],
)
def test_a_network_of_the_user_s_goes_all_the_way(spec: NetSpec, build: Callable[[NetSpec], MultiTaskNet]) -> None:
    """It answers in the targets' units, loses channels but no outputs, comes back from its weights, and exports."""
    net, x = build(spec).eval(), torch.randn(8, 2, 8, 8)
    outputs = net(x)
    assert {name: tuple(out.shape) for name, out in outputs.items()} == {"kind": (8, 3), "size": (8, 1)}
    assert 900 < outputs["size"].mean() < 1100
    loss = outputs["kind"].square().mean() + ((outputs["size"] - 900) / 20).square().mean()
    pruned = prune_channels(net, x[:2], [loss], ratio=0.5, round_to=8).eval()
    assert pruned.parameter_count < net.parameter_count
    restored = build(spec)
    load_weights(restored, pruned.state_dict())
    expected, found = pruned(x), restored.eval()(x)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert export_onnx(restored, x[:2], "x")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (CustomTrunkSpec(factory="absent:make"), r"net.trunk: 'python:absent:make': no module 'absent' in .*"),
        (CustomTrunkSpec(factory="nets.deep:make"), r"net.trunk: 'python:nets.deep:make': no module 'nets.deep' in .*"),
        (CustomTrunkSpec(factory="nets:absent"), "net.trunk: 'python:nets:absent': must name a function .*found none"),
        (CustomTrunkSpec(factory="nets:number"), "net.trunk: 'python:nets:number': must name a function .*found int"),
        (CustomTrunkSpec(factory="nets:no_module"), "net.trunk: .*: must give a torch.nn.Module, found int"),
        (CustomTrunkSpec(factory="nets:fails"), "net.trunk: .*: the factory failed: ValueError: no luck"),
        (CustomTrunkSpec(factory="nets:fails_later"), r"net.trunk: .*: fails on inputs \(2, 2, 8, 8\): RuntimeError.*"),
        (CustomTrunkSpec(factory="nets:maps"), r"net.trunk: .*: must give features \(N, F\), found .*\(2, 4, 6, 6\)"),
        (
            CustomTrunkSpec(factory="nets:vectors", sharing=MMoESpec()),
            "net.sharing: 'mmoe' needs a trunk of at least one stage.*",
        ),
        (CustomNetSpec(factory="nets:vectors"), r"net.module: .*: must give a dict of .*, found the shape \(2, 16\)"),
        (CustomNetSpec(factory="nets:other_names"), "net.module: .*: must give the outputs kind, size, found .*weight"),
        (CustomNetSpec(factory="nets:other_width"), r"net.module: .*'kind' must be \(N, 3\), found the shape \(2, 4\)"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(
    spec: NetSpec, message: str, build: Callable[[NetSpec], MultiTaskNet]
) -> None:
    """The key, the name, the rule, and what was found."""
    with pytest.raises(RecipeError, match=f"^{message}$"):
        build(spec)


def test_a_module_that_cannot_be_imported_is_told_in_one_line(
    folder: Path, build: Callable[[NetSpec], MultiTaskNet]
) -> None:
    """What Python says comes along."""
    (folder / "nets.py").write_text("1 +")
    with pytest.raises(RecipeError, match=r"'python:nets:make': nets cannot be imported: SyntaxError: .*"):
        build(CustomTrunkSpec(factory="nets:make"))


def test_the_folder_of_the_recipe_comes_first(folder: Path, build: Callable[[NetSpec], MultiTaskNet]) -> None:
    """A module there wins over one of the same name that is loaded already, which stays what it was."""
    before = sys.modules["json"]
    (folder / "json.py").write_text("from nets import vectors\nmine = vectors\n")
    assert build(CustomTrunkSpec(factory="json:mine"))
    assert sys.modules["json"] is before


@pytest.mark.parametrize(
    "statement", ["from parts import make", "import parts", "from deep.parts import make", "from deep import parts"]
)
def test_the_hash_of_the_code_follows_the_modules_that_it_imports(folder: Path, statement: str) -> None:
    """A change to a module beside the factory's own counts, one to a module that it does not import does not."""
    (folder / "mine.py").write_text(f"{statement}\n")
    (folder / "deep").mkdir()
    (folder / "deep" / "__init__.py").write_text("")
    parts = folder / "deep" / "parts.py" if "deep" in statement else folder / "parts.py"
    parts.write_text("from . import more\n" if "deep" in statement else "import deep.more\n")
    spec = CustomTrunkSpec(factory="mine:make")
    seen = {code_sha256(spec, folder)}
    for path in (folder / "mine.py", parts, folder / "deep" / "more.py"):
        path.write_text((path.read_text() if path.exists() else "") + "# changed\n")
        seen.add(code_sha256(spec, folder))
    assert len(seen) == 4
    (folder / "other.py").write_text("")
    assert code_sha256(spec, folder) in seen


def test_networks_of_ours_have_no_hash_of_code(folder: Path) -> None:
    """Their code is the package's; a module that is absent or broken is told when it is imported."""
    (folder / "broken.py").write_text("1 +")
    assert code_sha256(ResNetSpec(), folder) is None
    assert len({code_sha256(CustomTrunkSpec(factory=name), folder) for name in ("a.b:c", "broken:c", "json:c")}) == 3
