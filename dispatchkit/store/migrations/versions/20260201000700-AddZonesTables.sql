-- name: up
-- delivery_zones, driver_zone_preferences, zone_health_metrics (ADR-030).
SET ROLE dk_owner;
CREATE TABLE dk.delivery_zones (id bigint PRIMARY KEY CHECK (id > 0), name text NOT NULL, ring text NOT NULL);
SELECT dk.restore('delivery_zones');
ALTER TABLE dk.merchants ADD CONSTRAINT merchant_zone FOREIGN KEY (zone_id) REFERENCES dk.delivery_zones NOT VALID;
ALTER TABLE dk.drivers ADD CONSTRAINT driver_zone FOREIGN KEY (zone_id) REFERENCES dk.delivery_zones NOT VALID;
ALTER TABLE dk.orders ADD CONSTRAINT order_zone FOREIGN KEY (zone_id) REFERENCES dk.delivery_zones NOT VALID;
ALTER TABLE dk.delivery_costs ADD CONSTRAINT cost_zone FOREIGN KEY (zone_id) REFERENCES dk.delivery_zones NOT VALID;
ALTER TABLE dk.merchants VALIDATE CONSTRAINT merchant_zone;
ALTER TABLE dk.drivers VALIDATE CONSTRAINT driver_zone;
ALTER TABLE dk.orders VALIDATE CONSTRAINT order_zone;
ALTER TABLE dk.delivery_costs VALIDATE CONSTRAINT cost_zone;
CREATE TABLE dk.driver_zone_preferences (
  id bigint PRIMARY KEY CHECK (id > 0), driver_id bigint NOT NULL REFERENCES dk.drivers, zone_id bigint NOT NULL REFERENCES dk.delivery_zones,
  weight_percent bigint NOT NULL CHECK (weight_percent BETWEEN 0 AND 100), UNIQUE (driver_id, zone_id));
SELECT dk.restore('driver_zone_preferences');
CREATE TABLE dk.zone_health_metrics (
  id bigint PRIMARY KEY CHECK (id > 0), zone_id bigint NOT NULL REFERENCES dk.delivery_zones, bucket_at timestamptz NOT NULL, orders bigint NOT NULL,
  never_served bigint NOT NULL, required_s bigint NOT NULL, available_s bigint NOT NULL, score float8 CHECK (score BETWEEN 0 AND 100),
  band text NOT NULL CHECK (band IN ('UNKNOWN', 'HEALTHY', 'STRAINED', 'CRITICAL')), UNIQUE (zone_id, bucket_at));
SELECT dk.restore('zone_health_metrics');
GRANT SELECT ON dk.delivery_zones, dk.driver_zone_preferences, dk.zone_health_metrics TO dk_app, dk_export, dk_verify;
GRANT INSERT ON dk.driver_zone_preferences, dk.zone_health_metrics TO dk_app;
GRANT SELECT, INSERT ON dk.delivery_zones, dk.driver_zone_preferences, dk.zone_health_metrics TO dk_import;
RESET ROLE;

-- name: down
-- Zones, preferences and health go to dk_kept; the zone ids of orders stay where they are.
SET ROLE dk_owner;
ALTER TABLE dk.merchants DROP CONSTRAINT merchant_zone;
ALTER TABLE dk.drivers DROP CONSTRAINT driver_zone;
ALTER TABLE dk.orders DROP CONSTRAINT order_zone;
ALTER TABLE dk.delivery_costs DROP CONSTRAINT cost_zone;
SELECT dk.keep('driver_zone_preferences'), dk.keep('zone_health_metrics'), dk.keep('delivery_zones');
DROP TABLE dk.driver_zone_preferences, dk.zone_health_metrics, dk.delivery_zones;
RESET ROLE;
