"""pricing_rules (plan 4.2): a zone's price multiplier from an instant on."""

from dispatchkit.store.migrations.steps import run_down, run_up

revision = "20260201000900"
down_revision = "20260201000800"


def upgrade() -> None:
    run_up(__file__)


def downgrade() -> None:
    run_down(__file__)
