-- name: mart_availability
-- A row is one stretch in which a driver's duty, the number of deliveries in hand and whether an offer waited stayed as
-- they were. Where history tells no duty there is no row. What still lasts ends at as_of, flagged open.
-- In hand: from assignment (acceptance, where a delivery was later taken away or cancelled) to its end. An offer waits
-- from sending to its end. Every beginning and end is a step on a driver's line; duty is carried, the counts add up.
CREATE OR REPLACE TABLE mart_availability AS
WITH run AS (SELECT CAST(value AS TIMESTAMPTZ) AS as_of FROM export_manifest WHERE key = 'as_of'),
held AS (
    SELECT driver_id, coalesce(assigned_at, started_at) AS since, coalesce(ended_at, run.as_of) AS until
    FROM deliveries CROSS JOIN run WHERE driver_id IS NOT NULL
    UNION ALL
    SELECT o.driver_id, o.responded_at, c.released_at FROM driver_offers AS o
    JOIN reassignment_cases AS c ON (c.delivery_id, c.episode, c.driver_id) = (o.delivery_id, o.episode, o.driver_id)
    WHERE o.state = 'ACCEPTED' AND c.released_at IS NOT NULL
    UNION ALL
    SELECT o.driver_id, o.responded_at, d.ended_at FROM driver_offers AS o
    JOIN deliveries AS d ON d.id = o.delivery_id  -- a cancellation takes it from the driver, and so begins an episode
    WHERE o.state = 'ACCEPTED' AND d.state = 'CANCELLED' AND d.ended_while IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP')
      AND o.episode IN (d.episode, d.episode - 1)
),
asked AS (
    SELECT driver_id, sent_at AS since, coalesce(responded_at, run.as_of) AS until FROM driver_offers CROSS JOIN run
),
duty AS (
    SELECT h.driver_id, h.duty, h.since, least(coalesce(h.until, run.as_of), run.as_of) AS until
    FROM driver_availability_history AS h CROSS JOIN run WHERE h.since < run.as_of
),
steps AS (
    SELECT driver_id, epoch_us(since) AS at_us, duty AS begins, false AS ends, 0 AS held, 0 AS asked FROM duty
    UNION ALL
    SELECT driver_id, epoch_us(until), NULL, true, 0, 0 FROM duty
    UNION ALL
    SELECT driver_id, epoch_us(since), NULL, false, 1, 0 FROM held WHERE since < until
    UNION ALL
    SELECT driver_id, epoch_us(until), NULL, false, -1, 0 FROM held WHERE since < until
    UNION ALL
    SELECT driver_id, epoch_us(since), NULL, false, 0, 1 FROM asked WHERE since < until
    UNION ALL
    SELECT driver_id, epoch_us(until), NULL, false, 0, -1 FROM asked WHERE since < until
),
instants AS (
    SELECT driver_id, at_us, coalesce(max(begins), CASE WHEN bool_or(ends) THEN 'NONE' END) AS duty,
        sum(held) AS held, sum(asked) AS asked
    FROM steps GROUP BY driver_id, at_us
),
carried AS (
    SELECT driver_id, at_us, last_value(duty IGNORE NULLS) OVER line AS duty, sum(held) OVER line AS held,
        sum(asked) OVER line AS asked, lead(at_us) OVER (PARTITION BY driver_id ORDER BY at_us) AS until_us
    FROM instants WINDOW line AS (PARTITION BY driver_id ORDER BY at_us ROWS UNBOUNDED PRECEDING)
)
SELECT driver_id, duty, CAST(held AS BIGINT) AS held, asked > 0 AS asked, make_timestamptz(at_us) AS since,
    make_timestamptz(until_us) AS until, until_us = epoch_us(run.as_of) AS open
FROM carried CROSS JOIN run
WHERE duty <> 'NONE' AND until_us <= epoch_us(run.as_of) ORDER BY driver_id, since;
