-- name: up
-- sendings: what became of each outbox event at each sender, so that a retry knows what has left.
SELECT 1;

-- name: down
-- Nothing yet.
SELECT 1;
