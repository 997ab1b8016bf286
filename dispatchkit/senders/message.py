"""An outgoing event, and a sender's receipt for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from dispatchkit.kernel.canonical_json import canonical, text_ids
from dispatchkit.kernel.clock import rfc3339


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One outgoing event.

    key: the same on every try, so that a receiver can drop a repeated event.
    root: the entity whose events keep their order, normally a delivery.
    payload: ids, states, times and money only.
    """

    id: int
    event: str
    key: str
    root: tuple[str, int]
    at: datetime
    payload: Mapping[str, Any]

    def text(self) -> str:
        """Return the message as one line of JSON: equal messages are equal bytes."""
        message = {
            "id": self.id,
            "event": self.event,
            "key": self.key,
            "at": rfc3339(self.at),
            "payload": self.payload,
            "root": self.root[0],
            "rootId": self.root[1],
        }
        return canonical(text_ids(message))


def key_of(line: bytes) -> str:
    """Return the key of a line that `Message.text` wrote, empty for anything else."""
    try:
        return str(json.loads(line)["key"])
    except (ValueError, KeyError, TypeError):
        return ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The outcome of one try: DELIVERED, REFUSED for good, or RETRY.

    reason: a word or two for a log; never a receiver's own text, which may name people.
    wait: how long the receiver asked to wait before the next try.
    """

    outcome: Literal["DELIVERED", "REFUSED", "RETRY"]
    reason: str = ""
    wait: timedelta = timedelta()


DELIVERED = Receipt("DELIVERED")


class Sender(Protocol):
    """Sends events somewhere. A failure is a Receipt, never an exception."""

    # So many messages may be sent before `flush` and their marks in the database; a crash may repeat as many.
    max_unconfirmed: int

    def send(self, message: Message) -> Receipt:
        """Send one message and return its receipt."""
        ...

    def flush(self) -> str:
        """Make what was DELIVERED survive a power cut; return "", or the reason why it may not."""
        ...

    def close(self) -> None:
        """Close files and connections."""
        ...
