-- name: orphans
-- Rows whose parent is not there. {table}, {parent}, {column}: names of our own contracts.
SELECT c.id FROM {table} AS c LEFT JOIN {parent} AS p ON p.id = c.{column}
WHERE c.{column} IS NOT NULL AND p.id IS NULL

-- name: overlaps
-- Duties that begin before an earlier one of the same driver ends; one without end lasts for ever.
SELECT id FROM (
    SELECT id, since, max(coalesce(until, TIMESTAMPTZ '2100-01-01 00:00:00+00')) OVER (
        PARTITION BY driver_id ORDER BY since, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS busy_until
    FROM driver_availability_history)
WHERE since < busy_until

-- name: gaps
-- Duties that begin later than the one before of the same driver ended: who, and how many hours are not told.
SELECT driver_id, count(*) AS gaps, sum(epoch_us(since) - epoch_us(ended)) / 3.6e9 AS hours FROM (
    SELECT driver_id, since, lag(until) OVER (PARTITION BY driver_id ORDER BY since, id) AS ended
    FROM driver_availability_history)
WHERE since > ended GROUP BY driver_id ORDER BY driver_id

-- name: two_accepted
-- The first episode with more than one accepted offer, which no source may hold.
SELECT delivery_id, episode FROM driver_offers WHERE state = 'ACCEPTED'
GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL LIMIT 1

-- name: remove
-- Take the rows that were just found, registered as `lost`, out of {table}.
DELETE FROM {table} WHERE id IN (SELECT id FROM lost)
