"""A line of JSON on stderr for each event: to watch, and for whoever collects logs."""

from __future__ import annotations

import sys

from dispatchkit.senders.message import DELIVERED, Message, Receipt


class LogSender:
    """Prints each message."""

    def __init__(self, together: int) -> None:
        self.together = together

    def send(self, message: Message) -> Receipt:
        """Print the message."""
        sys.stderr.write(message.text() + "\n")  # one call: lines of several senders stay whole
        return DELIVERED

    def flush(self) -> str:
        sys.stderr.flush()
        return ""

    def close(self) -> None:
        """Leave stderr as it is."""
