-- name: up
-- driver_performance_metrics, route_optimization_data (plan 4.1). A route row is the driver's current plan; the audit keeps the earlier ones.
SET ROLE dk_owner;
CREATE TABLE dk.driver_performance_metrics (
  id bigint PRIMARY KEY CHECK (id > 0), driver_id bigint NOT NULL REFERENCES dk.drivers, day date NOT NULL, offers bigint NOT NULL, accepted bigint NOT NULL,
  delivered bigint NOT NULL, score float8 CHECK (score BETWEEN 0 AND 100), tag text, UNIQUE (driver_id, day));
SELECT dk.restore('driver_performance_metrics');
CREATE TABLE dk.route_optimization_data (
  id bigint PRIMARY KEY CHECK (id = driver_id), driver_id bigint NOT NULL REFERENCES dk.drivers, state text NOT NULL, planned_at timestamptz NOT NULL,
  stops text NOT NULL, distance_m bigint NOT NULL CHECK (distance_m >= 0), duration_s bigint NOT NULL CHECK (duration_s >= 0), engine text NOT NULL,
  inputs_sha256 text NOT NULL, version bigint NOT NULL);
SELECT dk.restore('route_optimization_data');
INSERT INTO dk.transitions VALUES ('route_optimization_data', '', 'PLANNED'), ('route_optimization_data', '', 'EMPTY'),
  ('route_optimization_data', 'PLANNED', 'EMPTY'), ('route_optimization_data', 'EMPTY', 'PLANNED');
SELECT dk.watch('route_optimization_data', 'state', '{id,driver_id}');
GRANT SELECT ON dk.driver_performance_metrics, dk.route_optimization_data TO dk_app, dk_export, dk_verify;
GRANT INSERT ON dk.driver_performance_metrics TO dk_app;
GRANT INSERT, UPDATE ON dk.route_optimization_data TO dk_app;
GRANT SELECT, INSERT ON dk.driver_performance_metrics, dk.route_optimization_data TO dk_import;
SET ROLE dk_audit;
SELECT dk_aud.make_capture('route_optimization_data', 'driver_id', -1);
SET ROLE dk_owner;
SELECT dk.audit('route_optimization_data');
SET ROLE dk_audit;
SELECT dk_aud.baseline('route_optimization_data', 'driver_id', -1);
RESET ROLE;

-- name: down
-- Scores and plans go to dk_kept.
SET ROLE dk_owner;
SELECT dk.keep('driver_performance_metrics'), dk.keep('route_optimization_data');
DROP TABLE dk.driver_performance_metrics, dk.route_optimization_data;
DROP FUNCTION dk.guard_route_optimization_data;
DELETE FROM dk.transitions WHERE tbl = 'route_optimization_data';
SET ROLE dk_audit;
DROP FUNCTION dk_aud.capture_route_optimization_data;
RESET ROLE;
