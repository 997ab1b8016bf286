"""What a frame of rows must look like, derived from the fields of a row class.

A row class is a frozen dataclass. Its annotations give the columns: the Python type is the column
type, `| None` allows nulls, and a `Column` in `Annotated` narrows the values. Every border uses the
same contracts: reads of the live database, exports, imports and loads.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, TypeVar, cast

import polars as pl

from dispatchkit.kernel.errors import BadData

_DTYPES: Mapping[type, pl.DataType] = {
    int: pl.Int64(),
    float: pl.Float64(),
    bool: pl.Boolean(),
    str: pl.String(),
    date: pl.Date(),
    datetime: pl.Datetime("us", "UTC"),
}
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What the values of one column must be. Bounds are inclusive unless they say otherwise."""

    dtype: pl.DataType = dataclasses.field(default_factory=pl.String)
    nullable: bool = False
    primary_key: bool = False
    min: Any = None
    max: Any = None
    below: Any = None  # an exclusive upper bound
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    words: tuple[str, ...] = ()  # a closed vocabulary
    allowed: tuple[int, ...] = ()  # the only numbers there are
    references: str | None = None  # the table whose id this is
    unit: str | None = None  # "cents", "lat", "lon", "geojson ring"
    position: bool = False  # says where somebody was: ages out, and is erased

    def checks(self, name: str) -> dict[str, pl.Expr]:
        """Return check name -> expression that is true (or null, for a null) where a value is fine."""
        column = pl.col(name)
        length = column.str.len_chars()
        wanted = {
            "min": self.min is not None and column >= self.min,
            "max": self.max is not None and column <= self.max,
            "below": self.below is not None and column < self.below,
            "min_length": self.min_length is not None and length >= self.min_length,
            "max_length": self.max_length is not None and length <= self.max_length,
            "pattern": self.pattern is not None and column.str.contains(self.pattern),
            "words": bool(self.words) and column.is_in(self.words),
            "allowed": bool(self.allowed) and column.is_in(self.allowed),
        }
        if not self.nullable:
            wanted["nullability"] = column.is_not_null()
        return {check: expr for check, expr in wanted.items() if isinstance(expr, pl.Expr)}

    def accepts(self, value: Any) -> bool:
        """Return whether one value is fine; for a single row this is far cheaper than a frame."""
        if value is None:
            return self.nullable
        kinds = _VALUES[type(self.dtype)]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            return False
        if isinstance(value, str):
            return (
                (self.min_length or 0) <= len(value)
                and (self.max_length is None or len(value) <= self.max_length)
                and (not self.words or value in self.words)
                and (self.pattern is None or re.search(self.pattern, value) is not None)
            )
        if isinstance(value, datetime) and value.tzinfo is None:
            return False
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            return False
        return (
            (self.min is None or self.min <= value)
            and (self.max is None or value <= self.max)
            and (self.below is None or value < self.below)
            and (not self.allowed or value in self.allowed)
        )


_VALUES: Mapping[type[pl.DataType], tuple[type, ...]] = {
    pl.Int64: (int,),
    pl.Float64: (int, float),
    pl.Boolean: (bool,),
    pl.String: (str,),
    pl.Date: (date,),
    pl.Datetime: (datetime,),
}


@dataclass(frozen=True)
class Failures:
    """The rows that a contract turned away, each check's outcome as a column named "column|check"."""

    rows: pl.DataFrame
    checks: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """Return "column|check" -> how many rows fail it, failed checks only."""
        failed = {check: int((~self.rows[check]).sum()) for check in self.checks}
        return {check: count for check, count in failed.items() if count}

    def failing(self, check: str) -> pl.DataFrame:
        """Return the rows that fail one check, without the check columns."""
        return self.rows.filter(~pl.col(check)).drop(self.checks)


@dataclass(frozen=True)
class Contract:
    """Columns by name, in order, and checks that look at several columns of a row."""

    name: str
    fields: Mapping[str, Column]
    rules: Mapping[str, pl.Expr]

    def columns(self) -> Mapping[str, Column]:
        """Return column name -> what its values must be."""
        return self.fields

    def column_names(self) -> list[str]:
        """Return the names of the columns, in order."""
        return list(self.fields)

    def dtypes(self) -> dict[str, pl.DataType]:
        """Return column name -> polars type, fit as the schema of a frame."""
        return {name: column.dtype for name, column in self.fields.items()}

    def references(self) -> dict[str, str]:
        """Return column -> referenced table."""
        return {n: c.references for n, c in self.fields.items() if c.references}

    def create_empty(self) -> pl.DataFrame:
        """Return a frame without rows."""
        return pl.DataFrame(schema=self.dtypes())

    def only(self, names: str, **required: bool) -> Contract:
        """Return the contract of some columns, named in one text; `id=False` lifts the unique key.

        A column given as True may not be null, whatever the row class says.
        """
        fields = {name: self.fields[name] for name in names.split()}
        for name, needed in required.items():
            column = fields[name]
            key = column.primary_key and needed
            fields[name] = replace(column, primary_key=key, nullable=column.nullable and not needed)
        rules = {n: e for n, e in self.rules.items() if set(e.meta.root_names()) <= set(fields)}
        return Contract(self.name, fields, rules)

    def with_columns(self, **columns: Column) -> Contract:
        """Return the contract with further columns, or with other ones of the same name."""
        return Contract(self.name, {**self.fields, **columns}, self.rules)

    def filter(self, frame: pl.DataFrame, *, cast: bool = False) -> tuple[pl.DataFrame, Failures]:
        """Return the rows that keep the contract, and those that do not.

        cast: convert columns of another type first; what cannot be converted fails "column|dtype".
        Raises BadData if a column is missing or, without `cast`, of another type.
        """
        missing = [name for name in self.fields if name not in frame.columns]
        if missing:
            raise BadData(f"{self.name}: column {', '.join(missing)} is missing")
        checks = self._checks()
        frame = frame.select(list(self.fields))
        wrong = {n: t for n, t in self.dtypes().items() if frame.schema[n] != t}
        if wrong and not cast:
            raise BadData(f"{self.name}: {', '.join(f'{n} is no {t}' for n, t in wrong.items())}")
        if wrong:
            converted = frame.with_columns(
                pl.col(n).cast(t, strict=False) for n, t in wrong.items()
            )
            for name in wrong:
                lost = frame[name].is_not_null() & converted[name].is_null()
                if lost.any():
                    checks[f"{name}|dtype"] = pl.lit(~lost)
            frame = converted
        checked = frame.with_columns(
            expr.fill_null(value=True).alias(check) for check, expr in checks.items()
        )
        names = tuple(checks)
        fine = checked.select(pl.all_horizontal(names)).to_series()
        if fine.all():
            return frame, Failures(checked.clear(), names)
        return frame.filter(fine), Failures(checked.filter(~fine), names)

    def validate(self, frame: pl.DataFrame, *, cast: bool = False) -> pl.DataFrame:
        """Return the frame, or raise BadData with the count of rows that fail each check."""
        good, failures = self.filter(frame, cast=cast)
        if counts := failures.counts():
            listed = ", ".join(f"{check}: {count}" for check, count in sorted(counts.items()))
            raise BadData(f"{self.name}: {listed}")
        return good

    def _checks(self) -> dict[str, pl.Expr]:
        checks = {
            f"{name}|{check}": expr
            for name, column in self.fields.items()
            for check, expr in column.checks(name).items()
        }
        keys = [name for name, column in self.fields.items() if column.primary_key]
        if keys:
            checks["primary_key"] = ~pl.struct(keys).is_duplicated()
        return checks | dict(self.rules)


@cache
def contract_of(row: type) -> Contract:
    """Return the contract that the fields of a row class say.

    A class variable `rules` (name -> expression over columns) adds checks across columns.
    """
    hints = typing.get_type_hints(row, include_extras=True)
    fields = {field.name: _column(hints[field.name]) for field in dataclasses.fields(row)}
    rules: dict[str, pl.Expr] = {}
    for base in reversed(row.__mro__):
        rules |= vars(base).get("rules", {})
    return Contract(row.__name__, fields, rules)


def rows(frame: pl.DataFrame, row: type[R]) -> list[R]:
    """Return the rows of a frame as instances of a row class; further columns are left out.

    Columns whose type is an enum become its members.
    """
    converters = _converters(cast("Any", row))
    names = [name for name, _ in converters]
    values = []
    for name, members in converters:
        column = frame.get_column(name).to_list()
        values.append(column if members is None else [v and members[v] for v in column])
    return [row(**dict(zip(names, line, strict=True))) for line in zip(*values, strict=True)]


@cache
def _converters(row: type) -> list[tuple[str, Mapping[str, StrEnum] | None]]:
    hints = typing.get_type_hints(row)
    return [
        (field.name, {m.value: m for m in enum} if (enum := _enum(hints[field.name])) else None)
        for field in dataclasses.fields(row)
    ]


def _enum(annotation: Any) -> type[StrEnum] | None:
    for part in typing.get_args(annotation) or (annotation,):
        if isinstance(part, type) and issubclass(part, StrEnum):
            return part
    return None


def _column(annotation: Any) -> Column:
    """Return the column of an annotation such as `Annotated[int | None, Column(min=1)]`."""
    notes: list[Column] = []
    nullable = False
    while True:
        origin = typing.get_origin(annotation)
        parts = typing.get_args(annotation)
        if origin is Annotated:
            annotation = parts[0]
            notes += [note for note in parts[1:] if isinstance(note, Column)]
        elif origin in (types.UnionType, typing.Union):
            nullable = nullable or type(None) in parts
            [annotation] = [part for part in parts if part is not type(None)]
        else:
            break
    column = notes[0] if notes else Column()
    if issubclass(annotation, StrEnum):
        column = replace(column, words=tuple(sorted(member.value for member in annotation)))
        annotation = str
    return replace(column, dtype=_DTYPES[annotation], nullable=nullable)
