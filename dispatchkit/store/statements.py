"""The SQL of the store: fixed statements by name, and one for each shape of change.

The statements of changes are built from the names in the contracts, never from input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import TextClause, text

from dispatchkit.domain.tables import ENTITIES, TABLES
from dispatchkit.kernel.sql import parse

Item = str | int | float | bytes | datetime | None
Shape = tuple[str, bool, tuple[str, ...]]  # (entity, is an insert, columns written)
_SQL_TYPES: Mapping[type[pl.DataType], str] = {
    pl.Int64: "bigint",
    pl.Int32: "bigint",
    pl.Float64: "float8",
    pl.Boolean: "boolean",
    pl.String: "text",
    pl.Datetime: "timestamptz",
    pl.Date: "date",
}


@cache
def query(name: str) -> TextClause:
    """Return a named statement of `queries.sql`."""
    return text(parse(Path(__file__).with_name("queries.sql").read_text("utf-8"))[name])


def array(values: Iterable[Item]) -> str:
    """Return values as the text of a Postgres array; three times as fast as the driver's arrays."""
    text_literal = _LITERALS[str]  # also for members of an enum, which are texts
    literals = [_LITERALS.get(type(value), text_literal)(value) for value in values]
    return "{" + ",".join(literals) + "}"


def repeated_texts(values: Iterable[str]) -> str:
    """Return the same as `array` for texts of which many are equal: each is quoted once."""
    texts = list(values)
    quoted = {value: _LITERALS[str](value) for value in dict.fromkeys(texts)}
    return "{" + ",".join([quoted[value] for value in texts]) + "}"


_LITERALS: Mapping[type, Callable[[Any], str]] = {
    type(None): lambda _: "NULL",
    int: str,
    float: repr,
    bool: str,
    datetime: datetime.isoformat,
    bytes: lambda value: f'"\\\\x{value.hex()}"',
    str: lambda value: '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"',
}


def sql_type(table: str, column: str) -> str:
    """Return the Postgres type of a contract's column."""
    return _SQL_TYPES[TABLES[table].columns()[column].dtype.base_type()]


def columns(table: str) -> list[str]:
    """Return a table's columns in the contract's order."""
    return list(TABLES[table].columns())


def _unnested(table: str, names: Sequence[str]) -> str:
    """Return a FROM item `s` with one row for each position of the arrays bound to `names`."""
    arrays = ", ".join(f"CAST(:{name} AS {sql_type(table, name)}[])" for name in names)
    return f"unnest({arrays}) AS s({', '.join(names)})"


@lru_cache(maxsize=256)
def apply(shape: Shape) -> TextClause:
    """Return the statement that writes many changes of one shape, each column given as one array.

    An update touches a row only at the version that the decision saw. The table's trigger raises
    the version.
    """
    entity, is_insert, written = shape
    table = ENTITIES[entity]
    if is_insert:
        names = ("id", *written)
        listed = ", ".join(names)
        source = _unnested(table, names)
        return text(f"INSERT INTO dk.{table} ({listed}, version) SELECT {listed}, 1 FROM {source}")  # noqa: S608
    source = _unnested(table, ("id", "version", *written))
    sets = ", ".join(f"{name} = s.{name}" for name in written)
    guard = "t.id = s.id AND t.version = s.version"
    return text(f"UPDATE dk.{table} t SET {sets} FROM {source} WHERE {guard}")  # noqa: S608


@lru_cache(maxsize=32)
def append(table: str, names: tuple[str, ...]) -> TextClause:
    """Return the statement that inserts facts with the id of their run, without ids that exist."""
    listed = ", ".join(names)
    source = _unnested(table, names)
    return text(
        f"INSERT INTO dk.{table} ({listed}, run_id) "  # noqa: S608
        f"SELECT {listed}, CAST(:run AS uuid) FROM {source} ON CONFLICT (id) DO NOTHING"
    )


@lru_cache(maxsize=32)
def lock(entity: str, *, wait: bool = False) -> str:
    """Return the statement that locks rows in ascending id and returns their versions.

    wait: wait for rows that others have locked; otherwise these are left out.
    """
    tail = "" if wait else " SKIP LOCKED"
    return f"{versions(entity)} ORDER BY id FOR NO KEY UPDATE{tail}"


@lru_cache(maxsize=32)
def versions(entity: str) -> str:
    """Return the statement that returns ids and versions of rows without a lock."""
    return f"SELECT id, version FROM dk.{ENTITIES[entity]} WHERE id = ANY(CAST(:ids AS bigint[]))"  # noqa: S608


def insert(table: str, staging: str, names: Sequence[str]) -> str:
    """Return the statement that moves staged rows into a table, without ids that exist."""
    listed = ", ".join(names)
    return (
        f"INSERT INTO dk.{table} ({listed}) SELECT {listed} FROM {staging} "  # noqa: S608
        "ORDER BY id ON CONFLICT (id) DO NOTHING"
    )
