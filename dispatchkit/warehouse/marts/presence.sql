-- name: mart_presence
-- One row per stretch in which a driver was available in one zone.
--   since_us, until_us: the stretch, microseconds since 1970.
-- The zone is the home zone from the start of a shift, then the zone of the order taken last: exports carry too few
-- positions to know better.
-- Starts, ends and orders taken are points on the driver's time line; each carries the last known state and zone on.
CREATE OR REPLACE TABLE mart_presence AS
WITH points AS (
    SELECT DISTINCT driver_id, epoch_us(shift_since) AS at_us, NULL AS available, zone FROM mart_shifts
    UNION ALL
    SELECT driver_id, epoch_us(since), 1, NULL FROM mart_shifts WHERE available AND until > since
    UNION ALL
    SELECT driver_id, epoch_us(until), 0, NULL FROM mart_shifts WHERE available AND until > since
    UNION ALL
    SELECT driver_id, epoch_us(assigned_at), NULL, zone FROM mart_deliveries
    WHERE driver_id IS NOT NULL AND assigned_at IS NOT NULL
),
stretches AS (
    SELECT driver_id, at_us,
        last_value(available IGNORE NULLS) OVER time_line AS available,
        last_value(zone IGNORE NULLS) OVER time_line AS zone,
        lead(at_us) OVER (PARTITION BY driver_id ORDER BY at_us, available NULLS LAST, zone) AS until_us
    FROM points
    WINDOW time_line AS (
        PARTITION BY driver_id ORDER BY at_us, available NULLS LAST, zone ROWS UNBOUNDED PRECEDING
    )
)
SELECT driver_id, zone, at_us AS since_us, until_us FROM stretches
WHERE available = 1 AND until_us > at_us ORDER BY driver_id, since_us;
