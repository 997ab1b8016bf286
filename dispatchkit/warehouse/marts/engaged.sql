-- name: mart_engaged
-- A row is one delivery carried by a named driver, with its share of that driver's clock time.
-- Engaged time runs from assignment (from the start, where no assignment is told) to the end, or to as_of while it
-- lasts. Where n deliveries overlap each gets 1/n, so a driver's shares sum to the time spent carrying anything. Every
-- start and end is a step; `reached` is the integral of 1/n up to that step, and a share is its rise between a
-- delivery's own two steps: no join of intervals.
-- A driver who was released keeps no share of that delivery.
CREATE OR REPLACE TABLE mart_engaged AS
WITH run AS (SELECT CAST(value AS TIMESTAMPTZ) AS as_of FROM export_manifest WHERE key = 'as_of'),
held AS (
    SELECT d.id, d.driver_id,
        epoch_us(coalesce(d.assigned_at, d.started_at)) AS begins, epoch_us(coalesce(d.ended_at, run.as_of)) AS ends
    FROM deliveries AS d CROSS JOIN run
    WHERE d.driver_id IS NOT NULL AND coalesce(d.ended_at, run.as_of) > coalesce(d.assigned_at, d.started_at)
),
steps AS (
    SELECT id, driver_id, begins AS at_us, 1 AS change FROM held
    UNION ALL
    SELECT id, driver_id, ends, -1 FROM held
),
loads AS (
    SELECT *,
        sum(change) OVER (PARTITION BY driver_id ORDER BY at_us, change, id ROWS UNBOUNDED PRECEDING) AS carried,
        lead(at_us) OVER (PARTITION BY driver_id ORDER BY at_us, change, id) - at_us AS lasts_us
    FROM steps
),
clock AS (
    SELECT id, at_us, change,
        coalesce(sum(CASE WHEN carried > 0 THEN lasts_us / CAST(carried AS DOUBLE) ELSE 0 END) OVER (
            PARTITION BY driver_id ORDER BY at_us, change, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), 0) AS reached
    FROM loads
)
SELECT id AS delivery_id, sum(change * -1 * reached) / 1e6 AS engaged_s
FROM clock GROUP BY id ORDER BY id;
