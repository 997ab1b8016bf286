"""What became of each outbox event at each sender; what a refused act met."""

from dispatchkit.store.migrations.steps import run_down, run_up

revision = "20260301000100"
down_revision = "20260301000000"


def upgrade() -> None:
    run_up(__file__)


def downgrade() -> None:
    run_down(__file__)
