"""A gateway behind a URL: one POST of JSON an event, signed, with a key by which it can drop what comes twice.

2xx is delivered; 4xx is refused for good, but for those that mean `later`; anything else is tried again.
"""

from __future__ import annotations

import hmac
import socket
import ssl
from contextlib import suppress
from datetime import timedelta
from email.message import Message as Headers
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from threading import Timer
from urllib.parse import urlsplit

from dispatchkit.senders.message import DELIVERED, Message, Receipt
from dispatchkit.senders.params import Way

LATER = (408, 425, 429)
MOST = 65_536  # bytes of an answer that are read, to keep the connection; what it says is not


class WebhookSender:
    """Speaks to one URL over a connection that is kept between messages."""

    together = 1  # marked one by one: a crash repeats at most the last one, with the same key

    def __init__(self, way: Way, secret: bytes) -> None:
        parts = urlsplit(way.url)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._seconds = way.timeout.total_seconds()
        self._secret = secret
        self._late = False
        self._on: HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            self._on = HTTPSConnection(
                parts.hostname or "", parts.port, timeout=self._seconds, context=context
            )
        else:
            self._on = HTTPConnection(parts.hostname or "", parts.port, timeout=self._seconds)

    def send(self, message: Message) -> Receipt:
        """Post the message and judge the answer. Whoever has not answered in whole at the time-out did not answer."""
        self._late = False
        limit = Timer(
            self._seconds, self._cut
        )  # the socket's own time-out begins anew with every byte
        limit.daemon = True
        limit.start()
        try:
            status, headers = self._post(message)
        except (OSError, HTTPException) as fault:
            self._on.close()
            timed_out = self._late or isinstance(fault, TimeoutError)
            return Receipt("RETRY", "timeout" if timed_out else type(fault).__name__)
        finally:
            limit.cancel()
        if 200 <= status < 300:
            return DELIVERED
        if 400 <= status < 500 and status not in LATER:
            return Receipt("REFUSED", f"HTTP {status}")
        return Receipt("RETRY", f"HTTP {status}", retry_after(headers))

    def _post(self, message: Message) -> tuple[int, Headers]:
        body = message.text().encode()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": message.key,
            "User-Agent": "dispatchkit",
        }
        if self._secret:
            headers["X-Signature-SHA256"] = hmac.new(self._secret, body, "sha256").hexdigest()
        kept = self._on.sock is not None
        try:
            answer = self._ask(body, headers)
        except (ConnectionResetError, BrokenPipeError):  # RemoteDisconnected is one of them
            if not kept or self._late:
                raise
            self._on.close()  # a connection kept too long says nothing of the gateway
            answer = self._ask(body, headers)
        answer.read(MOST)
        if not answer.isclosed():
            self._on.close()
        return answer.status, answer.headers

    def _ask(self, body: bytes, headers: dict[str, str]) -> HTTPResponse:
        self._on.request("POST", self._target, body, headers)
        return self._on.getresponse()

    def _cut(self) -> None:
        self._late = True
        if self._on.sock is not None:
            with suppress(OSError):
                self._on.sock.shutdown(socket.SHUT_RDWR)

    def flush(self) -> str:
        return ""

    def close(self) -> None:
        self._on.close()


def retry_after(headers: Headers) -> timedelta:
    """Return how long a receiver asks to be left alone: seconds, or an instant counted from its own clock."""
    asked = headers.get("Retry-After", "")
    if asked.isascii() and asked.isdigit():
        return timedelta(seconds=min(int(asked[:9]), 86_400))
    with suppress(ValueError, TypeError):
        return max(
            timedelta(),
            parsedate_to_datetime(asked) - parsedate_to_datetime(headers.get("Date", "")),
        )
    return timedelta()
