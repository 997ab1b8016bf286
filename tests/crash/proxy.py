"""A proxy in front of Postgres that knows its messages and cuts the network at the n-th of them.

Clients come by TCP, the server is reached through its unix socket. One thread serves one
connection, so messages pass in the order in which they were sent, and a clean run of one program
always passes the same ones.
"""

from __future__ import annotations

import ctypes
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

SO_ATTACH_FILTER = 26  # Linux
COMMIT = "COMMIT"


@dataclass(frozen=True)
class Message:
    """One message of the protocol: the n-th of this side of this connection, and the SQL that it
    runs.
    """

    connection: int
    side: str  # client or server
    n: int
    kind: str  # the protocol's letter; STARTUP for the first
    sql: str = ""


@dataclass(frozen=True)
class Cut:
    """Where the network fails: at the n-th message of one side of a connection, and how.

    before: the message is lost. after: it arrives, nothing more does. done: it arrives and is
    answered, but the answer is lost. Then the connection is reset; with `silent`, no connection
    hears or acknowledges anything any more.
    """

    connection: int
    side: str
    n: int
    when: str = "before"
    silent: bool = False


@dataclass
class _Stream:
    """The messages of one side so far: an unfinished one, their number, and the named statements."""

    connection: int
    side: str
    buffer: bytes = b""
    n: int = 0
    named: dict[bytes, str] = field(default_factory=dict)

    def feed(self, data: bytes) -> Iterator[tuple[Message, bytes]]:
        """Yield each whole message with its bytes."""
        self.buffer += data
        while True:
            typed = self.side == "server" or self.n > 0
            if len(self.buffer) < 4 + typed:
                return
            length = struct.unpack_from("!I", self.buffer, typed)[0] + typed
            if len(self.buffer) < length:
                return
            raw, self.buffer = self.buffer[:length], self.buffer[length:]
            kind = chr(raw[0]) if typed else "STARTUP"
            sql = self._sql(kind, raw[5:]) if self.side == "client" else ""
            yield Message(self.connection, self.side, self.n, kind, sql), raw
            self.n += 1

    def _sql(self, kind: str, body: bytes) -> str:
        """Return the SQL of a Query, Parse or Bind; a Bind names a statement that was parsed
        before.
        """
        words = body.split(b"\0")
        if kind == "Q":
            return words[0].decode()
        if kind == "P":
            self.named[words[0]] = words[1].decode()
            return self.named[words[0]]
        return self.named.get(words[1], "") if kind == "B" else ""


class Proxy:
    """A proxy between clients and the server of one database; `passed` lists the messages in order."""

    def __init__(
        self, url: str, cut: Cut | None = None, *, slices: int = 0, latency: float = 0.0
    ) -> None:
        parts = urlsplit(url)
        folder = unquote(parse_qs(parts.query)["host"][0])
        self._server = f"{folder}/.s.PGSQL.5432"
        self._cut, self._slices, self._latency = cut, slices, latency
        self._dark, self._over = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.passed: list[Message] = []
        self.struck: Message | None = None
        port = self._listening.getsockname()[1]
        self.url = f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}?sslmode=disable&gssencmode=disable"
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """End every connection: the server learns that its clients are gone."""
        self._over.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in [self._accepting, *self._threads]:
            thread.join(10)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            serve = threading.Thread(
                target=self._serve, args=(client, len(self._threads)), daemon=True
            )
            self._threads.append(serve)
            serve.start()

    def _serve(self, client: socket.socket, connection: int) -> None:
        with socket.socket(socket.AF_UNIX) as server, client, suppress(OSError):
            server.connect(self._server)
            streams = {client: _Stream(connection, "client"), server: _Stream(connection, "server")}
            while not self._over.is_set():
                if self._dark.is_set():
                    return self._blind(client)
                for source in select.select([client, server], [], [], 0.02)[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    target = server if source is client else client
                    if not all(
                        self._pass(message, raw, target)
                        for message, raw in streams[source].feed(data)
                    ):
                        return self._strike(client, server, streams[server])

    def _pass(self, message: Message, raw: bytes, target: socket.socket) -> bool:
        """Hand a message on; return whether the network still holds."""
        here = self._cut and (message.connection, message.side, message.n) == (
            self._cut.connection,
            self._cut.side,
            self._cut.n,
        )
        self.passed.append(message)
        if here:
            self.struck = message
            if self._cut and self._cut.when == "before":
                return False
        if self._latency and message.kind in "QSXSTARTUP":  # once a round trip
            time.sleep(self._latency)
        step = self._slices or len(raw)
        for at in range(0, len(raw), step):
            target.sendall(raw[at : at + step])
        return not here

    def _strike(self, client: socket.socket, server: socket.socket, answers: _Stream) -> None:
        assert self._cut is not None
        if self._cut.when == "done":
            self._await_answer(server, answers)
        if self._cut.silent:
            self._dark.set()
            return self._blind(client)
        client.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )  # close resets

    def _await_answer(self, server: socket.socket, answers: _Stream) -> None:
        """Read, and lose, what the server says until it is ready for the next query."""
        server.settimeout(30)
        while data := server.recv(1 << 16):
            if any(message.kind == "Z" for message, _ in answers.feed(data)):
                return

    def _blind(self, client: socket.socket) -> None:
        """Drop every packet for this socket before TCP sees it, so that nothing is acknowledged,
        until `close`.
        """
        everything = ctypes.create_string_buffer(
            struct.pack("HBBI", 0x06, 0, 0, 0)
        )  # BPF: return 0 bytes
        client.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(everything))
        )
        self._over.wait()


@contextmanager
def between(
    url: str, cut: Cut | None = None, *, slices: int = 0, latency: float = 0.0
) -> Iterator[Proxy]:
    """Yield a proxy before the server of a database; it ends with the block."""
    proxy = Proxy(url, cut, slices=slices, latency=latency)
    try:
        yield proxy
    finally:
        proxy.close()


def batches(passed: list[Message]) -> list[Message]:
    """Return the COMMIT of every batch of decisions, in order."""
    found, decided = [], set[int]()
    for message in passed:
        if re.search(r"\b(INSERT INTO dk\.decisions|decided = decided \+)", message.sql):
            decided.add(message.connection)
        if message.sql == COMMIT and message.connection in decided:
            found.append(message)
            decided.discard(message.connection)
    return found
