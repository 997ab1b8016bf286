"""A real HTTP server that answers as ordered: 204, 500, "hang", "drip", "reset"; then 204."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any

Told = (
    int | str | tuple[int, dict[str, str]]
)  # a status, a way to misbehave, or a status with headers


@dataclass
class Gateway:
    """What the server is told to answer next, and what it got."""

    url: str = ""
    answers: list[Told] = field(default_factory=list)
    posts: list[dict[str, Any]] = field(default_factory=list)
    stop: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)
    always: Told | None = None

    def next(self) -> Told:
        with self.lock:
            return self.answers.pop(0) if self.answers else self.always or 204

    @property
    def keys(self) -> list[str]:
        return [post["key"] for post in self.posts]

    @property
    def events(self) -> list[str]:
        return [json.loads(post["body"])["event"] for post in self.posts]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gateway: Gateway

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.gateway.lock:
            self.gateway.posts.append(
                {
                    "path": self.path,
                    "key": self.headers["Idempotency-Key"],
                    "signature": self.headers["X-Signature-SHA256"],
                    "body": body,
                    "port": self.client_address[1],
                }
            )
        told = self.gateway.next()
        if isinstance(told, str):
            getattr(self, f"_{told}")()
            return
        status, headers = told if isinstance(told, tuple) else (told, {})
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _hang(self) -> None:
        self.gateway.stop.wait(30)
        self.close_connection = True

    def _drip(self) -> None:
        """A byte now and then, so that no single read ever times out."""
        for _ in range(300):
            if self.gateway.stop.is_set():
                break
            try:
                self.wfile.write(b"H")
            except OSError:
                break
            time.sleep(0.05)
        self.close_connection = True

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _garbage(self) -> None:
        self.wfile.write(b"this is not HTTP\r\n\r\n")
        self.close_connection = True

    def _slow(self) -> None:
        time.sleep(0.2)
        self.send_response(204)
        self.end_headers()

    def _closing(self) -> None:
        """Answer well, and close the connection without saying so."""
        self.wfile.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def gateway(*answers: Told, always: Told | None = None) -> Iterator[Gateway]:
    """Yield a running gateway."""
    found = Gateway(answers=list(answers), always=always)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"gateway": found}))
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_address[1]}/events?to=phones"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()
