"""Named queries: `-- name: X`, a line that says what it is for, then the SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from dispatchkit.kernel.clock import rfc3339

_HEAD = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_PARAM = re.compile(r"(?<![:\w]):([a-z_]+)\b")


def parse(text: str) -> dict[str, str]:
    """Return name -> SQL of a `.sql` file, in its order. Raises ValueError on a repeated name or an empty file."""
    parts = _HEAD.split(text)[1:]
    names, bodies = parts[::2], parts[1::2]
    if not names or len(set(names)) != len(names):
        raise ValueError("a .sql file names each query once")
    return {name: body.strip().rstrip(";") for name, body in zip(names, bodies, strict=True)}


def bind(query: str, args: Mapping[str, int | datetime]) -> str:
    """Return a query with its `:name` parameters written in as literals.

    Only whole numbers and instants may be bound: no text of a user ever becomes SQL. Written as literals, the same
    query runs on Postgres and on the in-memory store.
    """

    def literal(match: re.Match[str]) -> str:
        value = args[match[1]]
        if isinstance(value, datetime):
            return f"CAST('{rfc3339(value)}' AS timestamptz)"
        if type(value) is not int:
            raise TypeError(f"{match[1]} must be a whole number or an instant")
        return str(value)

    return _PARAM.sub(literal, query)
