"""The outside file of who was erased: a person once, by whole lines, whatever a crash or a full disk left."""

from __future__ import annotations

import errno
import os

import pytest

from dispatchkit.flows.trail import erasure_log as journal
from dispatchkit.kernel.errors import BadData, IOFailed, Usage


@pytest.mark.parametrize(
    "told", ["merchant:1", "driver", "driver:", "driver:x", "driver:0", "driver:-1", "driver:²", ""]
)
def test_a_person_is_a_customer_or_a_driver_by_id(told):
    with pytest.raises(Usage, match="expected customer:ID or driver:ID"):
        journal.person(told)


@pytest.mark.parametrize(
    ("there", "then"),
    [
        ("", "driver:10\ncustomer:7\n"),
        ("dri", "driver:10\ncustomer:7\n"),  # what a crash leaves, the same command completes
        ("driver:10", "driver:10\ncustomer:7\n"),
        ("driver:10\ncust", "driver:10\ncustomer:7\n"),
        ("driver:1", None),  # perhaps written by hand: completed it would no longer name driver 1
        ("customer:7\ncust", None),
    ],
)
def test_a_line_of_the_journal_that_was_cut_short_is_completed_or_refused(tmp_path, there, then):
    file = tmp_path / "erased.txt"
    file.write_text(there)
    people = [("driver", 10), ("customer", 7), ("driver", 10)]
    if then is None:
        with pytest.raises(BadData, match="cut short"):
            journal.append(file, people)
    else:
        journal.append(file, people)
    assert file.read_text() == (there if then is None else then)


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path, monkeypatch):
    file, write = tmp_path / "erased.txt", os.write
    file.write_text("driver:1\n")

    def full(descriptor: int, data: bytes) -> int:
        if len(data) <= 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[:5])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(IOFailed, match="disk full, nothing kept"):
        journal.append(file, [("customer", 7)])
    assert file.read_text() == "driver:1\n"
