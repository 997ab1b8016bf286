"""What every write pays for the trail and the decisions, made less: one pass over the chains, no index twice."""

from dispatchkit.store.migrations.steps import run_down, run_up

revision = "20260301000300"
down_revision = "20260301000200"


def upgrade() -> None:
    run_up(__file__)


def downgrade() -> None:
    run_down(__file__)
