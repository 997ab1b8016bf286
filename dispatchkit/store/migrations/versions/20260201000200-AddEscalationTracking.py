"""unassigned_orders (ADR-027): one episode in which a delivery seeks a driver, and how far it has been escalated."""

from dispatchkit.store.migrations.steps import run_down, run_up

revision = "20260201000200"
down_revision = "20260201000100"


def upgrade() -> None:
    run_up(__file__)


def downgrade() -> None:
    run_down(__file__)
