"""Every sharing scheme computes what its paper says, and goes all the way with every trunk."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from mtl_edge.artifact import ModelInput
from mtl_edge.compress.prune import prune_channels
from mtl_edge.errors import RecipeError
from mtl_edge.export.parity import check_parity
from mtl_edge.export.to_onnx import export_onnx
from mtl_edge.nets.build import build_net, load_weights
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.nets.sharing.build import build_sharing
from mtl_edge.nets.sharing.cross_stitch import CrossStitchSharing, Stitch
from mtl_edge.nets.sharing.hard import HardSharing
from mtl_edge.nets.sharing.mixing import Gates, Mixture
from mtl_edge.nets.sharing.mmoe import MMoESharing
from mtl_edge.nets.sharing.mtan import MTANSharing
from mtl_edge.nets.sharing.ple import PLESharing
from mtl_edge.nets.trunks.base import Features, Trunk
from mtl_edge.nets.trunks.resnet import resnet
from mtl_edge.preprocessing import Tokens
from mtl_edge.quantize.static import quantize_static
from mtl_edge.recipe import (
    CrossStitchSpec,
    HardSpec,
    LeNetSpec,
    MLPSpec,
    MMoESpec,
    MobileNetSpec,
    MTANSpec,
    NetSpec,
    PlainSpec,
    PLESpec,
    ResNetSpec,
    SharingSpec,
    TCNSpec,
    TextCNNSpec,
    TransformerSpec,
)
from mtl_edge.tasks import Multiclass, Regression, TargetStatistics


@dataclass(frozen=True)
class Dense:
    """As much of a task with one label per pixel as a network needs."""

    name: str
    width: int
    dense: bool = True


WORDS = Tokens(vocabulary=tuple("abcdefgh"), length=6)
STATISTICS = {"kind": TargetStatistics(), "size": TargetStatistics(mean=100.0, std=20.0), "mask": TargetStatistics()}
PLAIN = (Multiclass(name="kind", target="kind", classes=3), Regression(name="size", target="size"))

SCHEMES: dict[str, SharingSpec] = {
    "hard": HardSpec(),
    "mmoe": MMoESpec(experts=3),
    "ple": PLESpec(shared_experts=1, task_experts=1),
    "cross-stitch": CrossStitchSpec(),
    "mtan": MTANSpec(),
}
TRUNKS: dict[str, tuple[Callable[[SharingSpec], NetSpec], tuple[int, ...] | str]] = {
    "mlp": (lambda sharing: MLPSpec(sharing=sharing, widths=(16, 16), embedding=4, head_hidden=16), "table"),
    "lenet": (lambda sharing: LeNetSpec(sharing=sharing, widths=(8, 8, 16), head_hidden=16), (2, 9, 7)),
    "plain": (lambda sharing: PlainSpec(sharing=sharing, width=8, depth=(1, 1, 1), head_hidden=16), (2, 9, 7)),
    "resnet": (lambda sharing: ResNetSpec(sharing=sharing, width=8, depth=(1, 1), head_hidden=16), (2, 9, 7)),
    "dense resnet": (lambda sharing: ResNetSpec(sharing=sharing, width=8, depth=(1, 1), head_hidden=16), (2, 9, 7)),
    "mobilenet": (lambda sharing: MobileNetSpec(sharing=sharing, depth=(1, 1), expansion=2, head_hidden=16), (2, 9, 7)),
    "textcnn": (
        lambda sharing: TextCNNSpec(sharing=sharing, embedding=8, width=8, kernels=(1, 3), head_hidden=16),
        "text",
    ),
    "transformer": (
        lambda sharing: TransformerSpec(sharing=sharing, width=16, depth=2, heads=2, hidden=16, head_hidden=16),
        "text",
    ),
    "tcn": (lambda sharing: TCNSpec(sharing=sharing, width=16, depth=2, head_hidden=16), (2, 6)),
}
IMAGES = ("lenet", "plain", "resnet", "dense resnet", "mobilenet")
QUICK = (("mlp", "mmoe"), ("mlp", "ple"), ("mlp", "cross-stitch"), ("resnet", "mtan"))


# --- every scheme with every trunk ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trunk", "scheme"),
    [
        pytest.param(trunk, scheme, marks=() if (trunk, scheme) in QUICK else pytest.mark.slow)
        for trunk in TRUNKS
        for scheme in SCHEMES
        if scheme != "mtan" or trunk in IMAGES
    ],
)
def test_a_scheme_goes_all_the_way_with_a_trunk(
    trunk: str,
    scheme: str,
    source: Callable[..., ModelInput],
    samples: Callable[[ModelInput, int], np.ndarray],
    table: object,
) -> None:
    """All parameters learn; the pruned net comes back from its weights, exports for any batch size, and quantizes."""
    make_spec, kind = TRUNKS[trunk]
    match kind:
        case "table":
            reads = source(4, preprocessing=table)
        case "text":
            reads = source(WORDS.length, preprocessing=WORDS)
        case shape:
            reads = source(*shape)
    tasks = (*PLAIN, Dense("mask", 2)) if trunk == "dense resnet" else PLAIN
    net, restored = (build_net(make_spec(SCHEMES[scheme]), tasks, reads, STATISTICS) for _ in range(2))
    x = torch.from_numpy(samples(reads, 48))
    _learn(net, x)
    idle = [name for name, value in net.named_parameters() if value.grad is None or not value.grad.any()]
    assert idle == []

    net.eval()
    pruned = prune_channels(net, x[:2], [_loss(net, x)], ratio=0.5, round_to=4).eval()
    assert pruned.parameter_count < 0.65 * net.parameter_count
    load_weights(restored, pruned.state_dict())
    expected, found = _outputs(pruned, x), _outputs(restored, x)
    for name, out in expected.items():
        np.testing.assert_array_equal(found[name], out)

    _learn(restored, x)
    expected, model = _outputs(restored, x), export_onnx(restored, x[:2], "x")
    check_parity(expected, _run(model, restored, x))
    alone = _run(model, restored, x[:1])
    for name, out in expected.items():
        np.testing.assert_allclose(alone[name], out[:1], rtol=1e-4, atol=1e-4 * out.std())

    quantized = quantize_static(model, [{"x": part.numpy()} for part in x.split(16)])
    for name, out in _run(quantized, restored, x).items():
        assert np.sqrt(((out - expected[name]) ** 2).mean()) < 0.2 * expected[name].std()


def _loss(net: MultiTaskNet, x: Tensor) -> Tensor:
    """The targets are simple functions of the inputs."""
    flat = torch.nan_to_num(x.float().flatten(1))
    signal = ((flat - flat.mean(0)) / flat.std(0)).mean(1)
    signal = signal / signal.std()
    outputs = net(x)
    losses = [
        nn.functional.cross_entropy(outputs["kind"], (signal > 0).long() + (signal > 1).long()),
        ((outputs["size"][:, 0] - 100) / 20 - signal).square().mean(),
    ]
    if "mask" in outputs:
        losses.append(nn.functional.cross_entropy(outputs["mask"], (x[:, 0] > 0).long()))
    return torch.stack(losses).sum()


def _learn(net: MultiTaskNet, x: Tensor) -> None:
    net.train()
    optimizer = torch.optim.AdamW(net.parameters(), 4e-3)
    for _ in range(12):
        optimizer.zero_grad()
        _loss(net, x).backward()
        optimizer.step()
    net.eval()


def _outputs(net: MultiTaskNet, x: Tensor) -> dict[str, np.ndarray]:
    with torch.no_grad():
        return {name: out.numpy() for name, out in net.eval()(x).items()}


def _run(model: bytes, net: MultiTaskNet, x: Tensor) -> dict[str, np.ndarray]:
    outputs = onnxruntime.InferenceSession(model).run(list(net.tasks), {"x": x.numpy()})
    return dict(zip(net.tasks, outputs, strict=True))


# --- what each scheme computes --------------------------------------------------------------------------------------

X = torch.randn(4, 2, 11, 9, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def _trunk(depth: tuple[int, ...] = (1, 1, 1)) -> Trunk:
    """A trunk whose batch norms have something to do."""
    trunk = resnet(2, 4, depth)
    for layer in trunk.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.1, 0.3)
            nn.init.normal_(layer.bias)
    return trunk


def _apply(sharing: nn.Module) -> list[Features]:
    with torch.no_grad():
        features: list[Features] = sharing.eval()(X)
    return features


def _assert_same(found: Features, expected: Features) -> None:
    assert expected.pooled.std() > 0.1  # else anything would be the same
    torch.testing.assert_close(found.pooled, expected.pooled)
    assert len(found.maps) == len(expected.maps)
    for mine, theirs in zip(found.maps, expected.maps, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(
    "make",
    [
        lambda trunk: MMoESharing(lambda: trunk, tasks=2, experts=1),
        lambda trunk: PLESharing(lambda: trunk, tasks=2, shared_experts=1, task_experts=0),
    ],
    ids=["mmoe", "ple"],
)
def test_one_expert_for_all_is_hard_sharing(make: Callable[[Trunk], nn.Module]) -> None:
    """A gate has nothing to choose from; vectors and maps are the same."""
    trunk = _trunk()
    for found, expected in zip(_apply(make(trunk)), _apply(HardSharing(lambda: trunk, 2)), strict=True):
        _assert_same(found, expected)


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("spec", SCHEMES.values())
def test_any_number_of_tasks_gets_features(spec: SharingSpec, tasks: int) -> None:
    """One for each task, as wide as the trunk's own."""
    expected = _apply(HardSharing(_trunk, 1))[0]
    features = _apply(build_sharing(spec, _trunk, tasks=tasks))
    assert [found.pooled.shape for found in features] == [expected.pooled.shape] * tasks
    for found in features:
        assert [one.shape for one in found.maps] == [one.shape for one in expected.maps]


@pytest.mark.parametrize("separate", [False, True])
def test_gates_sum_to_one_over_what_they_may_read(separate: bool) -> None:
    """Rows may read different numbers of branches; the others weigh nothing at all."""
    gates = Gates(5, [[0, 2], [1, 2], [0, 1, 2]], 3, separate=separate)
    vectors = torch.randn(3 if separate else 1, 4, 5)
    weights = gates(*vectors)
    torch.testing.assert_close(weights.sum(2), torch.ones(4, 3))
    assert (weights[:, 0, 1] == 0).all()
    assert (weights[:, 1, 0] == 0).all()
    assert (weights > 0).sum() == 4 * 7


@given(rows=st.integers(1, 3), branches=st.integers(1, 4), shape=st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_a_mixture_is_the_weighted_sum(rows: int, branches: int, shape: list[int]) -> None:
    """With weights of each sample or of all, in the form that trains and in the form that is exported."""
    stacked = torch.randn(2, branches, *shape)
    for weights in (torch.randn(2, rows, branches), torch.randn(rows, branches)):
        expected = torch.einsum("nrb,nb...->rn...", weights.expand(2, rows, branches), stacked)
        for mixture in (Mixture(), Mixture().folded()):
            torch.testing.assert_close(torch.stack(mixture(weights, stacked.unbind(1))), expected)


def test_each_task_of_mmoe_weighs_the_experts_by_its_own_gate() -> None:
    """A gate that is sure of one expert gives that expert's features."""
    trunks = [_trunk() for _ in range(3)]
    for trunk in trunks[1:]:
        trunk.stem = trunks[0].stem
    feed = iter(trunks)
    sharing = MMoESharing(lambda: next(feed), tasks=2, experts=3)
    layer = sharing.gates.layers[0]
    nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([0.0, 200, 0, 0, 0, 200]))
    for found, expert in zip(_apply(sharing), (1, 2), strict=True):
        _assert_same(found, _apply(HardSharing(lambda expert=expert: trunks[expert], 1))[0])


def test_a_task_of_ple_does_not_read_the_experts_of_others() -> None:
    """Within a level; the shared experts carry what tasks have in common to the next."""
    sharing = PLESharing(lambda: _trunk((1,)), tasks=2, shared_experts=1, task_experts=2)
    before = _apply(sharing)
    for expert in sharing.levels[0].experts[2:4]:  # those of the second task
        for parameter in expert.parameters():
            nn.init.normal_(parameter)
    first, second = _apply(sharing)
    _assert_same(first, before[0])
    assert not torch.allclose(second.pooled, before[1].pooled)


def test_cross_stitch_with_identities_is_separate_trunks() -> None:
    """Nothing is exchanged, so each task has what its own trunk gives."""
    trunks = [_trunk() for _ in range(3)]
    feed = iter(trunks)
    sharing = CrossStitchSharing(lambda: next(feed), tasks=3)
    for module in sharing.modules():
        if isinstance(module, Stitch):
            nn.init.eye_(module.weight)
    for found, trunk in zip(_apply(sharing), trunks, strict=True):
        _assert_same(found, _apply(HardSharing(lambda trunk=trunk: trunk, 1))[0])


@pytest.mark.parametrize("tasks", [1, 2, 5])
def test_stitches_start_as_averages_near_the_identity(tasks: int) -> None:
    """A task's own map weighs 0.9, all of them together 1."""
    weight = Stitch(tasks).weight
    torch.testing.assert_close(weight.sum(1), torch.ones(tasks))
    torch.testing.assert_close(weight.diagonal(), torch.full((tasks,), 0.9 if tasks > 1 else 1.0))


def test_attention_that_lets_everything_pass_is_hard_sharing() -> None:
    """Masks of one change nothing; they never are below zero or above one."""
    trunk = _trunk()
    sharing = MTANSharing(lambda: trunk, tasks=2)
    for found, expected in zip(_apply(sharing), _apply(HardSharing(lambda: trunk, 2)), strict=True):
        assert (found.maps[1] <= expected.maps[1]).all()
        assert (found.maps[1] >= 0).all()
    for name, module in sharing.named_modules():
        if isinstance(module, nn.BatchNorm2d) and name.endswith(".4"):  # the last before the sigmoid
            nn.init.zeros_(module.weight)
            nn.init.constant_(module.bias, 50)
    for found, expected in zip(_apply(sharing), _apply(HardSharing(lambda: trunk, 2)), strict=True):
        _assert_same(found, expected)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 8), (9, 16), (15, 33)])
def test_attention_fits_maps_of_any_size(size: tuple[int, int]) -> None:
    """Odd sizes, and images smaller than the strides."""
    sharing = MTANSharing(lambda: resnet(1, 4, (1, 1, 1)), tasks=2).eval()
    for features in sharing(torch.randn(2, 1, *size)):
        assert [found.shape for found in features.maps] == [
            found.shape for found in sharing.trunk(torch.zeros(2, 1, *size)).maps
        ]


@pytest.mark.parametrize(
    "spec", [MMoESpec(experts=3), PLESpec(shared_experts=1, task_experts=1), CrossStitchSpec(), MTANSpec()]
)
def test_swapping_the_tasks_swaps_their_features(spec: SharingSpec) -> None:
    """No task is special: what a scheme keeps for each one is all that tells them apart."""
    sharing = build_sharing(spec, _trunk, tasks=2)
    first, second = _apply(sharing)
    assert not torch.allclose(first.pooled, second.pooled)
    for found, expected in zip(_apply(_with_tasks_swapped(sharing)), (second, first), strict=True):
        _assert_same(found, expected)


def _with_tasks_swapped(sharing: nn.Module) -> nn.Module:
    sharing = copy.deepcopy(sharing)
    match sharing:
        case MMoESharing():
            _reorder(sharing.gates.layers[0], [3, 4, 5, 0, 1, 2])
        case PLESharing():
            first, *others = sharing.levels
            _reorder(first.gates.layers[0], [2, 3, 0, 1, *([5, 4, 6] if others else [])])
            for level in others[:-1]:
                _reorder(level.gates.layers[2], [1, 0, 2])
            for level in sharing.levels:
                _swap(level.experts)
                if level is not first:
                    _swap(level.gates.layers)
        case CrossStitchSharing():
            _swap(sharing.stems)
            for stage in sharing.stages:
                _swap(stage.stages)
                stage.stitch.weight.data = stage.stitch.weight.data.flip(0, 1)
        case MTANSharing():
            for attentions in sharing.attentions:
                _swap(attentions.attentions)
    return sharing


def _swap(modules: nn.ModuleList) -> None:
    modules[0], modules[1] = modules[1], modules[0]


def _reorder(layer: nn.Linear, rows: list[int]) -> None:
    layer.weight.data, layer.bias.data = layer.weight.data[rows], layer.bias.data[rows]


# --- what is refused, and what is not paid for ----------------------------------------------------------------------


def test_mtan_needs_images(source: Callable[..., ModelInput]) -> None:
    """The message names the key, the rule and the shapes."""
    spec = TCNSpec(sharing=MTANSpec(), width=8, depth=1)
    with pytest.raises(RecipeError, match=r"net.sharing: 'mtan' needs a trunk with maps \(C, H, W\), .* \(8, 6\)"):
        build_net(spec, PLAIN, source(2, 6), STATISTICS)


def test_mtan_refuses_maps_that_grow() -> None:
    """A trunk of the user's may have such; a task's part of the smaller one would not fit."""
    trunk = Trunk(nn.Identity(), [nn.Upsample(scale_factor=2)], nn.Identity(), (2, 2))
    with pytest.raises(RecipeError, match=r"none larger than the one before, found \(2, 11, 9\) and \(2, 22, 18\)"):
        _apply(MTANSharing(lambda: trunk, tasks=2))


@pytest.mark.parametrize("spec", [spec for name, spec in SCHEMES.items() if name != "hard"])
def test_schemes_that_work_on_stages_need_some(spec: SharingSpec) -> None:
    """Such as a trunk of the user's that gives vectors."""
    with pytest.raises(RecipeError, match=r"net.sharing: '.*' needs a trunk of at least one stage, found .* without"):
        build_sharing(spec, lambda: Trunk(nn.Linear(3, 4), [], nn.Identity(), (4,)), tasks=2)


def test_maps_are_mixed_for_dense_heads_only(source: Callable[..., ModelInput]) -> None:
    """The tasks of one label per sample cost one product over the experts' vectors, however many stages there are."""
    spec = ResNetSpec(sharing=MMoESpec(experts=3), width=8, depth=(1, 1, 1))
    net = build_net(spec, PLAIN, source(2, 9, 7), STATISTICS)
    graph = onnx.load_from_string(export_onnx(net, torch.zeros(2, 2, 9, 7), "x")).graph
    assert sum(node.op_type == "MatMul" for node in graph.node) == 1
    assert sum(node.op_type == "Concat" for node in graph.node) == 1
