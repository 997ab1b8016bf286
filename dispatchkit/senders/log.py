"""A line of JSON on stderr for each event: to watch, and for whoever collects logs."""

from __future__ import annotations

import errno
import os
import sys

from dispatchkit.senders.message import DELIVERED, Message, Receipt


class LogSender:
    """Prints each message."""

    def __init__(self, together: int) -> None:
        self.together = together

    def send(self, message: Message) -> Receipt:
        """Print the message."""
        fault = _written(message.text() + "\n")  # one call: lines of several senders stay whole
        return Receipt("RETRY", fault) if fault else DELIVERED

    def flush(self) -> str:
        return _written("")

    def close(self) -> None:
        """Leave stderr as it is."""


def _written(text: str) -> str:
    """Return an empty text once stderr took `text` and all before it, else why it did not."""
    if sys.stderr is None or sys.stderr.closed:
        return os.strerror(errno.EBADF)
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError as fault:
        return os.strerror(fault.errno or 0)
    return ""
