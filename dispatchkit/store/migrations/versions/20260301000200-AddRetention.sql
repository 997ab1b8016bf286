-- name: up
-- Retention of the audit trail, and personal data that can be erased.
SELECT 1;

-- name: down
-- Nothing yet.
SELECT 1;
