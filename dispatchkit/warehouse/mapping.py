"""A mapping says which column of a foreign file is what: a TOML file that an analyst writes.

    source = "postmates"             # the word under which orders and ids are kept apart from other sources'
    time_zone = "America/New_York"   # of stamps without offset; leave out when all carry one
    group = ["delivery_id"]          # lines that belong to one order; leave out when each line is one
    missing = ["NA"]                 # words that mean "no value", besides the empty field
    max_hours = 24                   # a delivery that lasted longer is quarantined
    columns = [...]                  # the header of the file, complete

    [tables.orders]                  # one table per table to fill; a key is a column of ours, a value is one of:
    placed_at = "started"                                            the column as it is
    promised_at = { column = "started", plus_minutes = "estimate" }  a stamp some minutes later
    vehicle = { column = "vehicle", words = { truck = "other" } }    the column, some words put into ours
    items = { sum = "quantity" }                                     the sum over the order's lines
    fee_cents = { constant = 0 }                                     the same for all
    label = { text = "store {store_id}" }                            text with columns set in
    merchant_id = { key = ["store_id"] }                             an id made of columns: none means one id for
                                                                     all, "*" the whole line

`key` is `kernel.chance.key(source, table, values...)`, where table is the one the id belongs to, so that the same key
under `merchants.id` and `orders.merchant_id` gives the same id, today and at the next import.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from dispatchkit.config import build
from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.clock import zone
from dispatchkit.kernel.errors import BadConfig, shown
from dispatchkit.kernel.files import open_existing, translate_os_errors
from dispatchkit.warehouse.csvtext import ENCODINGS

_MOST_BYTES = 1_000_000
_SETTING = re.compile(r"\{([^{}]*)\}")
STARTS = {
    "version": 1,
    "episode": 1,
    "attempt": 0,
    "priority": 0,
    "timeouts": 0,
}  # unless the mapping says otherwise


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the file, its words put into ours, or a stamp some minutes later."""

    column: str
    plus_minutes: str = ""
    words: Table[str, str] = field(default_factory=dict)

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column, self.plus_minutes) if self.plus_minutes else (self.column,)


@dataclass(frozen=True, slots=True)
class Key:
    """An id made of columns."""

    key: tuple[str, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        return self.key


@dataclass(frozen=True, slots=True)
class Constant:
    """The same value for all."""

    constant: str | int | float | bool

    @property
    def reads(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of whole numbers over an order's lines; lines without a value add nothing."""

    sum: str

    @property
    def reads(self) -> tuple[str, ...]:
        return ()  # not one value of the order but one of each line


@dataclass(frozen=True, slots=True)
class Text:
    """Text with columns set in."""

    text: str

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(_SETTING.findall(self.text))

    @property
    def template(self) -> str:
        return _SETTING.sub("{}", self.text)


Source: TypeAlias = Column | Key | Constant | Sum | Text
_KINDS: dict[str, type[Source]] = {
    "column": Column,
    "key": Key,
    "constant": Constant,
    "sum": Sum,
    "text": Text,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """What the columns of one kind of foreign file mean; see the module."""

    source: str
    columns: tuple[str, ...]
    tables: Table[str, Table[str, object]]
    time_zone: str = ""
    group: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    max_hours: int = 24
    delimiter: str = ","
    encoding: str = "utf-8"

    def sources(self) -> dict[str, dict[str, Source]]:
        """Return table -> column -> where its value comes from, in table order, nullable columns left out."""
        return {table: _sources(self, table) for table in TABLES if table in self.tables}


def read(path: Path) -> Mapping:
    """Return the mapping in a TOML file. Raises InputMissing, BadConfig naming file and key."""
    with open_existing(path) as file, translate_os_errors(path):
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise BadConfig(f"{path.name}: larger than {_MOST_BYTES:,} bytes")
    try:
        given = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BadConfig(f"{path.name}: not TOML: {str(fault).splitlines()[0]}") from None
    return checked(given, path.name)


def checked(given: Table[str, object], name: str) -> Mapping:
    """Return a mapping from its document. Raises BadConfig naming the key and what was expected."""
    for key in ("source", "columns", "tables"):
        if key not in given:
            raise BadConfig(f"{name}: `{key}` is missing")
    for key in ("columns", "group", "missing"):
        _list(given.get(key, []), f"{name}: `{key}`")
    found = build(Mapping, given, name)
    if found.time_zone:
        zone(found.time_zone)
    if len(found.delimiter) != 1 or found.encoding not in ENCODINGS:
        raise BadConfig(
            f"{name}: delimiter is one character, encoding one of {', '.join(ENCODINGS)}"
        )
    if unknown := [column for column in found.group if column not in found.columns]:
        raise BadConfig(f"{name}: group: {shown(unknown[0])!r} is not among `columns`")
    for table in found.tables:
        if table not in TABLES:
            raise BadConfig(f"{name}: tables.{shown(table)} is not one of our tables")
    found.sources()
    return found


def _sources(mapping: Mapping, table: str) -> dict[str, Source]:
    given = mapping.tables[table]
    for name in given:
        if name not in TABLES[table].columns():
            raise BadConfig(f"tables.{table}: {shown(name)!r} is not a column of ours")
    found = {}
    for name, column in TABLES[table].columns().items():
        if name in given:
            found[name] = _source(given[name], f"tables.{table}.{name}", mapping)
        elif name in STARTS:
            found[name] = Constant(STARTS[name])
        elif not column.nullable:
            raise BadConfig(
                f"tables.{table}: column `{name}` is required; map it or give a constant"
            )
    return found


def _source(given: object, where: str, mapping: Mapping) -> Source:
    document = {"column": given} if isinstance(given, str) else given
    kind = next((kind for kind in _KINDS if isinstance(document, dict) and kind in document), None)
    if kind is None:
        raise BadConfig(
            f"{where}: expected a column name or a table with one of {', '.join(_KINDS)}"
        )
    if isinstance(document, dict) and kind == "key":
        _list(document[kind], where)
    found: Source = build(_KINDS[kind], document, where)
    if isinstance(found, Key) and found.key == ("*",) and not mapping.group:
        found = Key(mapping.columns)
    for column in (*found.reads, *([found.sum] if isinstance(found, Sum) else [])):
        if column not in mapping.columns:
            raise BadConfig(f"{where}: {shown(column)!r} is not among `columns`")
    return found


def _list(given: object, where: str) -> None:
    if not isinstance(given, list):
        raise BadConfig(f'{where}: expected a list such as ["one", "two"], came {shown(given)!r}')
