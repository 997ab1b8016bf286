"""What each column of a foreign file means: a mapping, a TOML file that an analyst writes.

    source = "postmates"             # orders and ids of this source are kept apart from others'
    time_zone = "America/New_York"   # of times without offset; leave out when all carry one
    group = ["delivery_id"]          # lines of one order share these; leave out when each is one
    missing = ["NA"]                 # words that mean "no value", besides the empty field
    max_hours = 24                   # a delivery that lasted longer is quarantined
    columns = [...]                  # the header of the file, complete

    [tables.orders]                  # one section per table to fill; for each of our columns one of
    placed_at = "started"                                            # the column as it is
    promised_at = { column = "started", plus_minutes = "estimate" }  # a time some minutes later
    vehicle = { column = "vehicle", words = { truck = "other" } }    # some words translated
    items = { sum = "quantity" }                                     # sum over the order's lines
    fee_cents = { constant = 0 }                                     # the same for every record
    label = { text = "store {store_id}" }                            # text with columns filled in
    merchant_id = { key = ["store_id"] }                             # an id made of columns:
                                                                     # [] one id for all records,
                                                                     # ["*"] the whole line

An id is a hash of source, table and values, where table is the one the id belongs to. So the same
key under `merchants.id` and `orders.merchant_id` gives the same id, today and at the next import.
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
from dispatchkit.warehouse.strict_csv import ENCODINGS

_MAX_BYTES = 1_000_000
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# Values of columns that the mapping does not name, as a new row has them.
_DEFAULTS = {"version": 1, "episode": 1, "attempt": 0, "priority": 0, "timeouts": 0}


@dataclass(frozen=True, slots=True)
class MappedColumn:
    """A column of the file, some of its words translated, or a time some minutes later."""

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
    """The same value for every record."""

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
        return ()  # it has a value per line, and `reads` names columns with one value per order


@dataclass(frozen=True, slots=True)
class Text:
    """Text with columns filled in."""

    text: str

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(_PLACEHOLDER.findall(self.text))

    @property
    def template(self) -> str:
        return _PLACEHOLDER.sub("{}", self.text)


Source: TypeAlias = MappedColumn | Key | Constant | Sum | Text
_SOURCES: dict[str, type[Source]] = {
    "column": MappedColumn,
    "key": Key,
    "constant": Constant,
    "sum": Sum,
    "text": Text,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """What the columns of one kind of foreign file mean; the module's text explains the fields."""

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
        """Return table -> column -> where its value comes from; empty columns are left out."""
        return {table: _sources(self, table) for table in TABLES if table in self.tables}


def read_mapping(path: Path) -> Mapping:
    """Return the mapping in a TOML file. Raises InputMissing, BadConfig naming file and key."""
    with open_existing(path) as file, translate_os_errors(path):
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise BadConfig(f"{path.name}: larger than {_MAX_BYTES:,} bytes")
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BadConfig(f"{path.name}: not TOML: {str(fault).splitlines()[0]}") from None
    return mapping_of(document, path.name)


def mapping_of(document: Table[str, object], file: str) -> Mapping:
    """Return a mapping from its document. Raises BadConfig naming the key and what was expected."""
    for key in ("source", "columns", "tables"):
        if key not in document:
            raise BadConfig(f"{file}: `{key}` is missing")
    for key in ("columns", "group", "missing"):
        _require_list(document.get(key, []), f"{file}: `{key}`")

    mapping = build(Mapping, document, file)
    if mapping.time_zone:
        zone(mapping.time_zone)
    if len(mapping.delimiter) != 1 or mapping.encoding not in ENCODINGS:
        raise BadConfig(
            f"{file}: delimiter is one character, encoding one of {', '.join(ENCODINGS)}"
        )
    for column in mapping.group:
        if column not in mapping.columns:
            raise BadConfig(f"{file}: group: {shown(column)!r} is not among `columns`")
    for table in mapping.tables:
        if table not in TABLES:
            raise BadConfig(f"{file}: tables.{shown(table)} is not one of our tables")
    mapping.sources()
    return mapping


def _sources(mapping: Mapping, table: str) -> dict[str, Source]:
    """Return column -> source of one table. Raises BadConfig for an unknown or a missing column."""
    section = mapping.tables[table]
    for name in section:
        if name not in TABLES[table].columns():
            raise BadConfig(f"tables.{table}: {shown(name)!r} is not a column of ours")
    sources: dict[str, Source] = {}
    for name, column in TABLES[table].columns().items():
        if name in section:
            sources[name] = _source(section[name], f"tables.{table}.{name}", mapping)
        elif name in _DEFAULTS:
            sources[name] = Constant(_DEFAULTS[name])
        elif not column.nullable:
            raise BadConfig(
                f"tables.{table}: column `{name}` is required; map it or give a constant"
            )
    return sources


def _source(value: object, where: str, mapping: Mapping) -> Source:
    """Return the source that one entry names. Raises BadConfig for an unknown kind or column."""
    entry = {"column": value} if isinstance(value, str) else value
    kind = next((kind for kind in _SOURCES if isinstance(entry, dict) and kind in entry), None)
    if kind is None:
        raise BadConfig(
            f"{where}: expected a column name or a table with one of {', '.join(_SOURCES)}"
        )
    if isinstance(entry, dict) and kind == "key":
        _require_list(entry[kind], where)
    source = build(_SOURCES[kind], entry, where)
    if isinstance(source, Key) and source.key == ("*",) and not mapping.group:
        source = Key(mapping.columns)
    columns = (source.sum,) if isinstance(source, Sum) else source.reads
    for column in columns:
        if column not in mapping.columns:
            raise BadConfig(f"{where}: {shown(column)!r} is not among `columns`")
    return source


def _require_list(value: object, where: str) -> None:
    if not isinstance(value, list):
        raise BadConfig(f'{where}: expected a list such as ["one", "two"], not {shown(value)!r}')
