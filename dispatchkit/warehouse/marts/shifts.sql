-- name: mart_shifts
-- A row is one duty interval of a driver, off duty left out. `shift_since` is when the unbroken stretch it belongs to
-- began, so a shift is the rows of one (driver_id, shift_since). An interval that still lasts ends at as_of, flagged open.
-- `available` marks ON_DUTY: time in which work may be taken (room in a stack is not subtracted).
-- The zone is the driver's home zone. `planned_end` is the end of the shift as it was planned when the interval began.
CREATE OR REPLACE TABLE mart_shifts AS
WITH run AS (SELECT CAST(value AS TIMESTAMPTZ) AS as_of FROM export_manifest WHERE key = 'as_of'),
on_shift AS (
    SELECT h.driver_id, h.duty, h.since, least(coalesce(h.until, run.as_of), run.as_of) AS until, h.until IS NULL AS open,
        h.shift_end AS planned_end
    FROM driver_availability_history AS h CROSS JOIN run
    WHERE h.duty NOT IN ('OFF_DUTY', 'FORCED_OFF', 'SUSPENDED') AND h.since < run.as_of
),
marked AS (
    SELECT *, CASE WHEN lag(until) OVER w = since THEN NULL ELSE since END AS begins
    FROM on_shift WINDOW w AS (PARTITION BY driver_id ORDER BY since)
)
SELECT s.driver_id, v.vehicle, v.zone_id, coalesce(z.name, 'no home zone') AS zone, s.duty, s.since, s.until, s.open, s.planned_end,
    max(s.begins) OVER (PARTITION BY s.driver_id ORDER BY s.since ROWS UNBOUNDED PRECEDING) AS shift_since,
    s.duty = 'ON_DUTY' AS available,
    (epoch_us(s.until) - epoch_us(s.since)) / 1e6 AS lasts_s
FROM marked AS s JOIN drivers AS v ON v.id = s.driver_id LEFT JOIN delivery_zones AS z ON z.id = v.zone_id
ORDER BY s.driver_id, s.since;
