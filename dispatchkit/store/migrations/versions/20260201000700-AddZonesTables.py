"""driver_zone_preferences, zone_health_metrics (ADR-030); delivery_zones stands among the core tables, which refer to it."""

from dispatchkit.store.migrations.steps import run_down, run_up

revision = "20260201000700"
down_revision = "20260201000600"


def upgrade() -> None:
    run_up(__file__)


def downgrade() -> None:
    run_down(__file__)
