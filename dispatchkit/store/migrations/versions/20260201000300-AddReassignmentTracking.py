"""reassignment_cases (ADR-026): one suspicion against an assignment and what became of it."""

from dispatchkit.store.migrations.steps import run_down, run_up

revision = "20260201000300"
down_revision = "20260201000200"


def upgrade() -> None:
    run_up(__file__)


def downgrade() -> None:
    run_down(__file__)
