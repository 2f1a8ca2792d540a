"""A real SSH server on the loopback interface, with keys and folders of its own."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from mtl_edge.bench.settings import Settings
from mtl_edge.remote.wheels import base_pins

ROOT = Path(__file__).parents[2]
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
_PATIENCE_S = 60


@pytest.fixture(scope="session")
def quick() -> Settings:
    """Next to no measurement."""
    return Settings(threads=(1,), rounds=2, round_seconds=0.01, round_runs=1, cold_starts=1, memory_repeats=0)


@pytest.fixture(scope="session", name="wait_until")
def wait_until_fixture() -> Callable[[Callable[[], bool]], None]:
    """Wait for something that happens on the other side."""
    return wait_until


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens on the other side."""
    end = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.05)


@dataclass(frozen=True)
class SshServer:
    """One server: ``temporary`` is where temporary folders are made on "the box", ``cache`` where it keeps things."""

    port: int
    process: "subprocess.Popen[bytes]"
    temporary: Path
    cache: Path
    box: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "box", f"127.0.0.1:{self.port}")

    @property
    def leftovers(self) -> list[Path]:
        """What is in the box's folder for temporary files."""
        return list(self.temporary.iterdir())

    def drop_connections(self) -> None:
        """Kill the processes that serve connections, as a cable that is pulled would end them."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.name().startswith("sshd"):
                    child.kill()


@pytest.fixture(scope="session")
def sshd() -> str:
    """The server's program; without it, tests are skipped, but not in continuous integration."""
    found = shutil.which("sshd", path=_PATH)
    if found is None or shutil.which("ssh-keygen") is None:
        missing = "needs an SSH server: apt-get install openssh-server"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory, sshd: str) -> Path:
    """A folder with the keys ``host``, ``other-host``, ``user`` and ``other-user``."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("host", "other-host", "user", "other-user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where boxes keep environments: all servers have it in common, so that there is but one to make."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels of the base install in the versions of this one."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    pins = [f"{name}=={version}" for name, version in base_pins().items()]
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(folder)]
    subprocess.run([*command, *pins], check=True)
    return folder


@pytest.fixture
def start_server(sshd: str, keys: Path, cache: Path, tmp_path: Path) -> Iterator[Callable[..., SshServer]]:
    """Start a server with further lines in its configuration, or another folder for temporary files."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*lines: str, temporary: Path | None = None) -> SshServer:
        folder = tmp_path / f"server-{len(started)}"
        temporary = temporary or folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        configuration = [
            f"Port {port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {keys / 'host'}",
            f"AuthorizedKeysFile {keys / 'user.pub'}",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "UsePAM no",
            "StrictModes no",
            "PidFile none",
            f"SetEnv XDG_CACHE_HOME={cache} TMPDIR={temporary}",
            *lines,
        ]
        (folder / "sshd_config").write_text("\n".join(configuration) + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        with (folder / "log").open("wb") as log:
            command = [sshd, "-D", "-e", "-f", str(folder / "sshd_config")]
            started.append(subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL))

        def listens() -> bool:
            assert started[-1].poll() is None, (folder / "log").read_text()
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listens)
        return SshServer(port, started[-1], temporary, cache)

    yield start
    for process in started:
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        process.kill()
        process.wait()


@pytest.fixture
def home(tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make the user's home folder: with a key to log in with, and hosts that are known by a key each."""

    def make(server: SshServer | None = None, *, user: str = "user", host: str | None = "host") -> Path:
        folder = tmp_path / "home"
        (folder / ".ssh").mkdir(parents=True)
        configuration = f"Host 127.0.0.1\n  IdentityFile {keys / user}\n  IdentitiesOnly yes\n"
        (folder / ".ssh" / "config").write_text(configuration)
        if server is not None and host is not None:
            known = f"[127.0.0.1]:{server.port} {(keys / f'{host}.pub').read_text()}"
            (folder / ".ssh" / "known_hosts").write_text(known)
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        return folder

    return make


@pytest.fixture(scope="session")
def model() -> Path:
    """A small int8 model."""
    return ROOT / "models" / "hello-mlp" / "model.onnx"
