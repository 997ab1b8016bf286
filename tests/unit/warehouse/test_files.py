"""Files that are wholly there or not there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dispatchkit.kernel.errors import CannotCreate, InputMissing, IOFailed, NotPermitted
from dispatchkit.warehouse.files import check_output, staged, write_whole


def test_an_output_that_exists_or_points_elsewhere_is_refused_before_the_work(
    tmp_path: Path,
) -> None:
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


def test_a_staged_file_has_its_name_only_after_the_block(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"old")
    with staged(tmp_path / "a", b"new"):
        assert (tmp_path / "a").read_bytes() == b"old"
    assert (tmp_path / "a").read_bytes() == b"new" and os.listdir(tmp_path) == ["a"]


def test_a_block_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"old")
    with pytest.raises(KeyError), staged(tmp_path / "a", b"new"):
        raise KeyError
    assert (tmp_path / "a").read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]


def test_on_a_full_disk_the_block_is_never_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    reached = []
    with pytest.raises(IOFailed, match="disk full, nothing kept"), staged(tmp_path / "a", b"new"):
        reached.append(1)
    assert reached == [] and os.listdir(tmp_path) == []


def test_a_directory_in_the_place_of_the_file_is_told_before_the_block(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(InputMissing, match="a: is a directory"), staged(tmp_path / "a", b"new"):
        pytest.fail("the block was run")
