"""What the plan takes for granted, and what every write needs."""

from dispatchkit.store.migrations.steps import run_down, run_up

revision = "20260101000000"
down_revision = None


def upgrade() -> None:
    run_up(__file__)


def downgrade() -> None:
    run_down(__file__)
