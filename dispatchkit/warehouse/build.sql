-- name: create
-- An empty table in the shape of the registered `batch`. {table}: a name of our own contracts, here and below.
CREATE TABLE {table} AS SELECT * FROM batch

-- name: insert
-- Put the rows of the registered `batch` into {table}.
INSERT INTO {table} BY NAME SELECT * FROM batch

-- name: count
-- How many rows {table} has.
SELECT count(*) FROM {table}
