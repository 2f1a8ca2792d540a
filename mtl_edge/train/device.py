"""Which device trains, where its chance comes from, and whether bfloat16 is fast on it."""

import os

import torch

from mtl_edge.errors import RecipeError


def find_device(name: str) -> torch.device:
    """The device of a name: ``cpu``, ``cuda``, ``mps``, or ``auto`` for the best that there is.

    Raises:
        RecipeError: this machine, or this build of torch, has no such device.
    """
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in found.items() if there)
    if not found[name]:
        there = ", ".join(kind for kind, there in found.items() if there)
        raise RecipeError(
            f"train.device: {name!r} is not there: torch {torch.__version__} finds {there} on this machine"
        )
    return torch.device(name, int(os.environ.get("LOCAL_RANK", "0"))) if name == "cuda" else torch.device(name)


def seed_chance(device: torch.device, seed: int) -> None:
    """Let all chance on a device, and on the CPU, follow from a seed.

    Called in every step: :func:`torch.manual_seed` also tells all kinds of accelerators, which on a machine without
    them takes 0.1 ms, a twentieth of a small network's step.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def bf16_is_fast(device: torch.device) -> bool:
    """Whether it multiplies bfloat16 natively (CPUs: AVX512-BF16 or AMX); elsewhere it is slower than float32."""
    match device.type:
        case "cpu":
            capabilities = torch.cpu.get_capabilities()
            return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
        case "cuda":
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        case _:
            return False
