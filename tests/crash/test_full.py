"""A device with no room left: 74, nothing under a final name, the database as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests import counts, databases
from tests.crash.recovery import (
    broken_invariants,
    differences,
    sweep_command,
    table_contents,
    wait_for_disconnects,
)
from tests.crash.servers import own_server, restart
from tests.databases import ROOT

FULL = Path("/dev/full")
TALKS = (
    ("db", "check"),
    ("--json", "db", "check"),
    ("show", "deliveries"),
    (*sweep_command("offers"), "--dry-run"),
)


@contextmanager
def small_disk(folder: Path, megabytes: float) -> Iterator[Path]:
    """Yield a file system of this size in memory; skips where the test may not mount one."""
    folder.mkdir()
    size = f"size={int(megabytes * 1024)}k"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system of one's own here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def talk(engine: Engine, words: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command whose output goes to a full device."""
    command = [sys.executable, "-m", "dispatchkit", "--db", databases.url(engine), *words]
    with FULL.open("w") as full:
        return subprocess.run(
            command,
            check=False,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@pytest.mark.parametrize("words", TALKS, ids=" ".join)
def test_full_output_device_exits_74(sample_db, tmp_path, words):
    before = table_contents(sample_db)
    result = talk(sample_db, words, tmp_path)
    assert (result.returncode, result.stderr.strip().splitlines()[-1][:22]) == (
        74,
        "dispatchkit: DK-IO: No",
    ), result.stderr
    assert differences(table_contents(sample_db), before) == {}


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_sweep_without_output_still_writes_once(sample_db, tmp_path, fork_server):
    assert talk(sample_db, sweep_command("offers"), tmp_path).returncode == 74
    done = table_contents(sample_db)
    assert fork_server.run(sample_db, *sweep_command("offers")).exit == 0
    assert differences(table_contents(sample_db), done) == {}


@pytest.mark.parametrize("kilobytes", [8, 64, 200])
def test_export_to_full_disk_leaves_no_file(sample_db, tmp_path, fork_server, kilobytes):
    before = table_contents(sample_db)
    with small_disk(tmp_path / "disk", kilobytes / 1024) as disk:
        result = fork_server.run(sample_db, "data", "extract", "--to", disk / "extract")
        assert result.exit == 74, result
        assert [path.name for path in disk.rglob("*") if path.is_file()] == []
    assert differences(table_contents(sample_db), before) == {}
    counts.add("exports to a full disk")


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("sweep", ["offers", "routes"])
def test_server_with_full_disk_loses_nothing(tmp_path, fork_server, sweep):
    """A server on a small disk that is filled up: exit 74, also if the server crashes; then room
    again.
    """
    with databases.fresh("sample") as whole:
        assert fork_server.run(whole, *sweep_command(sweep)).exit == 0
        wanted = table_contents(whole)
    with small_disk(tmp_path / "disk", 300) as disk, own_server(disk) as engine:
        before, ballast = table_contents(engine), disk / "ballast"
        fill(ballast)
        result = fork_server.run(engine, *sweep_command(sweep))
        assert result.exit == 74, result
        ballast.unlink()
        restart(disk)
        wait_for_disconnects(engine)
        assert broken_invariants(engine) == []
        assert differences(table_contents(engine), before) == {}
        assert fork_server.run(engine, *sweep_command(sweep)).exit == 0
        assert differences(table_contents(engine), wanted) == {}
    counts.add("servers without room")


def fill(ballast: Path) -> None:
    """Take every byte that is left."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1 << 20)):
            pass
