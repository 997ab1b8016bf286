"""Boost, planned shift ends, the ladder's notes, support tickets, run parameters (ADR-024 to ADR-027)."""

from dispatchkit.store.migrations.steps import run_down, run_up

revision = "20260301000000"
down_revision = "20260201000900"


def upgrade() -> None:
    run_up(__file__)


def downgrade() -> None:
    run_down(__file__)
