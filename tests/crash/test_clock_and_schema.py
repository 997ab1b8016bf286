"""A wrong local clock changes nothing; a wrong schema is refused before anything is written."""

from __future__ import annotations

import re
import shlex

import pytest
import typer

from dispatchkit.cli.main import app
from dispatchkit.flows.data.sample import write_sample
from dispatchkit.store import migrate
from tests import counts, databases
from tests.crash.recovery import SEED, differences, seed, sweep_command, table_contents
from tests.house.test_commands import examples, walk
from tests.house.tree import ROOT

WRITING = {
    ("sweep",),
    ("act",),
    ("data", "erase"),
    ("data", "purge"),
    ("audit", "seal"),
    ("audit", "prune"),
    ("outbox",),
}
VERSION = "UPDATE public.alembic_version SET version_num = %s"


def commands() -> list[str]:
    """Return the examples of all commands that write to a database that is in use."""
    found = [
        (path, command)
        for path, command in walk(typer.main.get_command(app))
        if {path[:1], path[:2]} & WRITING
    ]
    leaves = [command.help or "" for _, command in found if not hasattr(command, "commands")]
    return [line.replace(" --dry-run", "") for text in leaves for line in examples(text)]


@pytest.mark.parametrize("floor", ["kernel", "decide", "flows", "store", "senders"])
def test_no_module_reads_local_clock(floor):
    """Instants come from the database or from --now, spans from a monotonic clock."""
    for path in sorted((ROOT / "dispatchkit" / floor).rglob("*.py")):
        asked = re.findall(
            r"\b(?:datetime\.(?:now|utcnow|today)|date\.today|time\.(?:time|time_ns|localtime))\(",
            path.read_text(),
        )
        assert not asked, f"{path}: {asked}"


def test_strict_clock_uses_database_time(fork_server, sample_db):
    """No --now is taken: what was offered long ago has run out."""
    migrate.strict_clock(sample_db)
    assert fork_server.run(sample_db, *sweep_command("offers")).exit == 2
    assert fork_server.run(sample_db, "sweep", "offers").exit == 0
    with sample_db.connect() as connection:
        states = (
            connection.exec_driver_sql("SELECT DISTINCT state FROM dk.driver_offers")
            .scalars()
            .all()
        )
        answered = connection.exec_driver_sql(
            "SELECT max(responded_at) BETWEEN now() - interval '1 min' AND now() "
            "FROM dk.driver_offers"
        )
        assert answered.scalar_one()
    assert "PENDING" not in states and "EXPIRED" in states


@pytest.mark.parametrize(
    "revision",
    [
        pytest.param(age, marks=[] if n == seed() % 2 else pytest.mark.nightly)
        for n, age in enumerate(("older", "newer"))
    ],
)
def test_writing_commands_refuse_another_schema(fork_server, revision, tmp_path):
    with databases.fresh("sample") as engine:
        known = [step for step, _ in migrate.history()]
        with engine.begin() as connection:
            connection.exec_driver_sql(
                VERSION, (known[-2] if revision == "older" else "20991231235959",)
            )
        before = table_contents(engine)
        write_sample(
            databases.PLAN, tmp_path / "export"
        )  # the example of an import names files that are not there
        tried = [*commands(), f"dispatchkit data import {tmp_path / 'export'}"]
        assert len(tried) > 20
        for line in tried:
            line = re.sub(r"/(srv|mnt)/\w+", str(tmp_path), line)
            result = fork_server.run(engine, *shlex.split(line, comments=True)[1:])
            assert result.exit == 76, f"{line}: {result}"
        assert differences(table_contents(engine), before) == {}
        with engine.begin() as connection:
            connection.exec_driver_sql(VERSION, (known[-1],))
    counts.add("commands refused for their schema", len(tried))
    counts.note("another schema drawn with", f"{SEED}={seed()}: {revision}")  # by night both
