"""Files that are wholly there or not there: never through a symlink, named only when complete and synced.

Every failure of the system becomes one of our errors, so that a full disk is exit 74 and a missing file 66.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from dispatchkit.kernel.errors import (
    CannotCreate,
    DispatchError,
    InputMissing,
    IOFailed,
    NotPermitted,
    TryLater,
)

WAREHOUSE_FILE = "warehouse.duckdb"  # under --data unless another is named
QUARANTINE_FILE = "quarantine.csv"
TMP = ".tmp"
_BLOCK = 1 << 20


def failure(error: OSError, path: Path) -> DispatchError:
    """Return the error of ours that stands for a system error on `path`."""
    match error.errno:
        case errno.ENOENT:
            return InputMissing(f"{path}: no such file", code="DK-IN-001")
        case errno.EISDIR:
            return InputMissing(f"{path}: is a directory, a file belongs there", code="DK-IN-002")
        case errno.ENOTDIR:
            return InputMissing(f"{path}: is a file, a directory belongs there", code="DK-IN-002")
        case errno.EACCES | errno.EPERM:
            return NotPermitted(f"{path}: permission denied", code="DK-IN-003")
        case errno.EROFS:
            return CannotCreate(f"{path}: the file system is read-only")
        case errno.ELOOP:
            return NotPermitted(f"{path}: symlink refused; give the file itself", code="DK-IN-047")
        case errno.EEXIST:
            return CannotCreate(f"{path}: exists; give --force to replace it", code="DK-IN-048")
        case errno.ENOSPC | errno.EDQUOT:
            return IOFailed(f"{path}: disk full, nothing kept", code="DK-IN-049")
        case _:
            return IOFailed(f"{path}: {error.strerror or 'input or output failed'}")


@contextmanager
def ours(path: Path) -> Iterator[None]:
    """Turn system errors inside the block into our errors about `path`."""
    try:
        yield
    except OSError as error:
        raise failure(error, path) from error


def open_old(path: Path) -> BinaryIO:
    """Return an existing regular file opened for reading. Raises InputMissing, NotPermitted, IOFailed."""
    with ours(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return os.fdopen(descriptor, "rb")
        except OSError:  # a directory opens and only then refuses to be a file
            os.close(descriptor)
            raise


def open_new(path: Path) -> BinaryIO:
    """Return a new file opened for writing, private to its owner. Raises CannotCreate, NotPermitted, IOFailed."""
    try:
        descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
    except FileNotFoundError as error:
        raise CannotCreate(f"{path.parent}: no such directory", code="DK-IN-048") from error
    except OSError as error:
        raise failure(error, path) from error
    return os.fdopen(descriptor, "wb", buffering=_BLOCK)


def folder(path: Path, *, make: bool = True) -> None:
    """Make a folder where there is none, or only check that it could be; a link would lead the files elsewhere."""
    if path.is_symlink():
        raise NotPermitted(f"{path}: symlink refused; give the folder itself", code="DK-IN-047")
    if not path.parent.is_dir():
        raise CannotCreate(f"{path.parent}: no such directory; make it first")
    if path.exists() and not path.is_dir():
        raise CannotCreate(f"{path}: is a file; give a folder")
    if make:
        with ours(path):
            path.mkdir(exist_ok=True)


def digest(path: Path) -> tuple[int, str]:
    """Return (bytes, SHA-256) of a file, read once."""
    found, size = sha256(), 0
    with open_old(path) as file, ours(path):
        while block := file.read(_BLOCK):
            found.update(block)
            size += len(block)
    return size, found.hexdigest()


def sync_directory(path: Path) -> None:
    """Make renames in a directory durable."""
    with ours(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file as tmp, sync, rename, directory sync: whoever sees the name sees all of it."""
    with staged(path, data):
        pass


@contextmanager
def staged(path: Path, data: bytes) -> Iterator[None]:
    """Write and sync a file under a temporary name, run the block, then give it its name; none if the block fails.

    A full disk is found before the block does what cannot be taken back.
    """
    if path.is_dir():
        raise failure(OSError(errno.EISDIR, ""), path)
    tmp = path.with_name(path.name + TMP)
    tmp.unlink(missing_ok=True)
    try:
        with (
            ours(path),
            open_new(tmp) as file,
        ):  # closing writes again what a full disk refused, and fails again
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield
        with ours(path):
            tmp.rename(path)
    except BaseException:
        tmp.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def check_output(path: Path, *, force: bool) -> None:
    """Refuse the name of a file before any work depends on it. Raises CannotCreate, NotPermitted, InputMissing."""
    with ours(path):
        if path.is_symlink():
            raise OSError(errno.ELOOP, "")
        if path.is_dir():
            raise OSError(errno.EISDIR, "")
        if path.exists() and not force:
            raise OSError(errno.EEXIST, "")
    if not path.parent.is_dir():
        raise CannotCreate(f"{path.parent}: no such directory", code="DK-IN-048")


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold a directory against a second writer. Raises TryLater."""
    with ours(directory):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise TryLater(f"{directory.name}: another run is writing there") from error
    finally:
        os.close(descriptor)
