-- name: orphans
-- Rows whose parent is missing. {table}, {parent}, {column}: names of our own contracts.
SELECT child.id FROM {table} AS child LEFT JOIN {parent} AS parent ON parent.id = child.{column}
WHERE child.{column} IS NOT NULL AND parent.id IS NULL

-- name: overlaps
-- Duties that begin before an earlier one of the same driver ends; one without end lasts for ever.
SELECT id FROM (
    SELECT id, since, max(coalesce(until, TIMESTAMPTZ '2100-01-01 00:00:00+00')) OVER (
        PARTITION BY driver_id ORDER BY since, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS latest_end_before
    FROM driver_availability_history)
WHERE since < latest_end_before

-- name: gaps
-- Per driver, how many duties begin later than the one before ended, and how many hours lie between.
SELECT driver_id, count(*) AS gaps, sum(epoch_us(since) - epoch_us(end_before)) / 3.6e9 AS hours FROM (
    SELECT driver_id, since, lag(until) OVER (PARTITION BY driver_id ORDER BY since, id) AS end_before
    FROM driver_availability_history)
WHERE since > end_before GROUP BY driver_id ORDER BY driver_id

-- name: two_accepted
-- The first episode with more than one accepted offer; there must be none.
SELECT delivery_id, episode FROM driver_offers WHERE state = 'ACCEPTED'
GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL LIMIT 1

-- name: delete
-- Delete the rows registered as `bad_rows` from {table}.
DELETE FROM {table} WHERE id IN (SELECT id FROM bad_rows)
