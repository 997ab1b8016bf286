"""Writes each event as a line of JSON to stderr, to watch or to collect as a log."""

from __future__ import annotations

import errno
import os
import sys

from dispatchkit.senders.message import DELIVERED, Message, Receipt


class LogSender:
    """Prints each message."""

    def __init__(self, max_unconfirmed: int) -> None:
        self.max_unconfirmed = max_unconfirmed

    def send(self, message: Message) -> Receipt:
        """Print the message."""
        fault = _write(message.text() + "\n")  # one call: lines of several senders stay whole
        return Receipt("RETRY", fault) if fault else DELIVERED

    def flush(self) -> str:
        return _write("")

    def close(self) -> None:
        """Leave stderr as it is."""


def _write(text: str) -> str:
    """Write to stderr and flush; return "", or the reason of a failure."""
    if sys.stderr is None or sys.stderr.closed:
        return os.strerror(errno.EBADF)
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError as fault:
        return os.strerror(fault.errno or 0)
    return ""
