"""Atomic files and folders: a crash at any moment leaves the old content or the new, never a part.

Content is written under a temporary name, synced to disk, then renamed; the directory is synced
last. No function follows a symlink that stands in the place of its file. System errors become
errors of this package, so that a command ends with the right exit code (full disk 74, missing file
66).
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from typing import BinaryIO, TypeAlias

from dispatchkit.kernel.errors import (
    CannotCreate,
    DispatchError,
    InputMissing,
    IOFailed,
    NotPermitted,
    TryLater,
)
from dispatchkit.kernel.fault_codes import FileFault

TMP = ".tmp"  # suffix of every unfinished file and folder
PRIVATE, SHARED = 0o600, 0o666  # file modes before the umask: for the owner alone, or for people
_BLOCK = 1 << 20  # bytes read or buffered at once
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux's renameat2(2)

Content: TypeAlias = bytes | Callable[[BinaryIO], object]
"""What to write: the bytes, or a function that writes them to an open file."""


@contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Raise an OSError of the block as the matching DispatchError about `path`."""
    try:
        yield
    except OSError as error:
        raise _translated(error, path) from error


def _translated(error: OSError, path: Path) -> DispatchError:
    """Return the error of this package for a system error on `path`."""
    match error.errno:
        case errno.ENOENT:
            return InputMissing(f"{path}: no such file", code=FileFault.NO_SUCH_FILE)
        case errno.EISDIR:
            return InputMissing(
                f"{path}: is a directory, a file belongs there", code=FileFault.WRONG_KIND
            )
        case errno.ENOTDIR:
            return InputMissing(
                f"{path}: is a file, a directory belongs there", code=FileFault.WRONG_KIND
            )
        case errno.EACCES | errno.EPERM:
            return NotPermitted(f"{path}: permission denied", code=FileFault.NOT_READABLE)
        case errno.EROFS:
            return CannotCreate(f"{path}: the file system is read-only")
        case errno.ELOOP:
            return NotPermitted(
                f"{path}: symlink refused; give the file itself", code=FileFault.SYMLINK
            )
        case errno.EEXIST:
            return CannotCreate(
                f"{path}: exists; give --force to replace it", code=FileFault.NOT_WRITABLE
            )
        case errno.ENOSPC | errno.EDQUOT:
            return IOFailed(f"{path}: disk full, nothing kept", code=FileFault.DISK_FULL)
        case _:
            return IOFailed(f"{path}: {error.strerror or 'input or output failed'}")


def open_existing(path: Path) -> BinaryIO:
    """Return an existing regular file, open for reading.

    Raises InputMissing, NotPermitted, IOFailed.
    """
    with translate_os_errors(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return os.fdopen(descriptor, "rb")
        except OSError:  # os.open accepts a directory, os.fdopen does not
            os.close(descriptor)
            raise


def create_new(path: Path, *, mode: int = PRIVATE) -> BinaryIO:
    """Return a new file, open for writing. Raises CannotCreate, NotPermitted, IOFailed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with translate_os_errors(path):
        try:
            descriptor = os.open(path, flags, mode)
        except FileNotFoundError as error:
            raise CannotCreate(
                f"{path.parent}: no such directory", code=FileFault.NOT_WRITABLE
            ) from error
    return os.fdopen(descriptor, "wb", buffering=_BLOCK)


def digest(path: Path) -> tuple[int, str]:
    """Return (size in bytes, SHA-256 in hex) of a file, read once in blocks."""
    checksum, size = sha256(), 0
    with open_existing(path) as file, translate_os_errors(path):
        while block := file.read(_BLOCK):
            checksum.update(block)
            size += len(block)
    return size, checksum.hexdigest()


def check_output(path: Path, *, force: bool) -> None:
    """Check that a file could be written, before any work depends on it.

    Raises CannotCreate (exists without `force`, no directory), NotPermitted (symlink), InputMissing
    (directory).
    """
    with translate_os_errors(path):
        if path.is_symlink():
            raise OSError(errno.ELOOP, "")
        if path.is_dir():
            raise OSError(errno.EISDIR, "")
        if path.exists() and not force:
            raise OSError(errno.EEXIST, "")
    if not path.parent.is_dir():
        raise CannotCreate(f"{path.parent}: no such directory", code=FileFault.NOT_WRITABLE)


def check_folder(path: Path) -> None:
    """Check that a folder exists or could be made. Raises CannotCreate, NotPermitted.

    A symlink is refused, because it would send the files somewhere else.
    """
    if path.is_symlink():
        raise NotPermitted(
            f"{path}: symlink refused; give the folder itself", code=FileFault.SYMLINK
        )
    if not path.parent.is_dir():
        raise CannotCreate(f"{path.parent}: no such directory; make it first")
    if path.exists() and not path.is_dir():
        raise CannotCreate(f"{path}: is a file; give a folder")


def make_folder(path: Path) -> None:
    """Make a folder unless it exists. Raises as `check_folder` does."""
    check_folder(path)
    with translate_os_errors(path):
        path.mkdir(exist_ok=True)


def write_whole(path: Path, content: Content, *, mode: int = PRIVATE) -> None:
    """Write a file atomically: a reader sees the old content or all of the new.

    Raises as `staged` does.
    """
    with staged(path, content, mode=mode):
        pass


@contextmanager
def staged(path: Path, content: Content, *, mode: int = PRIVATE) -> Iterator[None]:
    """Write and sync a file under a temporary name, run the block, then give the file its name.

    A full disk is noticed before the block does what cannot be undone. If the block fails, the old
    file stays.
    Raises CannotCreate, InputMissing (a directory is there), IOFailed, NotPermitted.
    """
    if path.is_dir():
        raise _translated(OSError(errno.EISDIR, ""), path)
    tmp = path.with_name(path.name + TMP)
    tmp.unlink(missing_ok=True)
    try:
        # Closing writes again what a full disk refused, and fails again: it is inside the translation.
        with translate_os_errors(path), create_new(tmp, mode=mode) as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield
        with translate_os_errors(path):
            tmp.rename(path)
    except BaseException:
        tmp.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


@contextmanager
def staged_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a new folder under a temporary name; after the block it is synced and named `path`.

    replace: an older folder at `path` is exchanged for the new one in one step of the file system,
    then deleted. If the block fails, the new folder is deleted and `path` stays as it was. A killed
    process may leave the folder with the temporary name. Raises CannotCreate, IOFailed,
    NotPermitted.
    """
    work = path.with_name(f"{path.name}.{os.getpid()}{TMP}")
    with translate_os_errors(path):
        work.mkdir()
        try:
            yield work
            for directory, _, names in os.walk(work):
                for name in names:
                    _sync(Path(directory, name))
                _sync(Path(directory))
            if replace and path.exists():
                _exchange(work, path)
            else:
                work.rename(path)
            _sync(path.parent)
        finally:
            rmtree(work, ignore_errors=True)  # what failed, or the older folder


def _exchange(one: Path, other: Path) -> None:
    """Let two paths change places in one step.

    `os.rename` cannot do that with a folder that has content.
    """
    import ctypes  # only a replaced folder needs it

    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        code = errno.ENOSYS
    else:
        names = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
        code = ctypes.get_errno() if renameat2(*names, _RENAME_EXCHANGE) else 0
    if code in (
        errno.ENOSYS,
        errno.EINVAL,
    ):  # two renames could be cut short and leave no folder at all
        raise CannotCreate(
            f"{other}: exists, and this file system cannot exchange folders in one step; "
            "write to a new folder"
        )
    if code:
        raise OSError(code, os.strerror(code))


def sync_directory(path: Path) -> None:
    """Make the renames in a directory durable."""
    with translate_os_errors(path):
        _sync(path)


def _sync(path: Path) -> None:
    """Force a file or a directory to disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive_lock(directory: Path) -> Iterator[None]:
    """Lock a directory against a second writer for the length of the block. Raises TryLater."""
    with translate_os_errors(directory):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise TryLater(f"{directory.name}: another run is writing there") from error
    finally:
        os.close(descriptor)
