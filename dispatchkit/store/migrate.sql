-- name: take_lock
-- Take the advisory lock of the schema itself, or tell that another holds it.
SELECT pg_try_advisory_lock(1684733952)

-- name: drop_lock
-- Give the lock of the schema back.
SELECT pg_advisory_unlock(1684733952)

-- name: wait_shortly
-- How long a step waits for a table, in a migration.
SET lock_timeout = '100ms'

-- name: strict_clock
-- Make the database clock the only one.
UPDATE dk.meta SET clock = 'strict'

-- name: begun
-- Null before the first migration.
SELECT to_regclass('public.alembic_version')

-- name: revision
-- The step that the schema stands at.
SELECT version_num FROM public.alembic_version

-- name: recorded
-- The digest of the schema as the last migration left it.
SELECT schema_sha256 FROM dk.meta

-- name: record
-- Note the digest of the schema as it is now.
UPDATE dk.meta SET schema_sha256 = :digest

-- name: show_revision
-- Let every role see at which step the schema stands.
GRANT SELECT ON public.alembic_version TO dk_app, dk_import, dk_export, dk_verify
