"""Benchmarks on a real SSH server: what it takes, what is refused, and that nothing is left behind."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from mtl_edge.bench.settings import Settings
from mtl_edge.cli import main
from mtl_edge.remote.boxes import benchmark_on
from mtl_edge.remote.job import Job
from mtl_edge.remote.results import Boxes
from mtl_edge.remote.target import parse_boxes

Start = Callable[..., Any]
Home = Callable[..., Path]
Wait = Callable[[Callable[[], bool]], None]


def _failure(box: str, job: Job) -> str:
    """Why the one box failed."""
    (result,) = benchmark_on(parse_boxes([box]), job).boxes
    assert result.benchmark is None
    assert "\n" not in result.failure
    return result.failure


def _only(program: Path, folder: Path) -> str:
    """A line of configuration with which the box has the standard shell and this program, called python3, only."""
    folder.mkdir()
    (folder / "sh").symlink_to("/bin/sh")
    (folder / "python3").symlink_to(program)
    return f'ForceCommand PATH={folder} exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"'


# --- what is refused before anything is done there ------------------------------------------------------------------


def test_a_host_key_that_nobody_knows_is_refused(start_server: Start, home: Home, model: Path, quick: Settings) -> None:
    """The error shows the key and says how to add it; known_hosts stays as it is."""
    server = start_server()
    folder = home(server, host=None)
    failure = _failure(server.box, Job((model,), settings=quick))
    assert "its host key (ssh-ed25519 SHA256:" in failure
    assert f"is not known; if the box really has this one, add it: ssh-keyscan -p {server.port} 127.0.0.1" in failure
    assert sorted(path.name for path in (folder / ".ssh").iterdir()) == ["config"]


def test_another_host_key_than_the_known_one_is_refused(
    start_server: Start, home: Home, model: Path, quick: Settings
) -> None:
    """It may be an attack, and is not to be mistaken for a new box."""
    server = start_server()
    home(server, host="other-host")
    failure = _failure(server.box, Job((model,), settings=quick))
    assert "is not the one in known_hosts: the box was set up anew, or something stands in between" in failure
    assert f"ssh-keygen -R '[127.0.0.1]:{server.port}'" in failure


def test_host_keys_are_verified_whatever_the_configuration_says(
    start_server: Start, home: Home, model: Path, quick: Settings
) -> None:
    """There is no way to accept any key."""
    server = start_server()
    folder = home(server, host=None)
    with (folder / ".ssh" / "config").open("a") as stream:
        stream.write("  StrictHostKeyChecking no\n  UserKnownHostsFile none\n")
    assert "is not known" in _failure(server.box, Job((model,), settings=quick))


def test_the_names_of_the_users_own_configuration_are_followed(
    start_server: Start, home: Home, model: Path, quick: Settings, wait_until: Wait
) -> None:
    """Address and port come from there; here the box is reached under an alias, and has no room."""
    server = start_server('ForceCommand ulimit -f 8; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"')
    folder = home(server)
    with (folder / ".ssh" / "config").open("a") as stream:
        stream.write(f"Host my-box\n  HostName 127.0.0.1\n  Port {server.port}\n")
        stream.write((folder / ".ssh" / "config").read_text().partition("\n")[2])
    assert "File too large" in _failure("my-box", Job((model,), settings=quick))


def test_who_may_not_log_in_is_told_so(start_server: Start, home: Home, model: Path, quick: Settings) -> None:
    """Nobody is asked for a password."""
    server = start_server()
    home(server, user="other-user")
    assert "must let" in _failure(f"somebody@{server.box}", Job((model,), settings=quick))


def test_a_box_that_is_not_there_is_told_so(home: Home, model: Path, quick: Settings) -> None:
    """In one line."""
    home()
    assert "it cannot be reached" in _failure("127.0.0.1:1", Job((model,), settings=quick))


@pytest.mark.parametrize("version", [None, "Python 3.9.2"])
def test_a_box_without_a_python_that_is_new_enough_is_told_so(
    start_server: Start, home: Home, model: Path, quick: Settings, tmp_path: Path, version: str | None
) -> None:
    """With the version that it has, if any."""
    program = tmp_path / "python"
    if version is not None:
        program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo {version}\n[ "$1" = --version ]\n')
        program.chmod(0o755)
    server = start_server(_only(program, tmp_path / "bin"))
    home(server)
    failure = _failure(server.box, Job((model,), settings=quick))
    assert failure == f"Python 3.11 or later must be there as python3, found {version or 'none'}"


def test_metrics_and_folders_are_refused_at_once(model: Path, tmp_path: Path) -> None:
    """Before any box is asked."""
    result = CliRunner().invoke(main, ["bench", str(model), "--on", "nowhere", "--data", str(model)])
    assert (result.exit_code, "--data: metrics cannot be measured on other boxes" in result.stderr) == (2, True)
    result = CliRunner().invoke(main, ["bench", str(tmp_path), "--on", "nowhere"])
    assert (result.exit_code, "--on measures models, not folders" in result.stderr) == (2, True)


# --- what fails there ------------------------------------------------------------------------------------------------


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a small disk, which only root may; the test with a limit is not skipped")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_cleared(
    start_server: Start, home: Home, model: Path, quick: Settings, full_disk: Path, wait_until: Wait
) -> None:
    """What did not fit, and why; the temporary folder is gone."""
    server = start_server(temporary=full_disk)
    home(server)
    failure = _failure(server.box, Job((model,), settings=quick))
    assert failure == "code.zip cannot be written there: No space left on device"
    wait_until(lambda: server.leftovers == [])


def test_a_limit_on_files_is_told_and_cleared(
    start_server: Start, home: Home, model: Path, quick: Settings, wait_until: Wait
) -> None:
    """As a quota would have it."""
    server = start_server('ForceCommand ulimit -f 8; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"')
    home(server)
    failure = _failure(server.box, Job((model,), settings=quick))
    assert failure == "code.zip cannot be written there: File too large"
    wait_until(lambda: server.leftovers == [])


def test_a_wheelhouse_without_the_wheels_for_it_is_an_error_of_pip(
    start_server: Start, home: Home, model: Path, quick: Settings, wheelhouse: Path, tmp_path: Path, wait_until: Wait
) -> None:
    """Here all wheels are for another kind of processor; nothing half-made is kept."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for path in wheelhouse.iterdir():
        name, version = path.name.split("-")[:2]
        (foreign / f"{name}-{version}-cp311-cp311-manylinux_2_28_s390x.whl").write_bytes(b"no wheel of ours")
    server = start_server()
    home(server)
    failure = _failure(server.box, Job((model,), settings=quick, wheelhouse=foreign))
    assert "No matching distribution found for" in failure
    wait_until(lambda: server.leftovers == [])


def test_a_box_that_takes_too_long_has_failed(
    start_server: Start, home: Home, model: Path, quick: Settings, wait_until: Wait
) -> None:
    """And nothing goes on there."""
    server = start_server('ForceCommand sleep 1.5; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"')
    home(server)
    assert _failure(server.box, Job((model,), settings=quick, timeout_s=1.0)) == "it was not done within 1 s"
    wait_until(lambda: server.leftovers == [])


# --- the whole way ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_boxes_stand_beside_one_another_and_one_that_fails_does_not_stop_the_others(
    start_server: Start, home: Home, model: Path, wheelhouse: Path, tmp_path: Path, wait_until: Wait
) -> None:
    """From nothing but Python to figures, under names that a shell would stumble over; no file is left behind."""
    odd = tmp_path / 'it\'s a "$(touch pwned)" `touch pwned`; touch pwned & $HOME'
    odd.mkdir()
    named = odd / "-n me'ss.onnx"
    named.write_bytes(model.read_bytes())
    server = start_server()
    home(server)
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1:1  # nobody there\n")
    arguments = ["bench", str(model), str(named), "--against", str(named), "--on", server.box, "--hosts", str(hosts)]
    few = ["--threads", "1", "--rounds", "2", "--seconds", "0.01", "--cold-starts", "1", "--memory-repeats", "0"]
    out = ["--wheelhouse", str(wheelhouse), "--json", str(tmp_path / "found.json")]
    result = CliRunner().invoke(main, [*arguments, *few, *out], env={"COLUMNS": "200"})
    assert result.exit_code == 1, result.output
    measured = msgspec.json.decode((tmp_path / "found.json").read_bytes(), type=Boxes)
    there, nowhere = measured.boxes
    assert there.benchmark is not None, there.failure
    assert there.benchmark.base == there.benchmark.results[0].name
    assert [found.paths for found in there.benchmark.results] == [(str(named),), (str(model),)]
    assert all(found.latencies[0].p50_ms > 0 for found in there.benchmark.results)
    assert (nowhere.name, nowhere.benchmark) == ("127.0.0.1:1", None)
    assert "cannot be reached" in nowhere.failure
    assert all(word in result.stdout for word in (server.box, "failed", "Peak memory", "Failed: 127.0.0.1:1"))
    wait_until(lambda: server.leftovers == [])
    assert not list(tmp_path.rglob("pwned"))
    assert len(list((server.cache / "mtl-edge" / "environments").iterdir())) == 1


@pytest.fixture
def lasting(start_server: Start, home: Home, model: Path, wheelhouse: Path) -> tuple[Any, Job]:
    """A server, and a benchmark that would go on for a quarter of an hour."""
    server = start_server()
    home(server)
    settings = Settings(threads=(1,), rounds=900, round_seconds=1.0, cold_starts=1, memory_repeats=0)
    return server, Job((model,), settings=settings, wheelhouse=wheelhouse)


def _measures(server: Any) -> bool:
    """Whether the benchmark itself has begun: its request is written when all else is there."""
    return any((folder / "request").exists() for folder in server.leftovers)


@pytest.mark.slow
def test_a_connection_that_drops_is_a_row_and_ends_all_there(lasting: tuple[Any, Job], wait_until: Wait) -> None:
    """The agent sees it, kills what it has started, and removes its folder."""
    server, job = lasting
    found: list[Boxes] = []
    thread = threading.Thread(target=lambda: found.append(benchmark_on(parse_boxes([server.box]), job)))
    thread.start()
    wait_until(lambda: _measures(server))
    server.drop_connections()
    thread.join(60)
    assert found[0].boxes[0].failure.startswith("the connection was lost")
    wait_until(lambda: server.leftovers == [])


@pytest.mark.slow
def test_ctrl_c_ends_all_there(
    lasting: tuple[Any, Job], start: Callable[..., "subprocess.Popen[str]"], wait_until: Wait
) -> None:
    """When the command returns, the folder is gone."""
    server, job = lasting
    arguments = ["bench", *job.models, "--on", server.box, "--wheelhouse", job.wheelhouse, "--rounds", "900"]
    process = start([*arguments, "--seconds", "1", "--threads", "1", "--cold-starts", "1", "--memory-repeats", "0"])
    wait_until(lambda: _measures(server))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert server.leftovers == []
