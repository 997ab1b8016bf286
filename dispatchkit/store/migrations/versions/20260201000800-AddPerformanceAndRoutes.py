"""driver_performance_metrics, route_optimization_data (plan 4.1). A route row is the driver's current plan; the audit keeps the earlier ones."""

from dispatchkit.store.migrations.steps import run_down, run_up

revision = "20260201000800"
down_revision = "20260201000700"


def upgrade() -> None:
    run_up(__file__)


def downgrade() -> None:
    run_down(__file__)
