-- name: unsent
-- The next open events in the order of their ids, and the state of each at one sender:
-- wanted (the sender subscribes to it, and it is neither delivered nor refused), due (not waiting for
-- its next try), spent (tried for too long), stale (a pending offer that was not acknowledged in time).
-- LATERAL looks up the few events of a page one by one; a month has too many sendings to join.
SELECT o.id, o.event, o.root, o.root_id, encode(o.decision_id, 'hex') AS decision, o.payload, o.at, coalesce(s.attempts, 0) AS attempts,
  o.event LIKE ANY (:wanted) AND coalesce(s.state, 'WAITING') = 'WAITING' AS wanted, coalesce(s.next_at <= c.now, true) AS due,
  coalesce(s.first_at + :give_up <= c.now, false) AS spent, f.id AS offer_id, f.driver_id,
  coalesce(f.sent_at + :push_ack <= c.now OR f.hard_deadline <= c.now, false) AS stale
FROM (SELECT dk.clock() AS now OFFSET 0) AS c
CROSS JOIN (SELECT * FROM dk.outbox WHERE sent_at IS NULL AND id > :after ORDER BY id LIMIT :limit) AS o
LEFT JOIN LATERAL (SELECT * FROM dk.sendings WHERE outbox_id = o.id AND sender = :sender LIMIT 1) AS s ON true
LEFT JOIN LATERAL (SELECT * FROM dk.driver_offers WHERE :push AND o.event = 'offer_created' AND id = o.row_id AND state = 'PENDING' LIMIT 1) AS f ON true
ORDER BY o.id

-- name: soonest
-- Seconds until this sender's next try is due, or until the time to acknowledge a pending offer ends.
SELECT extract(epoch FROM min(least(s.next_at, f.sent_at + :push_ack)) - dk.clock())
FROM dk.sendings AS s JOIN dk.outbox AS o ON o.id = s.outbox_id
LEFT JOIN dk.driver_offers AS f ON :push AND o.event = 'offer_created' AND f.id = o.row_id AND f.state = 'PENDING'
WHERE s.sender = :sender AND s.state = 'WAITING'

-- name: mark
-- Write what became of messages at one sender. A finished message cannot change: a trigger refuses.
INSERT INTO dk.sendings AS t (sender, outbox_id, key, state, attempts, first_at, tried_at, next_at, said)
SELECT :sender, s.id, s.key, s.state, 1, c.now, c.now, CASE WHEN s.state = 'WAITING' THEN c.now + make_interval(secs => s.wait) END, nullif(s.said, '')
FROM (SELECT dk.clock() AS now) AS c
CROSS JOIN unnest(CAST(:ids AS bigint[]), CAST(:keys AS text[]), CAST(:states AS text[]), CAST(:waits AS float8[]), CAST(:said AS text[])) AS s(id, key, state, wait, said)
ON CONFLICT (outbox_id, sender) DO UPDATE
SET state = excluded.state, attempts = t.attempts + 1, tried_at = excluded.tried_at, next_at = excluded.next_at, said = excluded.said

-- name: open
-- The next open events.
SELECT id FROM dk.outbox WHERE sent_at IS NULL AND id > :after ORDER BY id LIMIT :limit

-- name: settle
-- Close those of these events that every subscriber has finished, and those without a subscriber.
-- An event that FAILED at a sender stays open, so that it can be retried.
WITH over AS MATERIALIZED (SELECT outbox_id, sender FROM dk.sendings WHERE outbox_id = ANY (:ids) AND state IN ('DELIVERED', 'REFUSED'))
UPDATE dk.outbox AS o SET sent_at = dk.clock() WHERE o.id = ANY (:ids) AND o.sent_at IS NULL AND NOT EXISTS (
  SELECT FROM unnest(CAST(:senders AS text[]), CAST(:patterns AS text[])) AS w(sender, pattern)
  WHERE o.event LIKE w.pattern AND (o.id, w.sender) NOT IN (SELECT outbox_id, sender FROM over))

-- name: due
-- How many events a sender would receive now.
SELECT count(*) FROM dk.outbox AS o LEFT JOIN dk.sendings AS s ON s.outbox_id = o.id AND s.sender = :sender
WHERE o.sent_at IS NULL AND o.event LIKE ANY (:wanted) AND (s.state IS NULL OR s.state = 'WAITING' AND s.next_at <= dk.clock())

-- name: unsettled
-- How many events are not closed.
SELECT count(*) FROM dk.outbox WHERE sent_at IS NULL

-- name: failed_sends
-- By sender and state: what was given up, and what was refused within the last day.
-- Offers that became UNDELIVERABLE are left out: their state reports it already.
SELECT s.sender, s.state, count(*) FROM dk.sendings AS s
WHERE (s.state = 'FAILED' OR (s.state = 'REFUSED' AND s.tried_at > dk.clock() - interval '1 day')) AND NOT EXISTS (
  SELECT FROM dk.outbox AS o JOIN dk.driver_offers AS f ON f.id = o.row_id
  WHERE o.id = s.outbox_id AND o.event = 'offer_created' AND f.state = 'UNDELIVERABLE')
GROUP BY s.sender, s.state ORDER BY s.sender, s.state

-- name: stuck
-- By sender: how many events still wait `late` after their first try, and the last response.
SELECT sender, count(*), coalesce((array_agg(said ORDER BY tried_at DESC, outbox_id DESC))[1], 'no reason told') FROM dk.sendings
WHERE state = 'WAITING' AND first_at < dk.clock() - :late GROUP BY sender ORDER BY sender

-- name: retry
-- Make given-up events due again. Their first try stays, so one more failure gives them up at once.
UPDATE dk.sendings SET state = 'WAITING', next_at = dk.clock() WHERE state = 'FAILED' AND sender = :sender

-- name: failed
-- How many events were given up at a sender.
SELECT count(*) FROM dk.sendings WHERE state = 'FAILED' AND sender = :sender
