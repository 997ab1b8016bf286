"""Standard error may be full or closed: a sender says so, it does not fail."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

import pytest

from dispatchkit.senders.log import LogSender
from dispatchkit.senders.message import DELIVERED, Message, Receipt

MESSAGE = Message(
    id=1,
    event="offer_created",
    key="k1",
    root=("delivery", 1),
    at=datetime(2026, 3, 2, 19, 30, tzinfo=UTC),
    payload={"offerId": 1},
)


def test_each_message_is_line_of_json(capsys):
    sender = LogSender(5)
    assert (sender.send(MESSAGE), sender.flush()) == (DELIVERED, "")
    assert json.loads(capsys.readouterr().err)["key"] == "k1"


def test_full_stderr_is_receipt(monkeypatch):
    full = open("/dev/full", "w")  # noqa: SIM115
    monkeypatch.setattr(sys, "stderr", full)
    sender = LogSender(5)
    receipt, flushed = sender.send(MESSAGE), sender.flush()
    monkeypatch.undo()
    with pytest.raises(OSError):  # what it did not take is lost with it
        full.close()
    assert receipt == Receipt("RETRY", "No space left on device")
    assert flushed == "No space left on device"


@pytest.mark.parametrize("missing", [True, False])
def test_closed_stderr_is_receipt(monkeypatch, tmp_path, missing):
    closed = (tmp_path / "err").open("w")
    closed.close()
    monkeypatch.setattr(sys, "stderr", None if missing else closed)
    sender = LogSender(5)
    receipt, flushed = sender.send(MESSAGE), sender.flush()
    monkeypatch.undo()
    assert (receipt, flushed) == (Receipt("RETRY", "Bad file descriptor"), "Bad file descriptor")
