"""The file holds one whole line for each key, whatever happened between two runs."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dispatchkit.senders.file import FileSender
from dispatchkit.senders.message import DELIVERED, Message

AT = datetime(2026, 3, 2, 19, 30, tzinfo=UTC)


def message(number: int, size: int = 10) -> Message:
    payload = {"offerId": number, "state": "X" * size}
    return Message(
        id=number,
        event="offer_created",
        key=f"k{number}",
        root=("delivery", 1),
        at=AT,
        payload=payload,
    )


def send(path: Path, *numbers: int, together: int = 5, size: int = 10) -> list[str]:
    sender = FileSender(path, together)
    outcomes: list[str] = [sender.send(message(number, size)).outcome for number in numbers]
    assert sender.flush() == ""
    sender.close()
    return outcomes


def keys(path: Path) -> list[str]:
    return [json.loads(line)["key"] for line in path.read_text().splitlines()]


def test_messages_are_lines_in_private_file(tmp_path):
    path = tmp_path / "events.jsonl"
    assert send(path, 1, 2, 3) == ["DELIVERED"] * 3
    assert [json.loads(line)["payload"]["offerId"] for line in path.read_text().splitlines()] == [
        "1",
        "2",
        "3",
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_next_run_knows_last_keys(tmp_path):
    path = tmp_path / "events.jsonl"
    send(path, *range(20))
    assert send(path, 15, 16, 17, 18, 19, 20) == ["DELIVERED"] * 6
    assert keys(path) == [f"k{n}" for n in range(21)]


@pytest.mark.parametrize("size", [10, 40_000])
def test_enough_last_keys_are_known(tmp_path, size):
    path = tmp_path / "events.jsonl"
    send(path, *range(12), size=size)
    send(path, *range(7, 13), size=size)
    assert keys(path) == [f"k{n}" for n in range(13)]


def test_incomplete_last_line_is_rewritten(tmp_path):
    path = tmp_path / "events.jsonl"
    send(path, 1, 2)
    whole = path.read_bytes()
    for cut in (1, 20, len(message(2).text())):
        path.write_bytes(whole[:-cut])
        send(path, 1, 2)
        assert path.read_bytes() == whole


def test_file_with_only_partial_line_restarts(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"at":"20')
    send(path, 1)
    assert keys(path) == ["k1"]


def test_two_runs_never_write_to_one_file(tmp_path):
    path = tmp_path / "events.jsonl"
    first, second = FileSender(path, 5), FileSender(path, 5)
    assert first.send(message(1)) == DELIVERED
    refused = second.send(message(1))
    assert (refused.outcome, refused.reason) == ("RETRY", "Resource temporarily unavailable")
    first.close()
    assert second.send(message(1)) == DELIVERED
    second.close()
    assert keys(path) == ["k1"]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("missing/events.jsonl", "No such file or directory"),
        ("folder", "Is a directory"),
        ("link", "Too many levels"),
    ],
)
def test_unwritable_path_gives_receipt(tmp_path, place, said):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    receipt = FileSender(tmp_path / place, 5).send(message(1))
    assert receipt.outcome == "RETRY"
    assert receipt.reason.startswith(said)
    assert not (tmp_path / "elsewhere").exists()


def test_full_disk_leaves_no_partial_line(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    send(path, 1)
    real, calls = os.write, []

    def filling(opened: int, data: bytes) -> int:
        calls.append(data)
        if len(calls) == 1:
            return real(opened, data[:9])
        raise OSError(28, "No space left on device")

    sender = FileSender(path, 5)
    monkeypatch.setattr(os, "write", filling)
    receipt = sender.send(message(2))
    monkeypatch.undo()
    assert (receipt.outcome, receipt.reason) == ("RETRY", "No space left on device")
    assert keys(path) == ["k1"]
    assert sender.send(message(2)) == DELIVERED
    sender.close()
    assert keys(path) == ["k1", "k2"]
