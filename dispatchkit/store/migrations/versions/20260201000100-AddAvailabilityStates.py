"""driver_availability_history (ADR-025): duty intervals, half-open; two of one driver never overlap."""

from dispatchkit.store.migrations.steps import run_down, run_up

revision = "20260201000100"
down_revision = "20260201000000"


def upgrade() -> None:
    run_up(__file__)


def downgrade() -> None:
    run_down(__file__)
