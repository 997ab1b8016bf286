"""The settings of outgoing events: [outbox], and one table [senders.NAME] per sender."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from dispatchkit.config import Settings, build
from dispatchkit.kernel.errors import BadConfig

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_EVENTS = re.compile(r"[a-z_]*\*?")
_REQUIRED: Mapping[str, tuple[str, ...]] = {"log": (), "file": ("path",), "webhook": ("url",)}
_ALLOWED: Mapping[str, tuple[str, ...]] = {
    "log": (),
    "file": ("path",),
    "webhook": ("url", "secret_env", "push"),
}
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """How often, how fast and how long events are sent again."""

    batch: int = 500  # events read at a time, and lines of a file before it is synced
    first_wait: timedelta = timedelta(seconds=2)  # before the second try; doubles each time
    max_wait: timedelta = timedelta(minutes=10)  # no wait is longer, whatever a receiver asks for
    give_up: timedelta = timedelta(hours=24)  # after the first try; then a person has to look
    down_after: int = 3  # after so many failures in a row a sender rests until the next run
    patience: timedelta = timedelta(seconds=10)  # how long a run waits for tries that are due soon
    push_ack: timedelta = timedelta(seconds=10)  # then an unacknowledged offer is UNDELIVERABLE

    def __post_init__(self) -> None:
        for name in ("batch", "down_after"):
            if getattr(self, name) < 1:
                raise BadConfig(f"outbox.{name} is {getattr(self, name)}; expected 1 or more")
        if not timedelta() < self.first_wait <= self.max_wait <= self.give_up:
            raise BadConfig(
                f"outbox.first_wait {self.first_wait}, max_wait {self.max_wait} and give_up {self.give_up} must be "
                "longer than zero and not fall"
            )
        for name in ("patience", "push_ack"):
            if getattr(self, name) < timedelta():
                raise BadConfig(f"outbox.{name} is below zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderConfig:
    """One table [senders.NAME]: where to send, by what means, and which events.

    push: this sender reaches the drivers' phones. An offer that it delivered has reached the driver,
    one that it refused has not.
    """

    name: str
    kind: str
    events: tuple[str, ...] = ("*",)
    path: str = ""
    url: str = ""
    timeout: timedelta = timedelta(seconds=5)
    secret_env: str = ""
    push: bool = False

    def __post_init__(self) -> None:
        table = f"senders.{self.name}"
        if self.kind not in _REQUIRED:
            raise BadConfig(
                f"{table}.kind is {self.kind!r}; expected one of {', '.join(_REQUIRED)}"
            )
        for key in ("path", "url", "secret_env", "push"):
            is_set = bool(getattr(self, key))
            if is_set and key not in _ALLOWED[self.kind]:
                raise BadConfig(f"{table}.{key} has no meaning where {table}.kind is {self.kind!r}")
            if not is_set and key in _REQUIRED[self.kind]:
                raise BadConfig(f"{table}.kind is {self.kind!r}, so {table}.{key} is needed")
        if not self.events or not all(
            _EVENTS.fullmatch(pattern) and pattern for pattern in self.events
        ):
            raise BadConfig(f"{table}.events holds names such as offer_created, offer_* or *")
        if not timedelta() < self.timeout <= timedelta(minutes=1):
            raise BadConfig(
                f"{table}.timeout is {self.timeout}; expected more than 0s, at most 1min"
            )
        if self.url:
            _check_url(table, self.url)


def sender_configs(settings: Settings) -> tuple[SenderConfig, ...]:
    """Return the senders of the settings, sorted by name. Raises BadConfig for keys that contradict."""
    tables: Mapping[str, Any] = settings.tables.get("senders", {})
    configs = []
    for name in sorted(tables):
        if not _NAME.fullmatch(name):
            raise BadConfig(
                f"[senders.{name}]: a sender's name is a word of small letters, digits and _"
            )
        table = tables[name]
        if not isinstance(table, Mapping) or "kind" not in table:
            raise BadConfig(f"[senders.{name}] must be a table with a kind: {', '.join(_REQUIRED)}")
        configs.append(build(SenderConfig, {**table, "name": name}, f"senders.{name}"))
    for i, one in enumerate(configs):
        for other in configs[:i]:
            if one.push and other.push:
                raise BadConfig(
                    f"senders.{other.name}.push and senders.{one.name}.push: only one sender reaches the phones"
                )
            if one.path and one.path == other.path:
                raise BadConfig(
                    f"senders.{other.name}.path and senders.{one.name}.path name the same file"
                )
    return tuple(configs)


def _check_url(table: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise BadConfig(f"{table}.url is not a URL; expected https://host/path") from None
    if parts.scheme not in ("http", "https") or not host:
        raise BadConfig(f"{table}.url is not a URL; expected https://host/path")
    if parts.username is not None or parts.password is not None:
        raise BadConfig(
            f"{table}.url holds a login; put the secret into the environment and name it in secret_env"
        )
    if parts.scheme == "http" and host not in _THIS_MACHINE:
        raise BadConfig(f"{table}.url goes to another machine in clear text; expected https://")
