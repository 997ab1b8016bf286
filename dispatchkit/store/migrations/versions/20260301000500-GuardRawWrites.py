"""Who goes past the program meets two more walls: who may be given a delivery, and when an offer may be answered."""

from dispatchkit.store.migrations.steps import run_down, run_up

revision = "20260301000500"
down_revision = "20260301000400"


def upgrade() -> None:
    run_up(__file__)


def downgrade() -> None:
    run_down(__file__)
