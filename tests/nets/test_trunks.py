"""Every trunk trains, exports, prunes, comes back from its weights and quantizes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mtl_edge.artifact import ModelInput
from mtl_edge.compress.dependencies import group_channels
from mtl_edge.compress.importance import Ranking, rank, task_gradients
from mtl_edge.compress.prune import keep_channels, prune_channels, uniform
from mtl_edge.errors import RecipeError
from mtl_edge.export import widths
from mtl_edge.export.parity import check_parity
from mtl_edge.export.to_onnx import export_onnx
from mtl_edge.nets.build import build_net, load_weights
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.nets.trunks.transformer import Attention
from mtl_edge.preprocessing import Table, Tokens
from mtl_edge.quantize.calibrate import calibrate
from mtl_edge.quantize.finetune.agreement import steps_apart
from mtl_edge.quantize.finetune.student import Student
from mtl_edge.quantize.form import Form
from mtl_edge.quantize.prepare import prepare
from mtl_edge.quantize.ranges import find_ranges
from mtl_edge.quantize.static import insert_form, quantize_static, with_qdq
from mtl_edge.quantize.target import find_target
from mtl_edge.recipe import (
    LeNetSpec,
    MLPSpec,
    MobileNetSpec,
    NetSpec,
    PlainSpec,
    ResNetSpec,
    TCNSpec,
    TextCNNSpec,
    TransformerSpec,
)
from mtl_edge.tasks import Multiclass, Regression, TargetStatistics

TASKS = (Multiclass(name="kind", target="kind", classes=3), Regression(name="size", target="size"))
STATISTICS = {"kind": TargetStatistics(), "size": TargetStatistics(mean=100.0, std=20.0)}
WORDS = Tokens(vocabulary=tuple("abcdefghijklmn"), length=12)

CASES: dict[str, tuple[NetSpec, tuple[int, ...] | str]] = {
    "mlp of a table": (MLPSpec(widths=(32, 16), embedding=4), "table"),
    "mlp of vectors": (MLPSpec(widths=(32, 16), dropout=0.1), (12,)),
    "lenet": (LeNetSpec(widths=(8, 16, 32)), (1, 9, 11)),
    "plain": (PlainSpec(width=16, depth=(1, 2)), (3, 12, 12)),
    "resnet": (ResNetSpec(width=16, depth=(1, 1)), (3, 12, 12)),
    "mobilenet": (MobileNetSpec(width=1.0, depth=(1, 2)), (3, 12, 12)),
    "textcnn": (TextCNNSpec(embedding=16, width=16, kernels=(3, 5)), "text"),
    "transformer of text": (TransformerSpec(width=32, heads=4, hidden=32, depth=2), "text"),
    "transformer of sequences": (TransformerSpec(width=32, heads=2, hidden=32, depth=1), (3, 24)),
    "tcn of text": (TCNSpec(width=16, depth=2), "text"),
    "tcn of sequences": (TCNSpec(width=16, depth=2, kernel=5), (3, 24)),
}


@dataclass
class Trained:
    """A network, how to make it anew, and what it has learned from."""

    net: MultiTaskNet
    fresh: Callable[[], MultiTaskNet]
    x: Tensor

    @cached_property
    def exported(self) -> bytes:
        """The network as ONNX."""
        return export_onnx(self.net, self.x[:2], "x")

    def loss(self) -> Tensor:
        """Of all samples; the targets are simple functions of the inputs."""
        outputs = self.net(self.x)
        flat = self.x.float().flatten(1)
        signal = ((flat - flat.mean(0)) / flat.std(0)).mean(1)
        signal = signal / signal.std()
        kinds = functional.cross_entropy(outputs["kind"], (signal > 0).long() + (signal > 1).long())
        return kinds + ((outputs["size"][:, 0] - 100) / 20 - signal).square().mean()


@pytest.fixture(scope="module", params=CASES)
def trained(
    request: pytest.FixtureRequest,
    source: Callable[..., ModelInput],
    samples: Callable[[ModelInput, int], np.ndarray],
    table: Table,
) -> Trained:
    """Forty steps from random weights: after ten, a mobilenet turns one rounding into another answer."""
    spec, kind = CASES[request.param]
    match kind:
        case "table":
            reads = source(len(table.columns), preprocessing=table)
        case "text":
            reads = source(WORDS.length, preprocessing=WORDS)
        case shape:
            reads = source(*shape)
    torch.manual_seed(0)
    case = Trained(
        build_net(spec, TASKS, reads, STATISTICS),
        lambda: build_net(spec, TASKS, reads, STATISTICS),
        torch.from_numpy(samples(reads, 48)),
    )
    optimizer = torch.optim.AdamW(case.net.parameters(), 4e-3)
    for _ in range(40):
        optimizer.zero_grad()
        case.loss().backward()
        optimizer.step()
    return case


def _pruned(case: Trained) -> MultiTaskNet:
    case.net.eval()
    return prune_channels(case.net, case.x[:2], [case.loss()], ratio=0.5, round_to=4).eval()


def _ranked(net: MultiTaskNet, case: Trained) -> dict[str, Ranking]:
    return rank(net, case.x[:2], task_gradients(net, [{"size": net(case.x)["size"].sum()}]))


def test_channels_leave_in_two_steps_as_in_one(trained: Trained) -> None:
    """Each group is found again by its name, and its share is of what it had at first."""
    net, dense = trained.net.eval(), group_channels(trained.net, dict(trained.net.named_modules()))
    rankings = _ranked(net, trained)
    assert {name: dense[name] for name in rankings} == {name: ranking.channels for name, ranking in rankings.items()}
    for ratio in (1 - 0.5**0.5, 0.5):
        rankings = _ranked(net, trained)
        net = keep_channels(net, trained.x[:2], rankings, uniform(rankings, ratio=ratio, round_to=4, dense=dense))
    shapes = [
        {name: values.shape for name, values in pruned.state_dict().items()} for pruned in (net, _pruned(trained))
    ]
    assert shapes[0] == shapes[1]


def _run(model: bytes, net: MultiTaskNet, x: Tensor) -> dict[str, np.ndarray]:
    outputs = onnxruntime.InferenceSession(model).run(list(net.tasks), {"x": x.numpy()})
    return dict(zip(net.tasks, outputs, strict=True))


def _torch(net: MultiTaskNet, x: Tensor) -> dict[str, np.ndarray]:
    with torch.no_grad():
        return {name: out.numpy() for name, out in net.eval()(x).items()}


def test_every_parameter_learns(trained: Trained) -> None:
    """None is without a gradient."""
    trained.net.train().zero_grad()
    trained.loss().backward()
    idle = [name for name, value in trained.net.named_parameters() if value.grad is None or not value.grad.any()]
    assert idle == []


def test_the_exported_graph_computes_the_same_at_any_batch_size(trained: Trained) -> None:
    """Within 1e-4 of the outputs' spread, for all samples at once and for a single one."""
    expected, model = _torch(trained.net, trained.x), trained.exported
    check_parity(expected, _run(model, trained.net, trained.x))
    alone = _run(model, trained.net, trained.x[:1])
    for name, out in expected.items():
        np.testing.assert_allclose(alone[name][0], out[0], rtol=1e-4, atol=1e-4 * out.std())


def test_a_narrower_copy_is_written_as_if_traced_anew(
    trained: Trained, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same operators with the same weights; only a reshape may say otherwise what it wants.

    The heads of attention are constants, so a copy with fewer of them has to be traced.
    """
    fits = "transformer" not in request.node.name
    if fits:
        monkeypatch.delattr(widths, "export_onnx")
    pruned = _pruned(trained)
    found = widths.Widths(trained.net.eval(), trained.x, "x").export(pruned)
    if fits:
        assert _steps(found) == _steps(export_onnx(pruned, trained.x[:2], "x"))
    check_parity(_torch(pruned, trained.x), _run(found, pruned, trained.x))


def _steps(model: bytes) -> list[tuple[object, ...]]:
    """Operators in their order, with attributes and the values of constants, whatever results are called."""
    graph = onnx.load_from_string(model).graph
    known: dict[str, object] = {item.name: item.name for item in graph.input}
    known |= {tensor.name: onnx.numpy_helper.to_array(tensor).tobytes() for tensor in graph.initializer}
    steps: list[tuple[object, ...]] = []
    for node in graph.node:
        known |= {name: (len(steps), place) for place, name in enumerate(node.output)}
        read = [known[name] for name in node.input]
        attributes = [attribute.SerializeToString() for attribute in node.attribute]
        steps.append((node.op_type, read[0]) if node.op_type == "Reshape" else (node.op_type, read, attributes))
    return steps


def test_a_pruned_network_is_smaller_and_comes_back_from_its_weights(trained: Trained) -> None:
    """Half of the channels are a good half of the weights; the shapes in the checkpoint describe the rest."""
    pruned = _pruned(trained)
    assert pruned.parameter_count < 0.6 * trained.net.parameter_count
    restored = trained.fresh()
    load_weights(restored, pruned.state_dict())
    expected, found = _torch(pruned, trained.x), _torch(restored, trained.x)
    assert {name: out.shape for name, out in expected.items()} == {"kind": (48, 3), "size": (48, 1)}
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
    check_parity(expected, _run(export_onnx(restored, trained.x[:2], "x"), restored, trained.x))
    assert restored.train()(trained.x)["kind"].isfinite().all()


def test_int8_stays_close_at_any_batch_size(trained: Trained) -> None:
    """The error is a small part of the outputs' spread, also of a target far from zero."""
    quantized = quantize_static(trained.exported, [{"x": part.numpy()} for part in trained.x.split(16)])
    expected, found = _torch(trained.net, trained.x), _run(quantized, trained.net, trained.x)
    for name, out in expected.items():
        assert np.sqrt(((found[name] - out) ** 2).mean()) < 0.15 * out.std()
    np.testing.assert_allclose(_run(quantized, trained.net, trained.x[:1])["size"], found["size"][:1], rtol=1e-5)


def test_what_trains_is_what_ships(trained: Trained) -> None:
    """After some steps of fine-tuning, torch answers as the written file does under ONNX Runtime, and as well."""
    target, x = find_target("x86-avx2"), trained.x.numpy()  # whose answers are the same on all processors
    prepared = prepare(trained.exported)
    ranges = find_ranges(calibrate(prepared, [{"x": part} for part in np.split(x, 3)]), "mse")
    form = Form(prepared, prepared, ranges)
    student = Student(with_qdq(prepared, ranges, target).graph, form, saturates=True)
    teacher = {name: torch.from_numpy(out) for name, out in _torch(trained.net, trained.x).items()}
    optimizer = torch.optim.Adam(student.parameters(), 3e-3)
    for _ in range(3):
        optimizer.zero_grad()
        found = student({"x": trained.x})
        sum((found[name] - out).square().mean() / out.var() for name, out in teacher.items()).backward()
        optimizer.step()
        student.settle()
    many = _varied(trained.x, 40)  # one value in a thousand is nothing to be seen among fifty
    with torch.no_grad():
        found = {name: out.numpy() for name, out in student({"x": many}).items()}
        teacher = {name: torch.from_numpy(out) for name, out in _torch(trained.net, many).items()}
    shipped = _run(insert_form(student.trained(), target), trained.net, many)
    for task in TASKS:
        mine, theirs = found[task.name], shipped[task.name]
        assert (steps_apart(mine, theirs) > 1).mean() <= 0.001
        truth = teacher[task.name].numpy()
        truth = truth.argmax(1) if task.name == "kind" else truth[:, 0]
        metric = task.metrics[0].name
        metrics = [task.measure(task.decode(each), truth)[metric] for each in (mine, theirs)]
        assert abs(metrics[0] - metrics[1]) <= 0.001 * max(1, abs(metrics[0]))


def _varied(x: torch.Tensor, times: int) -> torch.Tensor:
    """So many times as many samples like these: with a little noise, or of integers in another order."""
    generator = torch.Generator().manual_seed(0)
    if x.is_floating_point():
        return torch.cat([x + 0.1 * torch.randn(x.shape, generator=generator) for _ in range(times)])
    return torch.cat([x[:, torch.randperm(x.shape[1], generator=generator)] for _ in range(times)])


def test_attention_loses_whole_heads(source: Callable[..., ModelInput]) -> None:
    """What is left computes what the heads that stay have computed before."""
    torch.manual_seed(0)
    attention, x = Attention(width=16, heads=4), torch.randn(2, 5, 16)
    with torch.no_grad():
        attention.output.weight[:, 4:8] = 0
        attention.output.weight[:, 12:] = 0
    expected = attention(x)
    attention.keep_heads([0, 2])
    assert (attention.heads, attention.query.weight.shape, attention.output.weight.shape) == (2, (8, 16), (16, 8))
    torch.testing.assert_close(attention(x), expected)
    torch.testing.assert_close(attention.folded()(x), expected)


@pytest.mark.parametrize(
    ("spec", "shape", "message"),
    [
        (PlainSpec(), (64,), r"'plain' reads images \(C, H, W\), found inputs of shape \(64,\)"),
        (ResNetSpec(), (64,), r"'resnet' reads images \(C, H, W\), found inputs of shape \(64,\)"),
        (MobileNetSpec(), (3, 64), r"'mobilenet' reads images \(C, H, W\), found inputs of shape \(3, 64\)"),
        (LeNetSpec(), (1, 3, 9), r"'lenet' reads images \(C, H, W\) of at least 4 x 4, found .*\(1, 3, 9\)"),
        (MLPSpec(), (1, 8, 8), r"'mlp' reads tables and vectors \(F,\), found inputs of shape \(1, 8, 8\)"),
        (TransformerSpec(), (8,), r"'transformer' reads text and sequences \(C, L\), found inputs of shape \(8,\)"),
        (TextCNNSpec(), (3, 8), r"'textcnn' reads text, found inputs of shape \(3, 8\)"),
        (TCNSpec(), "table", r"'tcn' reads text and sequences \(C, L\), found a table of 4 columns"),
        (ResNetSpec(), "text", r"'resnet' reads images \(C, H, W\), found text of 12 words"),
        (MLPSpec(), "text", r"'mlp' reads tables and vectors \(F,\), found text of 12 words"),
    ],
)
def test_a_trunk_refuses_what_it_cannot_read(
    spec: NetSpec,
    shape: tuple[int, ...] | str,
    message: str,
    source: Callable[..., ModelInput],
    table: Table,
) -> None:
    """The message names the key, what the trunk reads, and what it was given."""
    match shape:
        case "table":
            reads = source(4, preprocessing=table)
        case "text":
            reads = source(12, preprocessing=WORDS)
        case _:
            reads = source(*shape)
    with pytest.raises(RecipeError, match=f"net.trunk: {message}$"):
        build_net(spec, TASKS, reads, STATISTICS)
