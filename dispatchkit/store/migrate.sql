-- name: take_lock
-- Take the exclusive advisory lock of the schema; false if somebody else holds it.
SELECT pg_try_advisory_lock(1684733952)

-- name: drop_lock
-- Release the lock of the schema.
SELECT pg_advisory_unlock(1684733952)

-- name: wait_shortly
-- Let a step of a migration wait for a table only this long.
SET lock_timeout = '100ms'

-- name: strict_clock
-- Make the database clock the only one.
UPDATE dk.meta SET clock = 'strict'

-- name: begun
-- The table of Alembic's version; null before the first migration.
SELECT to_regclass('public.alembic_version')

-- name: revision
-- The revision of the schema.
SELECT version_num FROM public.alembic_version

-- name: recorded
-- The digest of the schema as the last migration left it.
SELECT schema_sha256 FROM dk.meta

-- name: record
-- Note the digest of the schema as it is now.
UPDATE dk.meta SET schema_sha256 = :digest

-- name: show_revision
-- Let every role read the revision of the schema.
GRANT SELECT ON public.alembic_version TO dk_app, dk_import, dk_export, dk_verify
