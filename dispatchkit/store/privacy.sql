-- name: known
-- Whether the person is known, and whether a delivery of theirs is not finished.
SELECT EXISTS (SELECT FROM dk.{table} WHERE id = :id) AS known, EXISTS (
  SELECT FROM dk.deliveries d JOIN dk.orders o ON o.id = d.order_id WHERE {owner} = :id
    AND d.state NOT IN ('DELIVERED', 'RETURNED', 'FAILED', 'CANCELLED', 'UNFULFILLED')) AS busy

-- name: on_duty
-- Whether a driver is at work, with or without a delivery.
SELECT EXISTS (SELECT FROM dk.drivers WHERE id = :id AND duty NOT IN ('OFF_DUTY', 'SUSPENDED'))

-- name: lock_erasure
-- One erasure of a person at a time.
SELECT pg_advisory_xact_lock(1684733953, hashtext('erase ' || :kind || ' ' || :id))

-- name: count_subject
-- What names the person.
SELECT count(*) FROM dk_pii.subject WHERE kind = :kind AND id = :id

-- name: erase_subject
-- Delete what names the person. With the salt gone, digests of it cannot be matched to anybody.
DELETE FROM dk_pii.subject WHERE kind = :kind AND id = :id

-- name: count_dropoffs
-- Where the customer's orders went.
SELECT count(*) FROM dk.orders WHERE customer_id = :id AND (dropoff_lat IS NOT NULL OR dropoff_lon IS NOT NULL)

-- name: erase_dropoffs
-- Remove the destinations; the orders keep their times and money.
UPDATE dk.orders SET dropoff_lat = NULL, dropoff_lon = NULL WHERE customer_id = :id AND (dropoff_lat IS NOT NULL OR dropoff_lon IS NOT NULL)

-- name: count_pings
-- Where the driver was.
SELECT count(*) FROM dk.driver_locations WHERE driver_id = :id

-- name: erase_pings
-- Delete every ping of the driver.
DELETE FROM dk.driver_locations WHERE driver_id = :id

-- name: journal
-- Record the erasure by id, so that it can be repeated after a restore of an older backup.
INSERT INTO dk_aud.erasures (kind, subject, removed) SELECT :kind, :id, :removed
WHERE :removed > 0 OR NOT EXISTS (SELECT FROM dk_aud.erasures WHERE kind = :kind AND subject = :id)

-- name: erased
-- Everybody whose data was erased.
SELECT DISTINCT kind, subject FROM dk_aud.erasures ORDER BY kind, subject

-- name: count_old_pings
-- Pings past their retention.
SELECT count(*) FROM dk.driver_locations WHERE at < :before

-- name: purge_pings
-- Some of the oldest pings past their retention.
DELETE FROM dk.driver_locations WHERE id IN (SELECT id FROM dk.driver_locations WHERE at < :before ORDER BY at, id LIMIT :most)

-- name: count_old_payloads
-- Sent events past their retention that still have a payload.
SELECT count(*) FROM dk.outbox WHERE sent_at < :before AND payload - 'level' <> '{}'

-- name: purge_payloads
-- Empty the payload of some sent events. The event, its decision and the level of an escalation stay.
UPDATE dk.outbox SET payload = jsonb_strip_nulls(jsonb_build_object('level', payload->'level'))
WHERE id IN (SELECT id FROM dk.outbox WHERE sent_at < :before AND payload - 'level' <> '{}' ORDER BY id LIMIT :most)

-- name: database_id
-- The identity that exports of this database carry.
SELECT database_id FROM dk.meta
