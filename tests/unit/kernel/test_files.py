"""Atomic files and folders."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dispatchkit.kernel.errors import CannotCreate, InputMissing, IOFailed, NotPermitted
from dispatchkit.kernel.files import check_output, staged, staged_folder, write_whole


def test_check_output_refuses_existing_and_linked_names(tmp_path: Path) -> None:
    there = tmp_path / "plan.json"
    there.touch()
    (tmp_path / "link.json").symlink_to(there)
    with pytest.raises(CannotCreate, match=r"plan.json: exists; give --force"):
        check_output(there, force=False)
    check_output(there, force=True)
    check_output(tmp_path / "new.json", force=False)
    with pytest.raises(CannotCreate, match="none: no such directory"):
        check_output(tmp_path / "none" / "plan.json", force=False)
    with pytest.raises(NotPermitted, match="symlink refused"):
        check_output(tmp_path / "link.json", force=True)
    with pytest.raises(InputMissing, match="is a directory"):
        check_output(tmp_path, force=True)


def test_staged_file_is_named_after_block(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"old")
    with staged(tmp_path / "a", b"new"):
        assert (tmp_path / "a").read_bytes() == b"old"
    assert (tmp_path / "a").read_bytes() == b"new" and os.listdir(tmp_path) == ["a"]


def test_failed_block_leaves_old_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"old")
    with pytest.raises(KeyError), staged(tmp_path / "a", b"new"):
        raise KeyError
    assert (tmp_path / "a").read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]


def test_full_disk_stops_before_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(IOFailed, match="disk full, nothing kept"), staged(tmp_path / "a", b"new"):
        pytest.fail("the block was run")
    assert os.listdir(tmp_path) == []


def test_directory_in_place_of_file_stops_before_block(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(InputMissing, match="a: is a directory"), staged(tmp_path / "a", b"new"):
        pytest.fail("the block was run")


@pytest.mark.parametrize("old", [False, True])
def test_staged_folder_is_named_after_block(tmp_path: Path, old: bool) -> None:
    if old:
        (tmp_path / "map").mkdir()
        write_whole(tmp_path / "map" / "old", b"")
    with staged_folder(tmp_path / "map", replace=True) as folder:
        (folder / "car").mkdir()
        (folder / "car" / "new").touch()
        assert (tmp_path / "map" / "old").exists() == old
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert names == ["map", "map/car", "map/car/new"]


def test_failed_block_leaves_old_folder(tmp_path: Path) -> None:
    (tmp_path / "map").mkdir()
    with pytest.raises(KeyError), staged_folder(tmp_path / "map", replace=True) as folder:
        (folder / "new").touch()
        raise KeyError
    assert [path.name for path in tmp_path.rglob("*")] == ["map"]


def test_folder_is_kept_where_no_exchange_is_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "map").mkdir()
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: object())
    refused = pytest.raises(CannotCreate, match="cannot exchange folders in one step")
    with refused, staged_folder(tmp_path / "map", replace=True):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["map"]


REPLACE_AND_DIE = """
import os, sys
from pathlib import Path
from dispatchkit.kernel.files import staged_folder

steps_left = int(sys.argv[2])

def count(event, _):
    global steps_left
    if event.startswith(("os.", "shutil.", "ctypes.")) or event == "open":
        if not steps_left:
            os._exit(9)
        steps_left -= 1

sys.addaudithook(count)
with staged_folder(Path(sys.argv[1]), replace=True) as folder:
    for name in ("a", "b"):
        (folder / name).write_text("new")
"""


def test_kill_between_steps_leaves_old_or_new_folder(tmp_path: Path) -> None:
    """The process ends before its n-th call of the system, for every n until it finishes."""
    seen = []
    for steps in range(100):
        parent = tmp_path / str(steps)
        (parent / "map").mkdir(parents=True)
        for name in ("a", "b"):
            (parent / "map" / name).write_text("old")
        run = [sys.executable, "-c", REPLACE_AND_DIE, str(parent / "map"), str(steps)]
        exit_code = subprocess.run(run, check=False).returncode
        content = {path.name: path.read_text() for path in (parent / "map").iterdir()}
        assert content in ({"a": "old", "b": "old"}, {"a": "new", "b": "new"}), steps
        seen.append(content["a"])
        if not exit_code:
            break
        assert exit_code == 9
    assert seen == sorted(seen, reverse=True) and {"old", "new"} == set(seen)
    assert seen.count("new") > 1, "killed after the exchange too, while the older folder is deleted"
    assert [path.name for path in parent.iterdir()] == ["map"]
