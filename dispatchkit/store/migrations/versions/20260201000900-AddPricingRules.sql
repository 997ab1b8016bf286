-- name: up
-- pricing_rules (plan 4.2): a zone's price multiplier from an instant on.
SET ROLE dk_owner;
CREATE TABLE dk.pricing_rules (
  id bigint PRIMARY KEY CHECK (id > 0), zone_id bigint NOT NULL REFERENCES dk.delivery_zones, since timestamptz NOT NULL,
  multiplier_percent bigint NOT NULL CHECK (multiplier_percent BETWEEN 50 AND 300), reason text, UNIQUE (zone_id, since));
SELECT dk.restore('pricing_rules');
GRANT SELECT ON dk.pricing_rules TO dk_app, dk_export, dk_verify;
GRANT INSERT ON dk.pricing_rules TO dk_app;
GRANT SELECT, INSERT ON dk.pricing_rules TO dk_import;
RESET ROLE;

-- name: down
-- Rules go to dk_kept.
SET ROLE dk_owner;
SELECT dk.keep('pricing_rules');
DROP TABLE dk.pricing_rules;
RESET ROLE;
