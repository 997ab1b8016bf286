"""Settings: the defaults of each Params class, then the TOML files in their order.

An unknown table, key or flag is an error, so that a typing mistake is never ignored.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time, timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from dispatchkit.kernel.canonical_json import canonical
from dispatchkit.kernel.clock import zone
from dispatchkit.kernel.errors import BadConfig, InputMissing
from dispatchkit.kernel.flags import Flag

PROJECT_FILES = (Path("configs/default.toml"), Path("configs/flags.toml"))
MAX_BYTES, MAX_DEPTH = 1_000_000, 32
_SPAN = re.compile(r"(\d{1,12})\s*(s|min|h|d)")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
MAX_SPAN_S = 100 * 366 * 86400  # an instant plus a longer span could leave the calendar
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Where the operation runs: its time zone and the hour at which a service day begins."""

    timezone: str = "UTC"
    day_starts_at: time = time(4)

    def __post_init__(self) -> None:
        zone(self.timezone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """How the database is reached and how long anything may wait for it."""

    lock_timeout: timedelta = timedelta(seconds=2)
    statement_timeout: timedelta = timedelta(seconds=30)
    batch: int = 500
    workers: int = 1
    deadline: timedelta = timedelta(minutes=10)

    def __post_init__(self) -> None:
        for name in ("lock_timeout", "statement_timeout", "deadline"):
            # To Postgres, 0 would mean to wait for ever.
            if not timedelta() < getattr(self, name) <= timedelta(days=1):
                raise BadConfig(
                    f"database.{name} is {getattr(self, name)}; expected more than 0s, at most 1d"
                )
        if self.batch < 1:
            raise BadConfig(f"database.batch is {self.batch}; expected 1 or more")
        if not 1 <= self.workers <= 16:
            raise BadConfig(f"database.workers is {self.workers}; expected 1 to 16")


@dataclass(frozen=True)
class Settings:
    """Every parameter of a run. `params(table, Class)` gives one feature's table as its frozen Params."""

    tables: Mapping[str, Any] = field(default_factory=dict)

    def params(self, table: str, cls: type[T]) -> T:
        """Return the Params of one TOML table, defaults filled in. Raises BadConfig naming table and key."""
        return build(cls, self.tables.get(table, {}), table)

    @cached_property
    def market(self) -> Market:
        return self.params("market", Market)

    @cached_property
    def database(self) -> Database:
        return self.params("database", Database)

    def flag(self, name: str) -> Flag:
        """Return a rollout flag; one that no file mentions is fully on."""
        table = self.tables.get("flags", {}).get(name, {})
        if not isinstance(table, Mapping):
            raise BadConfig(
                f"[flags.{name}] must be a table, e.g. enabled = true and percent = 5.0"
            )
        _require_known(table, {"enabled", "percent"}, "key", f"[flags.{name}]")
        return build(Flag, {"name": name, **table}, f"flags.{name}")

    @property
    def sha256(self) -> str:
        """Return the fingerprint of all settings."""
        return sha256(canonical(_textual(self.tables)).encode()).hexdigest()


def load(
    files: Sequence[Path] = (), *, known: Iterable[str] = (), flags: Iterable[str] = ()
) -> Settings:
    """Return Settings from the project files (where present) and then `files`; later ones win key by key.

    known: the names of the tables that features add. flags: the names of the flags.

    Raises InputMissing for a file that does not exist, BadConfig for an unknown table or flag.
    """
    merged: dict[str, Any] = {}
    for path in (*(p for p in PROJECT_FILES if p.is_file()), *files):
        _merge(merged, _read(path))
    _require_known(merged, {"market", "database", "flags", *known}, "table", "the configuration")
    for name, value in merged.items():
        if not isinstance(value, dict):
            raise BadConfig(f"[{name}] must be a table")
    _require_known(merged.get("flags", {}), set(flags), "flag", "[flags]")
    return Settings(merged)


def build(cls: type[T], table: Any, where: str) -> T:
    """Return a frozen dataclass from a TOML table, each value checked against the type of its field.

    where: the name of the table, for messages. Raises BadConfig.
    """
    if not isinstance(table, Mapping):
        raise BadConfig(f"[{where}] must be a table")
    types = get_type_hints(cls)
    _require_known(table, {f.name for f in dataclasses.fields(cls)}, "key", f"[{where}]")  # type: ignore[arg-type]
    values = {key: _value(types[key], value, f"{where}.{key}") for key, value in table.items()}
    try:
        return cls(**values)
    except BadConfig as fault:
        # A check across keys names the keys, but not always their table.
        if str(fault).startswith(f"{where}."):
            raise
        raise BadConfig(f"[{where}] {fault}") from None


def span(text: str) -> timedelta | None:
    """Return a span such as `30s`, `5min`, `2h` or `7d`; None for other text or above a century."""
    match = _SPAN.fullmatch(text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else MAX_SPAN_S + 1
    return timedelta(seconds=seconds) if seconds <= MAX_SPAN_S else None


def _value(kind: Any, value: Any, where: str) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise BadConfig(f"{where} is {value}; expected a finite number")
    if kind is timedelta:
        length = span(value) if isinstance(value, str) else None
        if length is None:
            raise BadConfig(
                f"{where} is {value!r}; expected a span such as '30s', '5min', '2h' or '7d'"
            )
        return length
    if kind is float and type(value) is int:
        return float(value)
    origin = getattr(kind, "__origin__", None)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(kind.__args__[0], item, where) for item in value)
    if origin in (dict, Mapping) or str(origin).endswith("Mapping"):
        if not isinstance(value, Mapping):
            raise BadConfig(f"{where} must be a table")
        return {
            key: _value(kind.__args__[1], item, f"{where}.{key}") for key, item in value.items()
        }
    plain = kind if isinstance(kind, type) else object
    if type(value) is not plain and plain is not object:
        raise BadConfig(f"{where} is {value!r}; expected {plain.__name__}")
    return value


def _require_known(table: Mapping[str, Any], allowed: set[str], what: str, where: str) -> None:
    for key in table:
        if key not in allowed:
            close = difflib.get_close_matches(key, sorted(allowed), n=1)
            hint = (
                f", did you mean `{close[0]}`"
                if close
                else f"; known: {', '.join(sorted(allowed)) or 'none'}"
            )
            raise BadConfig(f"unknown {what} `{key}` in {where}{hint}")


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputMissing(f"no such configuration file: {path}")
    if path.stat().st_size > MAX_BYTES:
        raise BadConfig(f"{path}: larger than {MAX_BYTES:,} bytes")
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BadConfig(f"{path}: not TOML: {str(fault).splitlines()[0]}") from None
    if _depth(content) > MAX_DEPTH:
        raise BadConfig(f"{path}: nested deeper than {MAX_DEPTH}")
    return content


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0) if isinstance(value, dict | list) else 0


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _textual(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _textual(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_textual(item) for item in value]
    return value if isinstance(value, str | int | float | bool) else str(value)
