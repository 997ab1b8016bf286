"""delivery_audit_logs (ADR-028): one event per row version, hash-chained."""

from dispatchkit.store.migrations.steps import run_down, run_up

revision = "20260201000400"
down_revision = "20260201000300"


def upgrade() -> None:
    run_up(__file__)


def downgrade() -> None:
    run_down(__file__)
