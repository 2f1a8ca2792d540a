"""Which box the figures were measured on."""

import platform
from pathlib import Path
from typing import Literal

import msgspec
import psutil

import mtl_edge

_ISA_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "asimddp", "i8mm")
"""Instruction sets that decide how fast, and on x86 without VNNI how exact, int8 kernels are."""


TargetName = Literal["x86-vnni", "x86-avx2", "arm64"]
"""The kinds of processor that differ in which 8-bit products they add up fast and exactly."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """CPU, memory, system and the versions that the figures depend on."""

    cpu: str
    cores: int
    isa: tuple[str, ...]
    memory_bytes: int
    system: str
    versions: dict[str, str]

    @property
    def target(self) -> TargetName:
        """What int8 models are made for that run here."""
        if self.system.lower().endswith(("arm64", "aarch64")):
            return "arm64"
        return "x86-vnni" if {"avx512_vnni", "avx_vnni"} & set(self.isa) else "x86-avx2"


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """How the box was while it measured; what cannot be read is None.

    Attributes:
        governor: how the system chooses the processor's frequency.
        frequency_mhz: the lowest and the highest seen between turns.
        temperature_c: the highest of any sensor of the processor.
        throttled: how often the processor slowed itself down because of heat.
        other_load: how many cores were busy with other work, other virtual machines included, on average.
        energy: where energy is read from, or why it is not.
        noise: why the figures are to be taken with care, a sentence each; empty on a quiet box.
    """

    governor: str | None = None
    frequency_mhz: tuple[float, float] | None = None
    temperature_c: float | None = None
    throttled: int | None = None
    other_load: float = 0.0
    energy: str = ""
    noise: tuple[str, ...] = ()


def this_machine() -> Machine:
    """Read off this box."""
    import numpy as np
    import onnxruntime  # late: a parent that has mapped the runtime would make its children's shared memory look small

    fields = _cpuinfo()
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return Machine(
        cpu=fields.get("model name") or platform.processor() or platform.machine(),
        cores=psutil.cpu_count() or 1,
        isa=tuple(flag for flag in _ISA_FLAGS if flag in flags),
        memory_bytes=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.machine()}",
        versions={
            "mtl-edge": mtl_edge.__version__,
            "onnxruntime": onnxruntime.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    )


def _cpuinfo() -> dict[str, str]:
    """The first processor of Linux's list; empty elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
