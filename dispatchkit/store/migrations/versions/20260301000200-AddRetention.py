"""Retention of the audit trail, and personal data that can be erased (ADR-028)."""

from dispatchkit.store.migrations.steps import run_down, run_up

revision = "20260301000200"
down_revision = "20260301000100"


def upgrade() -> None:
    run_up(__file__)


def downgrade() -> None:
    run_down(__file__)
