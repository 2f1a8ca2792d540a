"""Which residual blocks a network could do without, and what each is worth to each task.

A block is recognised by what it does, so own networks have them too: a module that adds its very input to what its
layers make of it, and gives a tensor of the same shape.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mtl_edge.compress.outcome import DroppedBlock
from mtl_edge.errors import ModelError
from mtl_edge.nets.bypass import without_blocks
from mtl_edge.nets.multitask import MultiTaskNet

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)
_ADDS = (torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor)


def residual_blocks(net: MultiTaskNet, example: Tensor) -> tuple[str, ...]:
    """The names of the innermost modules that can be bypassed, in the order of the network.

    Args:
        net: the network, in evaluation mode.
        example: one batch of inputs.
    """
    watch = _Watch()
    with watch.on(net), watch:
        outputs = net(example)
    found = [name for name, adds in watch.adds.items() if adds]
    innermost = [name for name in found if not any(other.startswith(f"{name}.") for other in found)]
    order = [name for name, _ in net.named_modules() if name in innermost]
    return tuple(name for name in order if _runs(without_blocks(net, [name]), example, outputs))


def least_blocks(
    net: MultiTaskNet,
    blocks: Sequence[str],
    losses: Callable[[MultiTaskNet], Mapping[str, float]],
    *,
    most: int,
) -> list[DroppedBlock]:
    """The blocks that are to leave first, one after the other: each time the one that the worst-off task misses least.

    Args:
        net: the network with all blocks.
        blocks: those that can be bypassed.
        losses: network -> task -> its loss.
        most: how many to find.
    """
    before = losses(net)
    gone: list[DroppedBlock] = []
    while len(gone) < min(most, len(blocks)):
        names = [block.name for block in gone]
        tried = [
            DroppedBlock(name=name, losses=loss_changes(before, losses(without_blocks(net, [*names, name]))))
            for name in blocks
            if name not in names
        ]
        gone.append(min(tried, key=lambda block: max(block.losses.values())))
    return gone


def demand_blocks(blocks: Sequence[str], count: int) -> None:
    """See that a network has as many blocks as a recipe wants to drop.

    Raises:
        ModelError: it has fewer.
    """
    if len(blocks) < count:
        have = f"of this network {len(blocks)} can ({', '.join(blocks)})" if blocks else "of this network none can"
        raise ModelError(
            f"compress.prune.depth: must be at most the number of residual blocks that can be dropped, found {count}: "
            f"{have}; a residual block is a module that adds its input to what its layers make of it, in the same shape"
        )


def loss_changes(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """How much each task loses more, relative to its loss before."""
    return {task: (after[task] - loss) / max(loss, 1e-12) for task, loss in before.items()}


def _runs(net: MultiTaskNet, example: Tensor, expected: Mapping[str, Tensor]) -> bool:
    """Whether it gives outputs of the same shapes: code of the user's may reach into a block that is gone."""
    try:
        with torch.no_grad():
            found = net(example)
        return all(found[name].shape == out.shape for name, out in expected.items())
    except Exception:  # anything: it runs the user's code
        return False


@dataclass
class _Call:
    """A module at work."""

    name: str
    input: Tensor
    adds: bool = False


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which modules add their own input to something, and keep its shape.

    Attributes:
        adds: name of a module -> whether each of its calls did so.
        running: the calls that have not come back yet.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.adds: dict[str, bool] = {}
        self.running: list[_Call] = []

    @contextmanager
    def on(self, net: nn.Module) -> Iterator[None]:
        """Watch the modules of a network that have layers."""
        hooks = []
        for name, module in net.named_modules():
            if name and any(isinstance(inner, _LAYERS) for inner in module.modules()):
                hooks.append(module.register_forward_pre_hook(self._before(name)))
                hooks.append(module.register_forward_hook(self._after(name)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _before(self, name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if len(inputs) == 1 and isinstance(inputs[0], Tensor):
                self.running.append(_Call(name, inputs[0]))

        return note

    def _after(self, name: str) -> Callable[[nn.Module, tuple[Any, ...], object], None]:
        def note(module: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
            if self.running and self.running[-1].name == name:
                call = self.running.pop()
                same = isinstance(output, Tensor) and output.shape == call.input.shape
                self.adds[name] = self.adds.get(name, True) and call.adds and same

        return note

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _ADDS:
            places = {_place(value) for value in args if isinstance(value, Tensor)}
            for call in self.running:
                call.adds |= _place(call.input) in places
        return func(*args, **(kwargs or {}))


def _place(tensor: Tensor) -> tuple[int, int]:
    """The same for a tensor and its transposition, which share what they hold."""
    return tensor.untyped_storage().data_ptr(), tensor.numel()
