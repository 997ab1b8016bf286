"""driver_offers (ADR-024): one delivery proposed to one driver; rivals are different rows, so the winner is a unique index."""

from dispatchkit.store.migrations.steps import run_down, run_up

revision = "20260201000000"
down_revision = "20260101000000"


def upgrade() -> None:
    run_up(__file__)


def downgrade() -> None:
    run_down(__file__)
