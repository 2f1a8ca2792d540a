"""A connection to a box whose host key is known, and the agent at its other end."""

import asyncio
import contextlib
import hashlib
import importlib.resources
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn

import asyncssh
import msgspec

from mtl_edge.errors import BenchError, last_words
from mtl_edge.remote.target import SshBox

_CONNECT_S = 20
_CLOSE_S = 15
_ALIVE_S = 10
_PIECE = 1 << 18
_GREETING = b"mtl-edge agent\n"
_NO_PYTHON = 66
_FIND_PYTHON = f"""
for python in python3 python3.14 python3.13 python3.12 python3.11; do
  if "$python" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; then
    exec "$python" -uc "import sys; exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
  fi
done
python3 --version >&2 || echo none >&2
exit {_NO_PYTHON}
"""
_COMMAND = f"exec sh -c {shlex.quote(_FIND_PYTHON)}"
"""The only thing that a shell of the box ever reads: no name of a file or a host is in it."""


class Agent:
    """The agent on the box: requests and files go in, answers come out."""

    def __init__(self, process: "asyncssh.SSHClientProcess[bytes]") -> None:
        self._process = process

    async def begin(self) -> None:
        """Wait until it is there; what the box's shell says before does not matter.

        Raises:
            BenchError: it cannot be started there.
        """
        said = b""
        while (line := await self._process.stdout.readline()) != _GREETING:
            said = line.strip() or said
            if not line.endswith(b"\n"):
                await self._explain_end(said)

    async def ask(self, what: str, **details: object) -> Any:
        """Send a request, and wait for its answer.

        Raises:
            BenchError: the box could not do it.
        """
        await self._send(msgspec.json.encode({"do": what, **details}) + b"\n")
        return await self._answer()

    async def put(self, place: str, content: Path | bytes) -> None:
        """Copy a file to a place below the box's temporary folder; its SHA-256 is compared there.

        Raises:
            BenchError: it cannot be written there, or did not arrive as it is.
        """
        if isinstance(content, Path):
            content = await asyncio.to_thread(_read, content)
        sha256 = hashlib.sha256(content).hexdigest()
        request = {"do": "put", "path": place, "size": len(content), "sha256": sha256}
        await self._send(msgspec.json.encode(request) + b"\n")
        for start in range(0, len(content), _PIECE):
            await self._send(content[start : start + _PIECE])
        await self._answer()

    async def _send(self, content: bytes) -> None:
        self._process.stdin.write(content)
        await self._process.stdin.drain()

    async def _answer(self) -> Any:
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            await self._explain_end()
        answer = msgspec.json.decode(line)
        if "error" in answer:
            raise BenchError(answer["error"])
        if "size" in answer:
            return await self._process.stdout.readexactly(answer["size"])
        return answer["value"]

    async def _explain_end(self, printed: bytes = b"") -> NoReturn:
        """Say why the agent is no more."""
        done = await self._process.wait()
        errors = done.stderr.decode(errors="replace") if isinstance(done.stderr, bytes) else ""
        last = (errors.strip().splitlines() or [""])[-1]
        if done.exit_status == _NO_PYTHON:
            raise BenchError(f"Python 3.11 or later must be there as python3, found {last}")
        said = printed.decode(errors="replace") or last
        if done.exit_status is None or done.exit_status < 0:
            raise BenchError("the connection was lost")
        raise BenchError(f"the agent there ended with {done.exit_status}: {said or 'it said nothing'}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BenchError(f"{path}: cannot be read: {error.strerror}") from error


@contextlib.asynccontextmanager
async def open_agent(box: SshBox) -> AsyncIterator[Agent]:
    """Connect and start the agent; at the end it is seen to have gone, with its folder.

    Raises:
        BenchError: the box cannot be reached, its key is not a known one, or it lets nobody in.
    """
    source = importlib.resources.files("mtl_edge.remote").joinpath("agent.py").read_bytes()
    async with contextlib.AsyncExitStack() as stack:
        connection = await stack.enter_async_context(await _connect(box))
        process = await connection.create_process(_COMMAND, encoding=None)
        try:
            process.stdin.write(f"{len(source)}\n".encode() + source)
            agent = Agent(process)
            await agent.begin()
            yield agent
        except (asyncssh.Error, OSError, asyncio.IncompleteReadError) as error:
            raise BenchError(f"the connection was lost: {last_words(error)}") from error
        finally:
            with contextlib.suppress(asyncssh.Error, OSError, TimeoutError):
                process.stdin.write_eof()
                await asyncio.wait_for(process.wait_closed(), _CLOSE_S)


async def _connect(box: SshBox) -> asyncssh.SSHClientConnection:
    options = asyncssh.SSHClientConnectionOptions(
        host=box.host,
        port=box.port or (),
        username=box.user or (),
        connect_timeout=_CONNECT_S,
        login_timeout=_CONNECT_S,
        keepalive_interval=_ALIVE_S,
        keepalive_count_max=3,
    )
    known = _known_hosts(options)
    options = asyncssh.SSHClientConnectionOptions(options, known_hosts=known)
    try:
        return await asyncssh.connect(box.host, options=options)
    except asyncssh.HostKeyNotVerifiable as error:
        raise BenchError(await _advice(options, known)) from error
    except asyncssh.PermissionDenied as error:
        user = f"{options.username}@{options.host}"
        raise BenchError(f"it must let {user} in with a key, found: {error.reason}; see ssh-copy-id") from error
    except TimeoutError as error:
        raise BenchError(f"it cannot be reached: no answer within {_CONNECT_S} s") from error
    except (asyncssh.Error, OSError) as error:
        raise BenchError(f"it cannot be reached: {last_words(error)}") from error


def _known_hosts(options: asyncssh.SSHClientConnectionOptions) -> list[str] | bytes:
    """The files of known keys that the user's configuration names, or the usual ones; they decide in any case."""
    named = options.known_hosts
    files = [str(name) for name in named] if isinstance(named, list) else []
    files = files or [str(Path("~/.ssh/known_hosts").expanduser()), "/etc/ssh/ssh_known_hosts"]
    return [name for name in files if Path(name).expanduser().is_file()] or b""


async def _advice(options: asyncssh.SSHClientConnectionOptions, known: list[str] | bytes) -> str:
    """What the user can do about a key that is not known, or not the known one."""
    host, port = options.host, options.port
    name = host if port == 22 else f"[{host}]:{port}"
    key = await asyncssh.get_server_host_key(host, port)
    shown = f"{key.get_algorithm()} {key.get_fingerprint()}" if key else "of no known kind"
    scan = f"ssh-keyscan -p {port} {host} >> ~/.ssh/known_hosts"
    if any(asyncssh.match_known_hosts(known, host, "", port)[:3]):
        return (
            f"its host key ({shown}) is not the one in known_hosts: the box was set up anew, or something stands in "
            f"between; once you know which: ssh-keygen -R '{name}' && {scan}"
        )
    return f"its host key ({shown}) is not known; if the box really has this one, add it: {scan}"
