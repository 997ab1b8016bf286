-- name: manifest
-- What was noted of the export.
SELECT key, value FROM export_manifest

-- name: names
-- Every table and mart of the database.
SELECT table_name FROM duckdb_tables()

-- name: rows
-- One table or mart in the order it was made. {columns}: quoted names, or all; {name}: one of the names above.
SELECT {columns} FROM "{name}"

-- name: rows_within
-- The rows of a mart whose time, {time}, lies in a window.
SELECT {columns} FROM "{name}" WHERE "{time}" >= $since AND "{time}" < $until
