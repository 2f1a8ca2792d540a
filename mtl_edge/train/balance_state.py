"""What torchjd's methods remember from step to step, as plain values that a checkpoint can hold.

Some keep it in buffers that are None at first, some in plain attributes, one in an optimizer; ``state_dict`` has but a
part of it.
"""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_PLAIN = (bool, int, float, str, Tensor, torch.dtype, torch.device, type(None))


def state_of(method: nn.Module) -> dict[str, object]:
    """The state of a method and all its parts."""
    return {name: _state_of_part(part) for name, part in method.named_modules()}


def restore(method: nn.Module, state: Mapping[str, object]) -> None:
    """Bring a fresh method to a state from :func:`state_of`."""
    for name, part in method.named_modules():
        _restore_part(part, cast(dict[str, Any], state[name]))


def _state_of_part(part: nn.Module) -> dict[str, object]:
    own = {key: value for key, value in vars(part).items() if key not in _OF_EVERY_MODULE}
    optimizer = own.get("_optimizer")
    return {
        "parameters": {key: value.detach() for key, value in part.named_parameters(recurse=False)},
        "buffers": dict(part._buffers),
        "values": {key: value for key, value in own.items() if _is_plain(value)},
        "arrays": {key: torch.from_numpy(value) for key, value in own.items() if isinstance(value, np.ndarray)},
        "optimizer": optimizer.state_dict() if isinstance(optimizer, torch.optim.Optimizer) else None,
    }


def _restore_part(part: nn.Module, state: dict[str, Any]) -> None:
    from torchjd.scalarization import FAMO

    with torch.no_grad():
        for key, parameter in part.named_parameters(recurse=False):
            parameter.copy_(state["parameters"][key])
    part._buffers.update(state["buffers"])
    vars(part).update(state["values"])
    vars(part).update({key: value.numpy() for key, value in state["arrays"].items()})
    if isinstance(part, FAMO) and state["optimizer"] is not None:
        part._optimizer = torch.optim.Adam([part._w], lr=part.lr, weight_decay=part.weight_decay)
        part._optimizer.load_state_dict(state["optimizer"])
    if hasattr(part, "_init_optim_problem") and state["values"]["step"]:  # Nash-MTL builds it in its first step
        cast(Any, part)._init_optim_problem()


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)
