"""Fetch what the tests of real clients run with: headers of ONNX Runtime, other versions of it, and an ARM64 system.

Run as a script, ``python tests/clients/fetch.py``, once; what is there already is left alone. Needs Debian, and pip.
Nothing is installed: all of it lies in a folder of the user's cache.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path

from mtl_edge.storage import cache_folder

TOOLS = cache_folder() / "client-tools"
"""What has been fetched, a folder each."""

HEADERS = TOOLS / "onnxruntime-headers-1.21.0"
"""``usr/include/onnxruntime``, which no wheel has."""

OTHER_RUNTIMES = {version: TOOLS / f"onnxruntime-{version}" for version in ("1.19.2", "1.30.0")}
"""Version -> what its wheel holds. The first is the oldest wheel that holds the library by itself."""

ARM64 = TOOLS / "arm64"
"""A root folder with Python and the C++ library, for ``qemu -L``."""

_ROOT = Path(__file__).parents[2]
_CONSTRAINTS = _ROOT / "constraints.txt"

ARM64_PACKAGES = TOOLS / f"arm64-packages-{hashlib.sha256(_CONSTRAINTS.read_bytes()).hexdigest()[:12]}"
"""The base install of mtl-edge, all but itself, for that Python."""

_HEADERS_SHA256 = "14f7d959d5deacbcf1504830d4189f91fc67382b399ed9ae9d3aa9c4050ced08"
_PROCESSOR = """\
processor\t: 0
BogoMIPS\t: 100.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1
"""
"""What the runtime's search for the processor's abilities reads; QEMU before 8 shows it the host's instead."""


def main() -> None:
    """Fetch what is missing."""
    _once(HEADERS, _headers)
    for version, folder in OTHER_RUNTIMES.items():
        _once(folder, lambda target, version=version: _runtime(target, version))
    _once(ARM64, _arm64)
    _once(ARM64_PACKAGES, _arm64_packages)


def _once(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder that is there as a whole or not at all."""
    if folder.is_dir():
        return
    print(f"fetching {folder}", flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder.parent))
    try:
        fill(temporary)
        temporary.chmod(0o755)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _headers(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as work:
        package = _apt(Path(work), "trixie", "amd64", "download", "libonnxruntime-dev=1.21.0*")[0]
        found = hashlib.sha256(package.read_bytes()).hexdigest()
        if found != _HEADERS_SHA256:
            sys.exit(f"{package.name}: SHA-256 must be {_HEADERS_SHA256}, found {found}")
        _do("dpkg-deb", "-x", package, folder)


def _runtime(folder: Path, version: str) -> None:
    # Nothing of it is imported: its Python, and what it depends on, do not matter.
    _pip_install(folder, "x86_64", "3.11", "--no-deps", f"onnxruntime=={version}")


def _arm64(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as work:
        wanted = ("python3", "libstdc++6", "libexpat1", "zlib1g", "libffi8", "libssl3")
        options = ("--download-only", "--yes", "--no-install-recommends")
        for package in _apt(Path(work), _codename(), "arm64", "install", *options, *wanted):
            _do("dpkg-deb", "-x", package, folder)
    (folder / "proc").mkdir(exist_ok=True)
    (folder / "proc" / "cpuinfo").write_text(_PROCESSOR)


def _arm64_packages(folder: Path) -> None:
    interpreter = next(path.name for path in (ARM64 / "usr/bin").iterdir() if re.fullmatch(r"python3\.\d+", path.name))
    base = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    _pip_install(folder, "aarch64", interpreter.removeprefix("python"), "-c", _CONSTRAINTS, *base)


def _pip_install(folder: Path, machine: str, python: str, *what: object) -> None:
    platforms = [f"--platform={name}_{machine}" for name in ("manylinux_2_28", "manylinux_2_27", "manylinux2014")]
    only = ("--only-binary=:all:", "--implementation=cp", f"--python-version={python}", "--no-compile")
    _do(sys.executable, "-m", "pip", "install", "-q", f"--target={folder}", *platforms, *only, *what)


def _apt(work: Path, suite: str, architecture: str, do: str, *what: str) -> list[Path]:
    """Let apt do something with an archive of another suite or architecture, apart from the system's own packages."""
    uri, keys = _archive()
    source = work / "archive.list"
    source.write_text(f"deb [arch={architecture}{f' signed-by={keys}' if keys else ''}] {uri} {suite} main\n")
    (work / "status").touch()
    for name in ("lists/partial", "archives/partial"):
        (work / name).mkdir(parents=True)
    options = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "",
        "Dir::Etc::sourcelist": source,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": work / "lists",
        "Dir::State::status": work / "status",
        "Dir::Cache": work,
        "Dir::Cache::archives": work / "archives",
        "Debug::NoLocking": "true",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    _do(*apt, "update")
    _do(*apt, do, *what, cwd=work / "archives")
    return sorted((work / "archives").glob("*.deb"))


def _archive() -> tuple[str, str]:
    """Where this machine's own packages come from, and the keys that sign them."""
    suite = _codename()
    for path in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))):
        text = path.read_text() if path.is_file() else ""
        for stanza in re.split(r"\n\s*\n", text):  # *.sources
            fields = dict(re.findall(r"(?m)^(URIs|Suites|Signed-By):[ \t]*(\S.*?)[ \t]*$", stanza))
            if suite in fields.get("Suites", "").split():
                return fields["URIs"].split()[0], fields.get("Signed-By", "")
        for options, uri in re.findall(rf"(?m)^deb\s+(?:\[(.*?)\]\s+)?(\S+)\s+{suite}\s", text):  # *.list
            keys = re.search(r"signed-by=(\S+)", options)
            return uri, keys[1] if keys else ""
    sys.exit(f"/etc/apt: must name an archive of {suite}, found none")


def _codename() -> str:
    found = re.search(r"(?m)^VERSION_CODENAME=(\S+)", Path("/etc/os-release").read_text())
    return found[1] if found else sys.exit("/etc/os-release: must name a codename, found none")


def _do(*command: object, cwd: Path | None = None) -> None:
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
