-- name: up
-- reassignment_cases (ADR-026): one suspicion against an assignment and what became of it.
SET ROLE dk_owner;
CREATE TABLE dk.reassignment_cases (
  id bigint PRIMARY KEY CHECK (id > 0), delivery_id bigint NOT NULL REFERENCES dk.deliveries, driver_id bigint NOT NULL REFERENCES dk.drivers,
  episode bigint NOT NULL CHECK (episode >= 1), trigger text NOT NULL, state text NOT NULL, suspected_at timestamptz NOT NULL, grace_until timestamptz,
  confirmed_at timestamptz, released_at timestamptz, closed_at timestamptz, pickup_distance_m bigint CHECK (pickup_distance_m >= 0),
  new_driver_id bigint REFERENCES dk.drivers, actor text, version bigint NOT NULL);
SELECT dk.restore('reassignment_cases');
-- One suspicion at a time; a reassignment stays open beside it until its delivery ends.
CREATE UNIQUE INDEX case_one_suspicion ON dk.reassignment_cases (delivery_id) WHERE state IN ('SUSPECTED', 'GRACE', 'CONFIRMED');
CREATE UNIQUE INDEX case_one_release ON dk.reassignment_cases (delivery_id) WHERE state IN ('RELEASED', 'REOFFERING', 'REASSIGNED');
CREATE INDEX deliveries_ended ON dk.deliveries (ended_at);
CREATE INDEX cases_of_delivery ON dk.reassignment_cases (delivery_id);
INSERT INTO dk.transitions SELECT 'reassignment_cases', src, unnest(string_to_array(dst, ' ')) FROM (VALUES
  ('', 'SUSPECTED GRACE CONFIRMED'),
  ('SUSPECTED', 'GRACE CLEARED CONFIRMED ABORTED'),
  ('GRACE', 'CLEARED CONFIRMED ABORTED'),
  ('CONFIRMED', 'RELEASED ABORTED'),
  ('RELEASED', 'REOFFERING ABORTED'),
  ('REOFFERING', 'REASSIGNED EXHAUSTED ABORTED'),
  ('REASSIGNED', 'SUCCEEDED RELAPSED EXHAUSTED ABORTED')) v(src, dst);
SELECT dk.watch('reassignment_cases', 'state', '{id,delivery_id,driver_id,episode,trigger,suspected_at}');
GRANT SELECT ON dk.reassignment_cases TO dk_app, dk_export, dk_verify;
GRANT INSERT, UPDATE ON dk.reassignment_cases TO dk_app;
GRANT SELECT, INSERT ON dk.reassignment_cases TO dk_import;
RESET ROLE;

-- name: down
-- Cases go to dk_kept.
SET ROLE dk_owner;
SELECT dk.keep('reassignment_cases');
DROP TABLE dk.reassignment_cases;
DROP INDEX dk.deliveries_ended;
DROP FUNCTION dk.guard_reassignment_cases;
DELETE FROM dk.transitions WHERE tbl = 'reassignment_cases';
RESET ROLE;
