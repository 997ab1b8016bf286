-- name: mart_shifts
-- One row per duty interval of a driver on shift; off duty, forced off and suspended are left out.
--   zone: the driver's home zone; since, until: the interval; open: it still lasts, and until is as_of;
--   shift_since: start of the unbroken shift it belongs to, so a shift is the rows of one (driver_id, shift_since);
--   planned_end: end of the shift as planned when the interval began;
--   available: ON_DUTY, when work may be taken (free places in a stack are not subtracted);
--   lasts_s: length of the interval, seconds.
CREATE OR REPLACE TABLE mart_shifts AS
WITH export AS (SELECT CAST(value AS TIMESTAMPTZ) AS as_of FROM export_manifest WHERE key = 'as_of'),
on_shift AS (
    SELECT history.driver_id, history.duty, history.since,
        least(coalesce(history.until, export.as_of), export.as_of) AS until,
        history.until IS NULL AS open, history.shift_end AS planned_end
    FROM driver_availability_history AS history CROSS JOIN export
    WHERE history.duty NOT IN ('OFF_DUTY', 'FORCED_OFF', 'SUSPENDED') AND history.since < export.as_of
),
with_starts AS (
    SELECT *, CASE WHEN lag(until) OVER driver = since THEN NULL ELSE since END AS shift_start
    FROM on_shift WINDOW driver AS (PARTITION BY driver_id ORDER BY since)
)
SELECT duty.driver_id, driver.vehicle, driver.zone_id, coalesce(zone.name, 'no home zone') AS zone, duty.duty,
    duty.since, duty.until, duty.open, duty.planned_end,
    max(duty.shift_start) OVER (
        PARTITION BY duty.driver_id ORDER BY duty.since ROWS UNBOUNDED PRECEDING
    ) AS shift_since,
    duty.duty = 'ON_DUTY' AS available,
    (epoch_us(duty.until) - epoch_us(duty.since)) / 1e6 AS lasts_s
FROM with_starts AS duty
JOIN drivers AS driver ON driver.id = duty.driver_id
LEFT JOIN delivery_zones AS zone ON zone.id = driver.zone_id
ORDER BY duty.driver_id, duty.since;
