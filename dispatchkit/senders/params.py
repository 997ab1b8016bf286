"""The settings of the ways out: [outbox], and a table [senders.NAME] for each of them."""

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
_NEEDS: Mapping[str, tuple[str, ...]] = {"log": (), "file": ("path",), "webhook": ("url",)}
_MAY: Mapping[str, tuple[str, ...]] = {
    "log": (),
    "file": ("path",),
    "webhook": ("url", "secret_env", "push"),
}
_HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """How hard it is tried to get an event out."""

    batch: int = 500  # events read at a time, and lines of a file before they are made safe
    first_wait: timedelta = timedelta(
        seconds=2
    )  # before the second try; doubles with every further one
    max_wait: timedelta = timedelta(minutes=10)  # no wait is longer, whatever a receiver asks for
    give_up: timedelta = timedelta(
        hours=24
    )  # after the first try; then the sending is FAILED, for a person
    down_after: int = 3  # failures in a row after which a sender is left alone until the next run
    patience: timedelta = timedelta(seconds=10)  # how long a run waits for tries that are due soon
    push_ack: timedelta = timedelta(
        seconds=10
    )  # an offer whose push nobody acknowledged for so long is UNDELIVERABLE

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
class Way:
    """One [senders.NAME]: where to, by what means, and which events.

    push: its receipts are the drivers' phones': an offer it delivered has reached the driver, one it refused has not.
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
        here = f"senders.{self.name}"
        if self.kind not in _NEEDS:
            raise BadConfig(f"{here}.kind is {self.kind!r}; expected one of {', '.join(_NEEDS)}")
        for key in ("path", "url", "secret_env", "push"):
            given = bool(getattr(self, key))
            if given and key not in _MAY[self.kind]:
                raise BadConfig(f"{here}.{key} means nothing where {here}.kind is {self.kind!r}")
            if not given and key in _NEEDS[self.kind]:
                raise BadConfig(f"{here}.kind is {self.kind!r}, so {here}.{key} is needed")
        if not self.events or not all(
            _EVENTS.fullmatch(pattern) and pattern for pattern in self.events
        ):
            raise BadConfig(f"{here}.events holds names such as offer_created, offer_* or *")
        if not timedelta() < self.timeout <= timedelta(minutes=1):
            raise BadConfig(
                f"{here}.timeout is {self.timeout}; expected more than 0s, at most 1min"
            )
        if self.url:
            _check_url(here, self.url)


def ways(settings: Settings) -> tuple[Way, ...]:
    """Return the senders that the settings name, by name. Raises BadConfig naming the keys that contradict."""
    given: Mapping[str, Any] = settings.tables.get("senders", {})
    found = []
    for name in sorted(given):
        if not _NAME.fullmatch(name):
            raise BadConfig(
                f"[senders.{name}]: a sender's name is a word of small letters, digits and _"
            )
        table = given[name]
        if not isinstance(table, Mapping) or "kind" not in table:
            raise BadConfig(f"[senders.{name}] must be a table with a kind: {', '.join(_NEEDS)}")
        found.append(build(Way, {**table, "name": name}, f"senders.{name}"))
    for one in found:
        for other in found[: found.index(one)]:
            if one.push and other.push:
                raise BadConfig(
                    f"senders.{other.name}.push and senders.{one.name}.push: a phone is reached one way"
                )
            if one.path and one.path == other.path:
                raise BadConfig(
                    f"senders.{other.name}.path and senders.{one.name}.path name the same file"
                )
    return tuple(found)


def _check_url(here: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise BadConfig(f"{here}.url is not a URL; expected https://host/path") from None
    if parts.scheme not in ("http", "https") or not host:
        raise BadConfig(f"{here}.url is not a URL; expected https://host/path")
    if parts.username is not None or parts.password is not None:
        raise BadConfig(
            f"{here}.url holds a login; put the secret into the environment and name it in secret_env"
        )
    if parts.scheme == "http" and host not in _HERE:
        raise BadConfig(f"{here}.url goes to another machine in clear text; expected https://")
