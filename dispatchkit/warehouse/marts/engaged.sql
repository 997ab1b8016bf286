-- name: mart_engaged
-- One row per delivery that a named driver carried or carries.
--   engaged_s: the delivery's share of that driver's time, seconds.
-- Engaged time runs from assignment (from the start, where no assignment is recorded) to the end, or to as_of while
-- it lasts. Where n deliveries overlap, each gets 1/n, so that a driver's shares add up to the time with any delivery.
-- A driver who was released keeps no share of that delivery.
-- Every beginning and end is a step on the driver's time line. `share_until_us` is the integral of 1/n up to a step;
-- a delivery's share is its rise between the delivery's own two steps, which needs no join of intervals.
CREATE OR REPLACE TABLE mart_engaged AS
WITH export AS (SELECT CAST(value AS TIMESTAMPTZ) AS as_of FROM export_manifest WHERE key = 'as_of'),
carried AS (
    SELECT delivery.id, delivery.driver_id,
        epoch_us(coalesce(delivery.assigned_at, delivery.started_at)) AS since_us,
        epoch_us(coalesce(delivery.ended_at, export.as_of)) AS until_us
    FROM deliveries AS delivery CROSS JOIN export
    WHERE delivery.driver_id IS NOT NULL
        AND coalesce(delivery.ended_at, export.as_of) > coalesce(delivery.assigned_at, delivery.started_at)
),
steps AS (
    SELECT id, driver_id, since_us AS at_us, 1 AS change FROM carried
    UNION ALL
    SELECT id, driver_id, until_us, -1 FROM carried
),
loads AS (
    SELECT *,
        sum(change) OVER (
            PARTITION BY driver_id ORDER BY at_us, change, id ROWS UNBOUNDED PRECEDING
        ) AS deliveries_in_hand,
        lead(at_us) OVER (PARTITION BY driver_id ORDER BY at_us, change, id) - at_us AS lasts_us
    FROM steps
),
shares AS (
    SELECT id, at_us, change,
        coalesce(sum(CASE WHEN deliveries_in_hand > 0 THEN lasts_us / CAST(deliveries_in_hand AS DOUBLE) ELSE 0 END) OVER (
            PARTITION BY driver_id ORDER BY at_us, change, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), 0) AS share_until_us
    FROM loads
)
SELECT id AS delivery_id, sum(change * -1 * share_until_us) / 1e6 AS engaged_s
FROM shares GROUP BY id ORDER BY id;
