-- name: up
-- Rows that a policy only appends name the run that wrote them; null: imported.
SET ROLE dk_owner;
ALTER TABLE dk.eta_quotes ADD COLUMN run_id uuid REFERENCES dk.sweep_runs;
SELECT dk.restore_columns('eta_quotes', '{run_id}');
ALTER TABLE dk.zone_health_metrics ADD COLUMN run_id uuid REFERENCES dk.sweep_runs;
SELECT dk.restore_columns('zone_health_metrics', '{run_id}');
ALTER TABLE dk.driver_performance_metrics ADD COLUMN run_id uuid REFERENCES dk.sweep_runs;
SELECT dk.restore_columns('driver_performance_metrics', '{run_id}');
ALTER TABLE dk.pricing_rules ADD COLUMN run_id uuid REFERENCES dk.sweep_runs;
SELECT dk.restore_columns('pricing_rules', '{run_id}');
RESET ROLE;

-- name: down
-- The run ids go to dk_kept.
SET ROLE dk_owner;
SELECT dk.keep_columns('eta_quotes', '{run_id}');
ALTER TABLE dk.eta_quotes DROP COLUMN run_id;
SELECT dk.keep_columns('zone_health_metrics', '{run_id}');
ALTER TABLE dk.zone_health_metrics DROP COLUMN run_id;
SELECT dk.keep_columns('driver_performance_metrics', '{run_id}');
ALTER TABLE dk.driver_performance_metrics DROP COLUMN run_id;
SELECT dk.keep_columns('pricing_rules', '{run_id}');
ALTER TABLE dk.pricing_rules DROP COLUMN run_id;
RESET ROLE;
