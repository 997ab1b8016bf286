-- name: mart_availability
-- One row per stretch of a driver's time in which duty, deliveries in hand and pending offers did not change.
--   held: deliveries in hand; offer_pending: at least one offer waits for an answer;
--   since, until: the stretch; open: it still lasts, and until is as_of.
-- There is no row where the history names no duty.
-- A delivery is in hand from assignment to its end; from acceptance, where it was later taken away or cancelled.
-- An offer is pending from sending to its answer or end.
-- Every beginning and end is a step on the driver's time line: duty is carried forward, the counts are summed.
CREATE OR REPLACE TABLE mart_availability AS
WITH export AS (SELECT CAST(value AS TIMESTAMPTZ) AS as_of FROM export_manifest WHERE key = 'as_of'),
in_hand AS (
    SELECT driver_id, coalesce(assigned_at, started_at) AS since, coalesce(ended_at, export.as_of) AS until
    FROM deliveries CROSS JOIN export WHERE driver_id IS NOT NULL
    UNION ALL
    SELECT offer.driver_id, offer.responded_at, case_.released_at
    FROM driver_offers AS offer
    JOIN reassignment_cases AS case_
        ON (case_.delivery_id, case_.episode, case_.driver_id) = (offer.delivery_id, offer.episode, offer.driver_id)
    WHERE offer.state = 'ACCEPTED' AND case_.released_at IS NOT NULL
    UNION ALL
    SELECT offer.driver_id, offer.responded_at, delivery.ended_at
    FROM driver_offers AS offer
    JOIN deliveries AS delivery ON delivery.id = offer.delivery_id
    -- A cancellation takes the delivery from the driver, and that begins a new episode.
    WHERE offer.state = 'ACCEPTED' AND delivery.state = 'CANCELLED'
        AND delivery.ended_while IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP')
        AND offer.episode IN (delivery.episode, delivery.episode - 1)
),
pending AS (
    SELECT driver_id, sent_at AS since, coalesce(responded_at, export.as_of) AS until
    FROM driver_offers CROSS JOIN export
),
duty AS (
    SELECT history.driver_id, history.duty, history.since,
        least(coalesce(history.until, export.as_of), export.as_of) AS until
    FROM driver_availability_history AS history CROSS JOIN export WHERE history.since < export.as_of
),
steps AS (
    SELECT driver_id, epoch_us(since) AS at_us, duty AS begins, false AS ends, 0 AS held, 0 AS pending FROM duty
    UNION ALL
    SELECT driver_id, epoch_us(until), NULL, true, 0, 0 FROM duty
    UNION ALL
    SELECT driver_id, epoch_us(since), NULL, false, 1, 0 FROM in_hand WHERE since < until
    UNION ALL
    SELECT driver_id, epoch_us(until), NULL, false, -1, 0 FROM in_hand WHERE since < until
    UNION ALL
    SELECT driver_id, epoch_us(since), NULL, false, 0, 1 FROM pending WHERE since < until
    UNION ALL
    SELECT driver_id, epoch_us(until), NULL, false, 0, -1 FROM pending WHERE since < until
),
instants AS (
    SELECT driver_id, at_us, coalesce(max(begins), CASE WHEN bool_or(ends) THEN 'NONE' END) AS duty,
        sum(held) AS held, sum(pending) AS pending
    FROM steps GROUP BY driver_id, at_us
),
stretches AS (
    SELECT driver_id, at_us,
        last_value(duty IGNORE NULLS) OVER time_line AS duty,
        sum(held) OVER time_line AS held,
        sum(pending) OVER time_line AS pending,
        lead(at_us) OVER (PARTITION BY driver_id ORDER BY at_us) AS until_us
    FROM instants WINDOW time_line AS (PARTITION BY driver_id ORDER BY at_us ROWS UNBOUNDED PRECEDING)
)
SELECT driver_id, duty, CAST(held AS BIGINT) AS held, pending > 0 AS offer_pending,
    make_timestamptz(at_us) AS since, make_timestamptz(until_us) AS until,
    until_us = epoch_us(export.as_of) AS open
FROM stretches CROSS JOIN export
WHERE duty <> 'NONE' AND until_us <= epoch_us(export.as_of) ORDER BY driver_id, since;
