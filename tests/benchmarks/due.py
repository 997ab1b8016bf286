"""A database of pending offers past their deadline, each with its own delivery and driver."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine, text

from dispatchkit.kernel.sql import parse
from tests import databases

FILL = parse(Path(__file__).with_suffix(".sql").read_text("utf-8"))


def fill(engine: Engine, count: int) -> None:
    """Fill an empty database with `count` offers that ran out just before NOW."""
    born, due = databases.NOW - timedelta(minutes=5), databases.NOW - timedelta(minutes=1)
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql(
            "SET LOCAL ROLE dk_import"
        )  # it may load what is under way; the trail sees it born
        for statement in FILL.values():
            wanted = {"born": born, "due": due, "count": count}
            connection.execute(
                text(statement), {name: v for name, v in wanted.items() if f":{name}" in statement}
            )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql("VACUUM ANALYZE")
