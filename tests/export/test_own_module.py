"""A network of one's own becomes ONNX and computes the same; where it cannot, the line of its code is named."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from mtl_edge.errors import DataError, ModelError, RecipeError
from mtl_edge.export.examples import read_examples
from mtl_edge.export.own_module import ExportedModule, export_module
from mtl_edge.runtime import open_session

CODE = """
from collections import namedtuple
import torch
from torch import nn

Pair = namedtuple("Pair", "left right")


class Dict(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)  # else answers are now and then all but zero, and rounding is large beside them
        self.body = nn.Linear(6, 4)

    def forward(self, row, weight=None):
        x = torch.relu(self.body(row))
        if weight is not None:
            x = x * weight
        return {"kind": x, "more": [x.sum(1, keepdim=True), None, (x + 1,)]}


class Tensor(Dict):
    def forward(self, row):
        return self.body(row)


class Named(Dict):
    def forward(self, row):
        return Pair(self.body(row), row)


class Branch(Dict):
    def forward(self, row):
        x = self.body(row)
        if x.sum() > 0:
            x = x * 2
        return x


class Numpy(Dict):
    def forward(self, row):
        return torch.from_numpy(self.body(row).detach().numpy() + 1)


class Constant(Dict):
    def forward(self, row):
        return self.body(row) + torch.arange(4.0)[: len(row), None] if len(row) == 2 else self.body(row.reshape(2, 6))


class Missing(Dict):
    def forward(self, row):
        return torch.special.bessel_j0(self.body(row))


class Text(Dict):
    def forward(self, row):
        return "text"


def by_shape(shape):
    return nn.Linear(shape[0], 3)


def broken():
    raise ValueError("no such day")


def nothing():
    return 7


module = Tensor()
"""
Export = Callable[..., ExportedModule]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Export a name of the module above."""
    (tmp_path / "own_nets.py").write_text(CODE)

    def run(name: str, *examples: str, **options: object) -> ExportedModule:
        given = read_examples(examples or ("2x6",))
        return export_module(f"own_nets:{name}", given, folder=tmp_path, **options)  # type: ignore[arg-type]

    return run


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("Dict", ["kind", "more.0", "more.2.0"]),
        ("Named", ["left", "right"]),
        ("by_shape", ["output"]),
        ("module", ["output"]),
    ],
)
def test_outputs_have_the_names_of_the_tree_that_they_stand_in(name: str, outputs: list[str], export: Export) -> None:
    """Dicts, tuples, named tuples and lists, one in the other; None is left out. The batch is open."""
    made = export(name)
    session = open_session(made.model)
    assert [item.name for item in session.get_outputs()] == outputs
    assert made.parity.holds
    for count in (1, 5):
        found = session.run(None, {session.get_inputs()[0].name: np.ones((count, 6), np.float32)})
        assert {len(array) for array in found} == {count}
    onnx.checker.check_model(onnx.load_from_string(made.model), full_check=True)


def test_inputs_are_given_by_name(export: Export) -> None:
    """In any order, as many samples of each; names that are not there, and inputs beyond ``forward``'s, are refused."""
    both = export("Dict", "weight=2x1", "row=2x6")
    assert list(both.inputs) == ["row", "weight"]
    assert [item.shape for item in open_session(both.model).get_inputs()] == [["batch", 6], ["batch", 1]]
    with pytest.raises(DataError, match=r"must name inputs of own_nets:Dict \(row, weight\), found 'rows'"):
        export("Dict", "row=2x6", "rows=2x1")
    with pytest.raises(DataError, match="reads 1 inputs"):
        export("Tensor", "2x6", "2x1")


def test_a_fixed_batch_is_fixed(export: Export) -> None:
    """Whatever the example had."""
    assert open_session(export("Tensor", "5x6", batch=1).model).get_inputs()[0].shape == [1, 6]


def test_weights_come_from_safetensors(export: Export, tmp_path: Path) -> None:
    """And must be those of the network."""
    weights = {"body.weight": torch.full((4, 6), 0.5), "body.bias": torch.arange(4.0)}
    save_file(weights, tmp_path / "w.safetensors")
    session = open_session(export("Tensor", weights=tmp_path / "w.safetensors").model)
    (found,) = session.run(None, {"row": np.ones((1, 6), np.float32)})
    assert found.tolist() == [[3, 4, 5, 6]]
    save_file({"other": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"w\.safetensors: must hold the weights of this network: .*body\.weight"):
        export("Tensor", weights=tmp_path / "w.safetensors")


class _Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("touched"),))


def test_pickles_are_read_only_if_that_is_asked_for_and_run_no_code(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tensors come out of a checkpoint of torch; anything else in it is refused before it acts."""
    monkeypatch.chdir(tmp_path)
    state = {"body.weight": torch.zeros(4, 6), "body.bias": torch.ones(4)}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"w\.pt: must be \.safetensors, .* --allow-pickle"):
        export("Tensor", weights=tmp_path / "w.pt")
    session = open_session(export("Tensor", weights=tmp_path / "w.pt", allow_pickle=True).model)
    assert session.run(None, {"row": np.ones((1, 6), np.float32)})[0].tolist() == [[1, 1, 1, 1]]
    for name, content in (("evil.pt", pickle.dumps(_Evil())), ("broken.pt", b"nonsense")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=rf"{name}: holds more than tensors, or is damaged"):
            export("Tensor", weights=tmp_path / name, allow_pickle=True)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("name", "code", "hint"),
    [
        ("Branch", "if x.sum() > 0:", "torch.where"),
        ("Numpy", "return torch.from_numpy(self.body(row).detach().numpy() + 1)", "no numpy"),
        ("Missing", "return torch.special.bessel_j0(self.body(row))", "ONNX has no such operator"),
    ],
)
def test_what_onnx_cannot_have_is_named_with_its_line(name: str, code: str, hint: str, export: Export) -> None:
    """One message: place, reason, and what to do."""
    line = next(number for number, text in enumerate(CODE.splitlines(), 1) if text.strip() == code)
    with pytest.raises(ModelError, match=hint) as caught:
        export(name)
    assert f"own_nets:{name}: cannot be written as ONNX at own_nets.py:{line} ({code})" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_code_that_knows_its_batch_is_told_to_fix_it(export: Export) -> None:
    """It is the most frequent reason."""
    with pytest.raises(ModelError, match=r"number of samples as a constant.*--batch"):
        export("Constant")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Text", "outputs must be tensors in dicts, tuples or lists, found str"),
        ("broken", "the factory failed: ValueError: no such day"),
        ("nothing", "must give a torch.nn.Module, found int"),
    ],
)
def test_factories_that_give_no_network_are_refused(name: str, message: str, export: Export) -> None:
    """And so are networks that give no tensors."""
    with pytest.raises(ModelError, match=message):
        export(name)


def test_a_name_that_is_not_there_and_no_example_are_refused(export: Export, tmp_path: Path) -> None:
    """Before anything is computed."""
    with pytest.raises(RecipeError, match="must name a function of own_nets, found none"):
        export("Absent")
    with pytest.raises(DataError, match=r"must have inputs to trace the network with \(--example\)"):
        export_module("own_nets:Tensor", (), folder=tmp_path)


def test_shapes_that_the_network_cannot_read_are_named(export: Export) -> None:
    """By torch itself, with the line."""
    with pytest.raises(ModelError, match="the shapes of --example must be those that forward reads"):
        export("Tensor", "2x5")
