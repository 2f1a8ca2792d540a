"""Any fp32 graph becomes an int8 file that loads, takes and gives what it did, and answers nearly the same."""

import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from mtl_edge.errors import ModelError
from mtl_edge.quantize.calibrate import calibrate
from mtl_edge.quantize.file import quantize_file
from mtl_edge.quantize.form import Form
from mtl_edge.quantize.prepare import prepare
from mtl_edge.quantize.ranges import find_ranges
from mtl_edge.quantize.static import insert_form, with_qdq
from mtl_edge.quantize.target import find_target
from mtl_edge.runtime import open_session

_SAMPLES = 48
_CODES = 10
"""Whole-number inputs lie below this."""


@dataclass(frozen=True)
class Graph:
    """A graph as it stands in ``graphs.toml``.

    Attributes:
        text: in the syntax of ``onnx.parser``.
        opset: its version of ONNX's operators.
        least_db: signal to noise that every output keeps.
    """

    text: str
    opset: int
    least_db: float

    def model(self) -> onnx.ModelProto:
        """With weights drawn anew by the same chance."""
        graph = parser.parse_graph(self.text)
        rng = np.random.default_rng(0)
        for value in list(graph.input):
            if value.name[0] in "ws":
                shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
                drawn = rng.standard_normal(shape) / np.sqrt(max(np.prod(shape[1:]), 1))
                drawn = drawn if value.name[0] == "w" else 0.5 + rng.random(shape)
                dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
                graph.initializer.append(numpy_helper.from_array(drawn.astype(dtype), value.name))
                graph.input.remove(value)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = min(model.ir_version, 10)
        return model


def draw(model: onnx.ModelProto, samples: int = _SAMPLES) -> dict[str, np.ndarray]:
    """Samples for every input of a model: normal numbers, or codes."""
    rng = np.random.default_rng(1)
    arrays = {}
    for value in model.graph.input:
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        shape = (samples, *(dim.dim_value or 8 for dim in list(value.type.tensor_type.shape.dim)[1:]))
        drawn = rng.standard_normal(shape) if dtype.kind == "f" else rng.integers(0, _CODES, shape)
        arrays[value.name] = (drawn > 0 if dtype.kind == "b" else drawn).astype(dtype)
    return arrays


def signature(session: onnxruntime.InferenceSession) -> list[tuple[str, str, list[int | str | None]]]:
    """Name, type and shape of each input and output."""
    return [(item.name, item.type, item.shape) for item in (*session.get_inputs(), *session.get_outputs())]


def _graphs() -> Iterator[tuple[str, Graph]]:
    for name, entry in tomllib.loads(Path(__file__).with_name("graphs.toml").read_text(encoding="utf-8")).items():
        for opset in entry.get("opsets", [20]):
            numbered = f"{name} {opset}" if "opsets" in entry else name
            yield numbered, Graph(entry["text"], opset, entry.get("least_db", 25))


GRAPHS = dict(_graphs())


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_keeps_its_interface_and_its_answers(name: str, tmp_path: Path) -> None:
    """With all in int8 that has a kernel, for one sample and for several."""
    _quantize_and_compare(GRAPHS[name], tmp_path, "all")


@pytest.mark.parametrize("name", ["several outputs", "attention", "depthwise convolution", "a branch", "GRU"])
def test_so_it_does_where_the_placement_is_measured(name: str, tmp_path: Path) -> None:
    """Some layers stay in float then, with small weights."""
    _quantize_and_compare(GRAPHS[name], tmp_path, "measured")


def _quantize_and_compare(graph: Graph, folder: Path, placement: str) -> None:
    model = graph.model()
    onnx.checker.check_model(model)
    onnx.save(model, folder / "fp32.onnx")
    arrays = draw(model)
    np.savez(folder / "calib.npz", **arrays)
    found = quantize_file(folder / "fp32.onnx", folder / "calib.npz", folder / "int8.onnx", placement=placement)  # type: ignore[arg-type]
    fp32, int8 = open_session(folder / "fp32.onnx"), open_session(folder / "int8.onnx")
    assert signature(int8) == signature(fp32)
    floats = {value.name for value in model.graph.output if value.type.tensor_type.elem_type in _FLOATS}
    assert found.noise_db.keys() == floats
    assert min(found.noise_db.values()) > graph.least_db
    fixed = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    for size in () if fixed else (1, 3):
        batch = {
            value.name: arrays[value.name][: value.type.tensor_type.shape.dim[0].dim_value or size]
            for value in model.graph.input
        }
        for mine, theirs in zip(int8.run(None, batch), fp32.run(None, batch), strict=True):
            assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
            assert np.abs(mine - theirs).max() <= 0.2 * max(np.abs(theirs).max(), 1)


_UNTRAINED = {"LSTM": "LSTM", "GRU": "GRU", "a branch": "If", "a branch of operator set 11 11": "If", "a loop": "Loop",
              "a weight of a layer and of a branch": "If"}  # fmt: skip
_APART = {"encoder and decoder of computed size": 0.1}
"""Share of values; there, interpolation gives halves, whose side depends on the order of additions."""


@pytest.mark.parametrize("name", GRAPHS)
def test_torch_computes_what_the_int8_file_does(name: str) -> None:
    """Each output within an 8-bit step; of graphs with an operator that cannot be trained, the node is named."""
    import torch

    from mtl_edge.quantize.finetune.agreement import steps_apart
    from mtl_edge.quantize.finetune.student import Student

    model = GRAPHS[name].model()
    arrays = draw(model)
    batch = {
        value.name: arrays[value.name][: value.type.tensor_type.shape.dim[0].dim_value or 16]
        for value in model.graph.input
    }
    target, prepared = find_target("x86-avx2"), prepare(model.SerializeToString())
    form = Form(prepared, prepared, find_ranges(calibrate(prepared, [batch]), "minmax"))
    graph = with_qdq(prepared, form.ranges, target).graph
    if name in _UNTRAINED:
        with pytest.raises(ModelError, match=f"^finetune: node '.*' .* trained yet: the operator {_UNTRAINED[name]}$"):
            Student(graph, form, saturates=True)
        return
    with torch.no_grad():
        found = Student(graph, form, saturates=True)({key: torch.from_numpy(array) for key, array in batch.items()})
    session = open_session(insert_form(form, target))
    for item, shipped in zip(session.get_outputs(), session.run(None, batch), strict=True):
        mine = found[item.name].numpy()
        assert (mine.dtype, mine.shape) == (shipped.dtype, shipped.shape)
        assert (steps_apart(mine.astype(np.float64), shipped) > 1).mean() <= _APART.get(name, 0.001)


_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)


def test_a_torch_net_that_answers_with_a_dict_keeps_all_its_outputs(tmp_path: Path) -> None:
    """Exported by torch's own exporter, with an open batch."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
            self.kind, self.map = nn.Linear(8, 4), nn.Conv2d(8, 2, 1)

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            features = self.trunk(x)
            return {"kind": self.kind(features.mean((2, 3))), "map": self.map(features)}

    torch.manual_seed(0)
    x = torch.randn(_SAMPLES, 3, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        program = torch.onnx.export(
            Net().eval(),
            (x[:2],),
            input_names=["x"],
            output_names=["kind", "map"],
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    program.save(tmp_path / "fp32.onnx")
    np.savez(tmp_path / "calib.npz", x=x.numpy())
    found = quantize_file(tmp_path / "fp32.onnx", tmp_path / "calib.npz", tmp_path / "int8.onnx", placement="all")
    fp32, int8 = open_session(tmp_path / "fp32.onnx"), open_session(tmp_path / "int8.onnx")
    assert signature(int8) == signature(fp32)
    assert min(found.noise_db.values()) > 20
    assert [len(answer) for answer in int8.run(None, {"x": x[:3].numpy()})] == [3, 3]
