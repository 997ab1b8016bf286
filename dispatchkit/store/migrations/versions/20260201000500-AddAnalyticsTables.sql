-- name: up
-- delivery_costs, delivery_revenue (ADR-031): ledgers; amounts are never negative, a correction is an opposite line.
SET ROLE dk_owner;
CREATE TABLE dk.delivery_costs (
  id bigint PRIMARY KEY CHECK (id > 0), delivery_id bigint REFERENCES dk.deliveries, driver_id bigint REFERENCES dk.drivers, zone_id bigint,
  at timestamptz NOT NULL, kind text NOT NULL, direction smallint NOT NULL CHECK (direction IN (1, -1)), amount_cents bigint NOT NULL CHECK (amount_cents >= 0),
  rule text NOT NULL, corrects bigint REFERENCES dk.delivery_costs);
SELECT dk.restore('delivery_costs');
CREATE INDEX costs_of_delivery ON dk.delivery_costs (delivery_id);
CREATE TABLE dk.delivery_revenue (
  id bigint PRIMARY KEY CHECK (id > 0), delivery_id bigint NOT NULL REFERENCES dk.deliveries, at timestamptz NOT NULL,
  side text NOT NULL CHECK (side IN ('revenue', 'contra', 'pass_through')), kind text NOT NULL, direction smallint NOT NULL CHECK (direction IN (1, -1)),
  amount_cents bigint NOT NULL CHECK (amount_cents >= 0), rule text NOT NULL, corrects bigint REFERENCES dk.delivery_revenue);
SELECT dk.restore('delivery_revenue');
CREATE INDEX revenue_of_delivery ON dk.delivery_revenue (delivery_id);
GRANT SELECT ON dk.delivery_costs, dk.delivery_revenue TO dk_app, dk_export, dk_verify;
GRANT INSERT ON dk.delivery_costs, dk.delivery_revenue TO dk_app;
GRANT SELECT, INSERT ON dk.delivery_costs, dk.delivery_revenue TO dk_import;
RESET ROLE;

-- name: down
-- Ledgers go to dk_kept.
SET ROLE dk_owner;
SELECT dk.keep('delivery_costs'), dk.keep('delivery_revenue');
DROP TABLE dk.delivery_costs, dk.delivery_revenue;
RESET ROLE;
