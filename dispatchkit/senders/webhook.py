"""Posts each event as JSON to a URL, signed, with an idempotency key.

2xx means delivered. 4xx means refused for good, except for the codes that ask to come back later.
Anything else is tried again.
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
from dispatchkit.senders.params import SenderConfig

TRY_LATER = (408, 425, 429)
MAX_READ = 65_536  # bytes of an answer that are read so that the connection can be kept


class WebhookSender:
    """Posts to one URL over a connection that is kept open between messages."""

    max_unconfirmed = (
        1  # marked one by one: a crash repeats at most the last one, with the same key
    )

    def __init__(self, config: SenderConfig, secret: bytes) -> None:
        parts = urlsplit(config.url)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._seconds = config.timeout.total_seconds()
        self._secret = secret
        self._timed_out = False
        self._connection: HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            self._connection = HTTPSConnection(
                parts.hostname or "", parts.port, timeout=self._seconds, context=context
            )
        else:
            self._connection = HTTPConnection(
                parts.hostname or "", parts.port, timeout=self._seconds
            )

    def send(self, message: Message) -> Receipt:
        """Post the message. An answer that is not complete at the time-out counts as none."""
        self._timed_out = False
        # The socket's own time-out begins anew with every byte, so a timer bounds the whole answer.
        limit = Timer(self._seconds, self._cut_off)
        limit.daemon = True
        limit.start()
        try:
            status, headers = self._post(message)
        except (OSError, HTTPException) as fault:
            self._connection.close()
            timed_out = self._timed_out or isinstance(fault, TimeoutError)
            return Receipt("RETRY", "timeout" if timed_out else type(fault).__name__)
        finally:
            limit.cancel()
        if 200 <= status < 300:
            return DELIVERED
        if 400 <= status < 500 and status not in TRY_LATER:
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
        kept = self._connection.sock is not None
        try:
            answer = self._request(body, headers)
        except (ConnectionResetError, BrokenPipeError):  # RemoteDisconnected is one of them
            if not kept or self._timed_out:
                raise
            self._connection.close()  # it had been idle too long: no fault of the receiver
            answer = self._request(body, headers)
        answer.read(MAX_READ)
        if not answer.isclosed():
            self._connection.close()
        return answer.status, answer.headers

    def _request(self, body: bytes, headers: dict[str, str]) -> HTTPResponse:
        self._connection.request("POST", self._target, body, headers)
        return self._connection.getresponse()

    def _cut_off(self) -> None:
        self._timed_out = True
        if self._connection.sock is not None:
            with suppress(OSError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)

    def flush(self) -> str:
        return ""

    def close(self) -> None:
        self._connection.close()


def retry_after(headers: Headers) -> timedelta:
    """Return how long a receiver asks to wait: seconds, or an instant by its own clock."""
    value = headers.get("Retry-After", "")
    if value.isascii() and value.isdigit():
        return timedelta(seconds=min(int(value[:9]), 86_400))
    with suppress(ValueError, TypeError):
        return max(
            timedelta(),
            parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("Date", "")),
        )
    return timedelta()
