-- name: up
-- unassigned_orders (ADR-027): one episode in which a delivery seeks a driver, and how far it has been escalated.
SET ROLE dk_owner;
CREATE TABLE dk.unassigned_orders (
  id bigint PRIMARY KEY CHECK (id > 0), delivery_id bigint NOT NULL REFERENCES dk.deliveries, episode bigint NOT NULL CHECK (episode >= 1),
  state text NOT NULL, opened_at timestamptz NOT NULL, closed_at timestamptz, level smallint NOT NULL DEFAULT 0 CHECK (level BETWEEN 0 AND 4),
  version bigint NOT NULL,
  CONSTRAINT episode_closed_iff_over CHECK ((state = 'OPEN') = (closed_at IS NULL)),
  CONSTRAINT episode_once UNIQUE (delivery_id, episode));
SELECT dk.restore('unassigned_orders');
CREATE UNIQUE INDEX episode_one_open ON dk.unassigned_orders (delivery_id) WHERE state = 'OPEN';
INSERT INTO dk.transitions VALUES ('unassigned_orders', '', 'OPEN');
INSERT INTO dk.transitions SELECT 'unassigned_orders', 'OPEN', unnest('{ASSIGNED,CANCELLED,UNFULFILLED,CUSTODY}'::text[]);
SELECT dk.watch('unassigned_orders', 'state', '{id,delivery_id,episode,opened_at}');
GRANT SELECT ON dk.unassigned_orders TO dk_app, dk_export, dk_verify;
GRANT INSERT, UPDATE ON dk.unassigned_orders TO dk_app;
GRANT SELECT, INSERT ON dk.unassigned_orders TO dk_import;
RESET ROLE;

-- name: down
-- Episodes go to dk_kept.
SET ROLE dk_owner;
SELECT dk.keep('unassigned_orders');
DROP TABLE dk.unassigned_orders;
DROP FUNCTION dk.guard_unassigned_orders;
DELETE FROM dk.transitions WHERE tbl = 'unassigned_orders';
RESET ROLE;
