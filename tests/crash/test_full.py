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

from tests import databases, tally
from tests.crash.conftest import ROOT
from tests.crash.servers import own_server, restart
from tests.crash.wreck import broken, contents, different, settle, sweeping

FULL = Path("/dev/full")
TALKS = (
    ("db", "check"),
    ("--json", "db", "check"),
    ("show", "deliveries"),
    (*sweeping("offers"), "--dry-run"),
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


def talk(made: Engine, words: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command whose output goes to a full device."""
    command = [sys.executable, "-m", "dispatchkit", "--db", databases.url(made), *words]
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
def test_output_to_a_full_device_is_74_in_one_line(sample_db, tmp_path, words):
    before = contents(sample_db)
    ended = talk(sample_db, words, tmp_path)
    assert (ended.returncode, ended.stderr.strip().splitlines()[-1][:22]) == (
        74,
        "dispatchkit: DK-IO: No",
    ), ended.stderr
    assert different(contents(sample_db), before) == {}


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_sweep_that_cannot_say_what_it_did_has_done_it_once(sample_db, tmp_path, forge):
    assert talk(sample_db, sweeping("offers"), tmp_path).returncode == 74
    done = contents(sample_db)
    assert forge.run(sample_db, *sweeping("offers")).exit == 0
    assert different(contents(sample_db), done) == {}


@pytest.mark.parametrize("kilobytes", [8, 64, 200])
def test_an_export_to_a_full_disk_leaves_no_file_and_the_database_as_it_was(
    sample_db, tmp_path, forge, kilobytes
):
    before = contents(sample_db)
    with small_disk(tmp_path / "disk", kilobytes / 1024) as disk:
        ended = forge.run(sample_db, "data", "extract", "--to", disk / "extract")
        assert ended.exit == 74, ended
        assert [path.name for path in disk.rglob("*") if path.is_file()] == []
    assert different(contents(sample_db), before) == {}
    tally.count("exports to a full disk")


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("sweep", ["offers", "routes"])
def test_a_server_without_room_fails_the_sweep_and_loses_nothing(tmp_path, forge, sweep):
    """Its own server on a small disk that is filled up: 74, also where the server crashes; then room again."""
    with databases.fresh("sample") as whole:
        assert forge.run(whole, *sweeping(sweep)).exit == 0
        wanted = contents(whole)
    with small_disk(tmp_path / "disk", 300) as disk, own_server(disk) as made:
        before, ballast = contents(made), disk / "ballast"
        fill(ballast)
        ended = forge.run(made, *sweeping(sweep))
        assert ended.exit == 74, ended
        ballast.unlink()
        restart(disk)
        settle(made)
        assert broken(made) == []
        assert different(contents(made), before) == {}
        assert forge.run(made, *sweeping(sweep)).exit == 0
        assert different(contents(made), wanted) == {}
    tally.count("servers without room")


def fill(ballast: Path) -> None:
    """Take every byte that is left."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1 << 20)):
            pass
