"""Files that are whole or absent: atomic writes, and a cache of finished stages keyed by content.

A stage's key is the hash of everything that it depends on, so a changed recipe, data set, parent or line of code makes
a new entry and never reuses an old one. A stage writes into a temporary folder that is renamed when it is complete:
a killed process leaves a folder that nobody reads, and the next run sweeps it away. Only what a stage writes into its
resume folder is there for the next run to go on from.
"""

import errno
import hashlib
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mtl_edge.errors import WorkdirError

_UNFINISHED = ".unfinished-"
_RESUME = ".resume-"
_RESUME_DAYS = 30
_RECORD = "stage.json"
_NOT_WRITABLE = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EFBIG,
    errno.EIO,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


def sha256_of(*parts: bytes) -> str:
    """The SHA-256 of the parts, one after the other, as hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file's content, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache_folder() -> Path:
    """The folder of what mtl-edge keeps for all of a user's runs; it need not exist yet.

    It is ``$MTL_EDGE_CACHE``, or in the platform's own place for caches; all of it can be fetched or measured again.
    """
    if chosen := os.environ.get("MTL_EDGE_CACHE"):
        return Path(chosen).expanduser()
    match sys.platform:
        case "win32":
            home = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
            return home / "mtl-edge" / "Cache"
        case "darwin":
            return Path.home() / "Library" / "Caches" / "mtl-edge"
        case _:
            chosen = os.environ.get("XDG_CACHE_HOME", "")
            return (Path(chosen) if Path(chosen).is_absolute() else Path.home() / ".cache") / "mtl-edge"


def write_atomically(path: Path, content: bytes | str | Iterator[bytes], *, private: bool = False) -> None:
    """Write a file so that a reader sees the old content or the new, whatever happens in between.

    Args:
        path: the file.
        content: all of it; made piece by piece as it is written, it is never in memory as a whole.
        private: only its owner may read it, from the first byte on.

    Raises:
        WorkdirError: the folder cannot be written to, or the disk is full; the old file is untouched.
    """
    match content:
        case str():
            pieces = iter([content.encode()])
        case bytes():
            pieces = iter([content])
        case _:
            pieces = content
    with _storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _unfinished(path.parent)
        try:
            with open(temporary, "xb", opener=_for_the_owner) as stream:
                stream.writelines(pieces)
                stream.flush()
                os.fsync(stream.fileno())
            if not private:
                temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _fsync_folder(path.parent)


def write_folder(folder: Path, content: Mapping[str, bytes]) -> None:
    """Write a folder of files so that it is there as a whole or not at all; what was there before is replaced.

    Args:
        folder: the folder to write.
        content: path in the folder, with slashes -> content of the file.

    Raises:
        WorkdirError: the folder cannot be written to, or the disk is full; what was there is untouched.
    """
    with _storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = _unfinished(folder.parent)
        try:
            temporary.mkdir(0o700)
            for name, part in content.items():
                path = temporary / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(part)
                _fsync(path)
            temporary.chmod(0o777 & ~_umask())
            if folder.exists():
                replaced = temporary.with_name(f"{temporary.name}-replaced")
                folder.replace(replaced)
                temporary.replace(folder)
                shutil.rmtree(replaced, ignore_errors=True)
            else:
                temporary.replace(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _fsync_folder(folder.parent)


def _unfinished(folder: Path, stem: str = "") -> Path:
    """Where to write what is not there yet; named before it is made, for Ctrl-C may come at any moment."""
    return folder / f"{_UNFINISHED}{stem}{secrets.token_hex(8)}"


def _for_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@dataclass(frozen=True)
class Stage:
    """A finished stage: where its files are, and the hash of what is in them."""

    folder: Path
    digest: str


@dataclass(frozen=True)
class StageCache:
    """Finished stages below one folder, each under the hash of all that it was made from."""

    root: Path

    def find(self, name: str, depends_on: Mapping[str, object]) -> Stage | None:
        """The finished stage, or None when it is absent or when one of its files is not what was written."""
        folder = self._folder(name, depends_on)
        try:
            recorded = json.loads((folder / _RECORD).read_bytes())["files"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        present = _hashes(folder)
        return Stage(folder, _digest(present)) if present == recorded else None

    def build(self, name: str, depends_on: Mapping[str, object], work: Callable[[Path], None]) -> Stage:
        """Run ``work`` on an empty folder; the stage exists only once all of it has been written.

        Raises:
            WorkdirError: the folder cannot be written to, or the disk is full.
        """
        folder = self._folder(name, depends_on)
        with _storage_errors(folder):
            self.root.mkdir(parents=True, exist_ok=True)
            unfinished = _unfinished(self.root, f"{name}-")
            try:
                unfinished.mkdir(0o700)
                work(unfinished)
                files = _hashes(unfinished)
                record = {"stage": name, "depends_on": depends_on, "files": files}
                (unfinished / _RECORD).write_text(json.dumps(record, indent=1, sort_keys=True))
                unfinished.chmod(0o777 & ~_umask())
                for path in unfinished.rglob("*"):
                    _fsync(path)
                _fsync(unfinished)
                if folder.exists():  # find() refused it: a file in it was damaged
                    shutil.rmtree(folder)
                unfinished.replace(folder)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
            _fsync_folder(self.root)
        shutil.rmtree(self.resume_folder(name, depends_on), ignore_errors=True)
        return Stage(folder, _digest(files))

    def resume_folder(self, name: str, depends_on: Mapping[str, object]) -> Path:
        """Where a stage that takes long may write down how far it is; it outlives the process, but not the stage."""
        return self.root / f"{_RESUME}{self._folder(name, depends_on).name}"

    def _folder(self, name: str, depends_on: Mapping[str, object]) -> Path:
        canonical = json.dumps({"stage": name, "depends_on": depends_on}, sort_keys=True)
        return self.root / f"{name}-{sha256_of(canonical.encode())[:16]}"


def sweep(folder: Path) -> None:
    """Remove what killed processes have left here and nobody will go on with; only for the folder's holder.

    These are unfinished files and folders, and what stages wrote down to go on from but have not touched for 30 days.
    """
    for resume in folder.glob(f"{_RESUME}*"):
        if time.time() - resume.stat().st_mtime > _RESUME_DAYS * 86_400:
            shutil.rmtree(resume, ignore_errors=True)
    for leftover in folder.glob(f"{_UNFINISHED}*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a folder for this process alone; the lock goes with the process, however it ends.

    Raises:
        WorkdirError: the folder cannot be made or written to, or another process holds it.
    """
    from filelock import FileLock, Timeout

    with _storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise WorkdirError(f"{folder}: another run is using this workdir; wait for it, or give --workdir") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        raise WorkdirError(f"{error.filename or path}: cannot be written: {error.strerror}") from error


def _hashes(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / _RECORD)
    return {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files}


def _digest(files: Mapping[str, str]) -> str:
    return sha256_of(json.dumps(files, sort_keys=True).encode())


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync_folder(path: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _fsync(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
