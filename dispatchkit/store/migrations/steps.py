"""Runs the `up` or `down` of the `.sql` file that stands beside a revision."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from dispatchkit.kernel.failpoints import failpoint
from dispatchkit.kernel.sql import parse


def run_up(revision_file: str) -> None:
    """Apply one revision."""
    _run(revision_file, "up")


def run_down(revision_file: str) -> None:
    """Take one revision back; its rows move to dk_kept."""
    _run(revision_file, "down")


def _run(revision_file: str, direction: str) -> None:
    script = parse(Path(revision_file).with_suffix(".sql").read_text("utf-8"))[direction]
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(script)  # no parameters: psycopg sends the whole script in one message
    failpoint(f"migration {direction}")
