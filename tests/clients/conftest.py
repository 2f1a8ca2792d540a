"""What the tests of several clients share; built once."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from clients import trials
from clients.cpp_kits import FUSED, SANITIZED, ask, build, write_kits
from clients.tools import program


@dataclass(frozen=True)
class Probe:
    """The kits of the tests, and a program that was built with all of them."""

    kits: Path
    program: Path
    runner: Sequence[object] = ()

    def ask(self, kit: str, *words: object, **options: object) -> "subprocess.CompletedProcess[str]":
        """Ask it something about a kit."""
        return ask([*self.runner, self.program, kit, *words], **options)


@pytest.fixture(scope="session")
def cpp_kits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all kits."""
    folder = tmp_path_factory.mktemp("cpp-kits")
    write_kits(folder)
    return folder


@pytest.fixture(scope="session")
def probe_of(cpp_kits: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Probe]:
    """Build the probe with other flags, another compiler, and something that runs it."""
    return lambda compiler, flags, runner=(): Probe(
        cpp_kits, build(compiler, cpp_kits, flags, tmp_path_factory.mktemp("probe") / "probe"), runner
    )


@pytest.fixture(scope="session")
def sanitized(probe_of: Callable[..., Probe]) -> Probe:
    """Built with every warning an error, and run under sanitizers of memory and undefined behaviour."""
    return probe_of(program("g++", install="apt-get install g++"), SANITIZED)


@pytest.fixture(scope="session")
def fused(probe_of: Callable[..., Probe]) -> Probe:
    """Built as an app would be, for processors that multiply and add in one step if this is one of them."""
    return probe_of(program("g++", install="apt-get install g++"), FUSED)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the models that clients are tried on."""
    folder = tmp_path_factory.mktemp("models")
    trials.write_models(folder)
    return folder


@pytest.fixture(scope="session")
def pictures() -> list[np.ndarray]:
    """Pictures that clients are to make samples of."""
    return trials.pictures()
