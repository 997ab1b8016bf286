"""A dump restored into another server goes on with its seals: that server counts its transactions from the start."""

from dispatchkit.store.migrations.steps import run_down, run_up

revision = "20260301000400"
down_revision = "20260301000300"


def upgrade() -> None:
    run_up(__file__)


def downgrade() -> None:
    run_down(__file__)
