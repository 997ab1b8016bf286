"""Personal data, as role dk_privacy: erased for one person, or purged after its retention."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, Engine, Row, TextClause, text

from dispatchkit.kernel.errors import Refused
from dispatchkit.kernel.failpoints import failpoint
from dispatchkit.kernel.sql import parse
from dispatchkit.store.connect import open_connection

BATCH = 10_000  # rows that one transaction of a purge removes
Person = tuple[str, int]  # ("customer" | "driver", id)
# kind -> (table, column that ties a delivery to the person, what holds data beside dk_pii.subject)
WHERE = {
    "customer": ("customers", "o.customer_id", "dropoffs"),
    "driver": ("drivers", "d.driver_id", "pings"),
}
# Columns with the position of a person, which `erase_dropoffs` and `erase_pings` remove.
ERASED = frozenset(
    {
        ("orders", "dropoff_lat"),
        ("orders", "dropoff_lon"),
        ("driver_locations", "lat"),
        ("driver_locations", "lon"),
    }
)


@cache
def _named() -> Mapping[str, str]:
    return parse(Path(__file__).with_name("privacy.sql").read_text("utf-8"))


@cache
def query(name: str) -> TextClause:
    """Return a named statement of `privacy.sql`."""
    return text(_named()[name])


@dataclass(frozen=True)
class PersonalData:
    """The personal data in one database."""

    _engine: Engine

    def erase(self, person: Person, *, dry_run: bool = False) -> dict[str, int]:
        """Remove the names and positions of a person; return how many rows of each kind held them.

        It is one transaction. Raises Refused for an unknown person, a driver on duty, and a person with
        a delivery that is not finished.
        """
        kind, id_ = person
        with open_connection(self._engine, role="dk_privacy") as connection, connection.begin():
            connection.execute(query("lock_erasure"), {"kind": kind, "id": str(id_)})
            _check_erasable(connection, person)
            removed = {}
            for what in ("subject", WHERE[kind][2]):
                values = {"kind": kind, "id": id_} if what == "subject" else {"id": id_}
                removed[what] = int(connection.execute(query(f"count_{what}"), values).scalar_one())
                if removed[what] and not dry_run:
                    connection.execute(query(f"erase_{what}"), values)
                    failpoint(f"{what} erased")
            if not dry_run:
                connection.execute(
                    query("journal"), {"kind": kind, "id": id_, "removed": sum(removed.values())}
                )
        failpoint("erasure committed")
        return removed

    def erased(self) -> list[Person]:
        """Return everybody whose data was erased, from the journal."""
        with open_connection(self._engine, role="dk_privacy") as connection:
            return [(row[0], int(row[1])) for row in connection.execute(query("erased"))]

    def known(self, people: Iterable[Person]) -> list[Person]:
        """Return those of some people who are in the database at all."""
        with open_connection(self._engine, role="dk_privacy") as connection:
            return [person for person in people if _person_status(connection, person).known]

    def database_id(self) -> str:
        """Return the identity that exports of this database carry."""
        with open_connection(self._engine, role="dk_privacy") as connection:
            return str(connection.execute(query("database_id")).scalar_one())

    def purge(self, what: str, before: datetime, *, dry_run: bool = False) -> int:
        """Purge `pings` or `payloads` older than an instant; return how many (dry: would be)."""
        with open_connection(self._engine, role="dk_privacy") as connection:
            if dry_run:
                return int(
                    connection.execute(query(f"count_old_{what}"), {"before": before}).scalar_one()
                )
            total = 0
            while True:
                with connection.begin():
                    purged = connection.execute(
                        query(f"purge_{what}"), {"before": before, "most": BATCH}
                    ).rowcount
                failpoint(f"{what} purged")
                total += purged
                if purged < BATCH:
                    return total


def _check_erasable(connection: Connection, person: Person) -> None:
    kind, id_ = person
    row = _person_status(connection, person)
    if not row.known:
        raise Refused(f"there is no {kind} {id_}")
    if row.busy:
        raise Refused(f"a delivery of {kind} {id_} is under way; erase when it has ended")
    if kind == "driver" and connection.execute(query("on_duty"), {"id": id_}).scalar_one():
        raise Refused(f"driver {id_} is at work; end the shift first")


def _person_status(connection: Connection, person: Person) -> Row[tuple[bool, bool]]:
    """Return whether a person is known, and whether a delivery of theirs is not finished."""
    kind, id_ = person
    table, owner, _ = WHERE[kind]
    statement = _named()["known"].replace("{table}", table).replace("{owner}", owner)
    return connection.execute(text(statement), {"id": id_}).one()
