"""eta_quotes (ADR-029): every predicted delivery time that was shown, with its interval and the event it was given at."""

from dispatchkit.store.migrations.steps import run_down, run_up

revision = "20260201000600"
down_revision = "20260201000500"


def upgrade() -> None:
    run_up(__file__)


def downgrade() -> None:
    run_down(__file__)
