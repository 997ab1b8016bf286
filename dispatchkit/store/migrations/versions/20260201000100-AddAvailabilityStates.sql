-- name: up
-- driver_availability_history (ADR-025): duty intervals, half-open; two of one driver never overlap.
SET ROLE dk_owner;
CREATE TABLE dk.driver_availability_history (
  id bigint PRIMARY KEY CHECK (id > 0), driver_id bigint NOT NULL REFERENCES dk.drivers, duty text NOT NULL,
  since timestamptz NOT NULL, until timestamptz, reason text, version bigint NOT NULL,
  CONSTRAINT duty_interval_not_empty CHECK (until IS NULL OR since < until),
  CONSTRAINT duty_intervals_apart EXCLUDE USING gist (int8range(driver_id, driver_id, '[]') WITH &&, tstzrange(since, until, '[)') WITH &&));
SELECT dk.restore('driver_availability_history');
SELECT dk.watch('driver_availability_history', 'duty', '{id,driver_id,duty,since}');
INSERT INTO dk.transitions SELECT 'driver_availability_history', '', unnest('{OFF_DUTY,ON_DUTY,ON_BREAK,BREAK_PENDING,ENDING_SHIFT,FORCED_OFF,SUSPENDED}'::text[]);
GRANT SELECT ON dk.driver_availability_history TO dk_app, dk_export, dk_verify;
GRANT INSERT, UPDATE ON dk.driver_availability_history TO dk_app;
GRANT SELECT, INSERT ON dk.driver_availability_history TO dk_import;
RESET ROLE;

-- name: down
-- Intervals go to dk_kept.
SET ROLE dk_owner;
SELECT dk.keep('driver_availability_history');
DROP TABLE dk.driver_availability_history;
DROP FUNCTION dk.guard_driver_availability_history;
DELETE FROM dk.transitions WHERE tbl = 'driver_availability_history';
RESET ROLE;
