"""A dump restored into another server continues: nothing is done twice, and the trail verifies."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine

from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.flows.trail import audit
from dispatchkit.kernel.errors import BadData
from dispatchkit.store import embedded, migrate
from dispatchkit.store.audit import Trail
from dispatchkit.store.postgres import PostgresStore
from tests import databases
from tests.crash.recovery import broken_invariants, differences, table_contents
from tests.crash.servers import empty_server, own_server

GROW_OLD = (
    "DO $$ BEGIN FOR i IN 1..5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
)
TRANSACTION = "SELECT pg_current_xact_id()::text::bigint"


def tool(name: str) -> str:
    """Return a program of Postgres: the embedded server's own, which fits it, or the system's."""
    found = shutil.which(name, path=f"{embedded.programs()}{os.pathsep}{os.environ['PATH']}")
    if not found:
        pytest.skip(f"no {name} here")
    return found


def restore(folder: Path, old: Engine, new: Engine) -> list[int]:
    """Run the commands of docs/how-to/backups.md in one shell; return the exit code of each."""
    text = (
        (Path(__file__).parents[2] / "docs/how-to/backups.md")
        .read_text("utf-8")
        .split("## Backups")[1]
        .split("```")[1]
    )
    places = {
        "postgresql://you@host/database": databases.url(old),
        "postgresql://you@new/database": databases.url(new),
        "/mnt/elsewhere/erased.txt": str(folder / "erased.txt"),
    }
    for place, here in places.items():
        assert place in text
        text = text.replace(place, shlex.quote(here))
    lines = [line for line in text.splitlines() if line]
    path = os.pathsep.join(
        [str(Path(tool("pg_dump")).parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    script = "".join(f"{line}\necho $? >> ended\n" for line in lines)
    subprocess.run(
        ["sh", "-c", script],
        check=True,
        capture_output=True,
        cwd=folder,
        env={**os.environ, "PATH": path},
    )
    return [int(code) for code in (folder / "ended").read_text().split()]


def change(engine: Engine, drivers: int) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE dk.drivers SET timeouts = timeouts + 1 WHERE id <= %s", (drivers,)
        )


def swept(engine: Engine, *names: str) -> list[int]:
    store = PostgresStore(engine, now=databases.NOW)
    return [sweep(store, catalog.settings(), name, Options()).outcome.applied for name in names]


def scalar(engine: Engine, sql: str) -> int:
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(sql).scalar_one())


def test_restored_dump_continues_work_and_seals(tmp_path):
    file = tmp_path / "seals.txt"
    with own_server(tmp_path / "old") as old, empty_server(tmp_path / "new") as new:
        with old.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(GROW_OLD)
        swept(old, "reassignment", "offers")
        audit.seal(PostgresStore(old), file)
        change(old, 3)
        working = scalar(old, "SELECT min(driver_id) FROM dk.deliveries WHERE active")
        (tmp_path / "erased.txt").write_text(f"customer:987654\ndriver:{working}\n")
        refused = [3, 3]  # a driver at work is not erased, and sweeps of a backup have been silent
        assert restore(tmp_path, old, new) == [0] * 6 + refused
        assert scalar(new, TRANSACTION) < scalar(old, TRANSACTION) - 3000, (
            "else this is no other server"
        )
        assert differences(table_contents(new), table_contents(old)) == {}
        assert (migrate.status(new).current, migrate.status(new).drifted) == (True, False)

        assert swept(new, "offers") == [0], "finished work is known to be finished"
        assert sum(swept(new, "routes", "escalation")) > 0
        change(new, 4)
        assert broken_invariants(new) == []
        assert audit.verify(PostgresStore(new), file).findings == []
        sealed = [line.split()[:3] for line in audit.seal(PostgresStore(new), file)]
        events = scalar(new, "SELECT count(*) FROM dk_aud.delivery_audit_logs WHERE epoch = 2")
        assert sealed == [["1", "2", "3"], ["2", "1", str(events)]], (
            "what the old server left, then the new one's own"
        )
        assert Trail(new).unsealed()[0] == 0
        assert audit.verify(PostgresStore(new), file).findings == []

        change(old, 5)  # it was meant to be switched off
        with pytest.raises(BadData, match="not the database's"):
            audit.seal(PostgresStore(old), file)


@pytest.mark.parametrize("by", ["command", "job"])
def test_command_and_job_seal_every_open_epoch(sample_db, tmp_path, by):
    with sample_db.begin() as connection:
        connection.exec_driver_sql("UPDATE dk_aud.epoch SET cluster = 1")
    assert scalar(sample_db, "SELECT count(*) FROM dk_aud.unsealed WHERE NOT closed") == 0
    for drivers in (2, 3):
        change(sample_db, drivers)
        with sample_db.begin() as connection:
            connection.exec_driver_sql("UPDATE dk_aud.epoch SET cluster = 1")
    change(sample_db, 4)
    born = scalar(sample_db, "SELECT count(*) FROM dk_aud.delivery_audit_logs WHERE epoch = 1")
    store = PostgresStore(sample_db)
    if by == "command":
        audit.seal(store, tmp_path / "seals.txt")
    else:
        done = sweep(store, catalog.settings(), "audit", Options()).job_counts
        assert done == {"sealed": born + 2 + 3 + 4, "unsealed": 0}
    engine = [line.split()[:3] for line in Trail(sample_db).seal_lines()]
    assert engine == [["1", "1", str(born)], ["2", "1", "2"], ["3", "1", "3"], ["4", "1", "4"]]
    assert audit.unsealed(store) == 0
    assert audit.verify(store).findings == []
