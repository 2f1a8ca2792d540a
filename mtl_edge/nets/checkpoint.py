"""Weights on disk: safetensors, never a pickle."""

from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn

from mtl_edge.errors import ModelError
from mtl_edge.storage import write_atomically


def save_weights(net: nn.Module, path: Path) -> None:
    """Write all parameters and buffers."""
    tensors = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    write_atomically(path, safetensors.torch.save(tensors))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read what :func:`save_weights` wrote.

    Raises:
        ModelError: the file cannot be read, or is not safetensors.
    """
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(f"{path}: is not a readable safetensors file: {error}") from error
