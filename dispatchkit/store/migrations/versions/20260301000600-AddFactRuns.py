"""Each row that a policy only appends (quotes, zone health, scores, prices) names the run that wrote it."""

from dispatchkit.store.migrations.steps import run_down, run_up

revision = "20260301000600"
down_revision = "20260301000500"


def upgrade() -> None:
    run_up(__file__)


def downgrade() -> None:
    run_down(__file__)
