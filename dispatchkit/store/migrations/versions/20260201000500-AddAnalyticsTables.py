"""delivery_costs, delivery_revenue (ADR-031): ledgers; amounts are never negative, a correction is an opposite line."""

from dispatchkit.store.migrations.steps import run_down, run_up

revision = "20260201000500"
down_revision = "20260201000400"


def upgrade() -> None:
    run_up(__file__)


def downgrade() -> None:
    run_down(__file__)
