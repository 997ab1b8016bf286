"""What leaves, and what a sender says became of it."""

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
    """One event on its way. `key` is the same on every try, so that a receiver can drop what came twice.

    root: the entity whose events keep their order (normally a delivery). payload: ids, states, times and money only.
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
    """What became of one message: DELIVERED, REFUSED for good, or RETRY, not before `wait` if the receiver said so.

    said: the reason in a word or two, fit for a log; never what a receiver wrote, which may name people.
    """

    outcome: Literal["DELIVERED", "REFUSED", "RETRY"]
    said: str = ""
    wait: timedelta = timedelta()


DELIVERED = Receipt("DELIVERED")


class Sender(Protocol):
    """One way out. What goes wrong on it is a Receipt, never an exception."""

    together: (
        int  # so many messages may leave before `flush` and their marks; a crash may repeat as many
    )

    def send(self, message: Message) -> Receipt:
        """Hand one message over and return what became of it."""
        ...

    def flush(self) -> str:
        """Return an empty text once what was DELIVERED survives a power cut, else why it may not."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
