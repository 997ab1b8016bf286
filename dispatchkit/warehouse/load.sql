-- name: create_manifest
-- What is known of the export that was loaded, one row per key.
CREATE TABLE export_manifest (key VARCHAR, value VARCHAR)

-- name: insert_manifest
-- Note one key of the export.
INSERT INTO export_manifest VALUES (?, ?)
