-- name: unsent
-- One sender's next events, in the order of their ids: those it wants, and has neither got nor refused for good.
-- due: not waiting for its next try. spent: tried for too long. stale: a pending offer that nobody acknowledged in time.
SELECT o.id, o.event, o.root, o.root_id, encode(o.decision_id, 'hex') AS decision, o.payload, o.at, coalesce(s.attempts, 0) AS attempts,
  coalesce(s.next_at <= c.now, true) AS due, coalesce(s.first_at + :give_up <= c.now, false) AS spent,
  f.id AS offer_id, f.driver_id, coalesce(f.sent_at + :push_ack <= c.now OR f.hard_deadline <= c.now, false) AS stale
FROM (SELECT dk.clock() AS now) AS c
CROSS JOIN dk.outbox AS o
LEFT JOIN dk.sendings AS s ON s.outbox_id = o.id AND s.sender = :sender
LEFT JOIN dk.driver_offers AS f ON :push AND o.event = 'offer_created' AND f.id = o.row_id AND f.state = 'PENDING'
WHERE o.sent_at IS NULL AND o.id > :after AND o.event LIKE ANY (:wanted) AND coalesce(s.state, 'WAITING') = 'WAITING'
ORDER BY o.id LIMIT :limit

-- name: soonest
-- In how many seconds this sender's next try is due, or a pending offer's time for an acknowledgement is over.
SELECT extract(epoch FROM min(least(s.next_at, f.sent_at + :push_ack)) - dk.clock())
FROM dk.sendings AS s JOIN dk.outbox AS o ON o.id = s.outbox_id
LEFT JOIN dk.driver_offers AS f ON :push AND o.event = 'offer_created' AND f.id = o.row_id AND f.state = 'PENDING'
WHERE s.sender = :sender AND s.state = 'WAITING' AND o.sent_at IS NULL

-- name: mark
-- What became of messages at one sender. A key that is over stays as it is: the guard refuses.
INSERT INTO dk.sendings AS t (sender, outbox_id, key, state, attempts, first_at, tried_at, next_at, said)
SELECT :sender, s.id, s.key, s.state, 1, c.now, c.now, CASE WHEN s.state = 'WAITING' THEN c.now + make_interval(secs => s.wait) END, nullif(s.said, '')
FROM (SELECT dk.clock() AS now) AS c
CROSS JOIN unnest(CAST(:ids AS bigint[]), CAST(:keys AS text[]), CAST(:states AS text[]), CAST(:waits AS float8[]), CAST(:said AS text[])) AS s(id, key, state, wait, said)
ON CONFLICT (outbox_id, sender) DO UPDATE
SET state = excluded.state, attempts = t.attempts + 1, tried_at = excluded.tried_at, next_at = excluded.next_at, said = excluded.said

-- name: settle
-- Close events that are over at every sender which wants them, also those that nobody wants; FAILED ones stay open.
UPDATE dk.outbox SET sent_at = dk.clock() WHERE id IN (
  SELECT o.id FROM dk.outbox AS o WHERE o.sent_at IS NULL AND NOT EXISTS (
    SELECT FROM unnest(CAST(:senders AS text[]), CAST(:patterns AS text[])) AS w(sender, pattern) WHERE o.event LIKE w.pattern AND NOT EXISTS (
      SELECT FROM dk.sendings AS s WHERE s.outbox_id = o.id AND s.sender = w.sender AND s.state IN ('DELIVERED', 'REFUSED')))
  ORDER BY o.id LIMIT :limit)

-- name: due
-- How many events a sender would be given now.
SELECT count(*) FROM dk.outbox AS o LEFT JOIN dk.sendings AS s ON s.outbox_id = o.id AND s.sender = :sender
WHERE o.sent_at IS NULL AND o.event LIKE ANY (:wanted) AND (s.state IS NULL OR s.state = 'WAITING' AND s.next_at <= dk.clock())

-- name: open
-- How many events are not closed.
SELECT count(*) FROM dk.outbox WHERE sent_at IS NULL

-- name: astray
-- By sender and state: what we gave up on, and what was refused within the last day; an undeliverable offer says so itself.
SELECT s.sender, s.state, count(*) FROM dk.sendings AS s
WHERE (s.state = 'FAILED' OR (s.state = 'REFUSED' AND s.tried_at > dk.clock() - interval '1 day')) AND NOT EXISTS (
  SELECT FROM dk.outbox AS o JOIN dk.driver_offers AS f ON f.id = o.row_id
  WHERE o.id = s.outbox_id AND o.event = 'offer_created' AND f.state = 'UNDELIVERABLE')
GROUP BY s.sender, s.state ORDER BY s.sender, s.state

-- name: retry
-- What was given up on is due again; should it fail once more, it is given up on at once.
UPDATE dk.sendings SET state = 'WAITING', next_at = dk.clock() WHERE state = 'FAILED' AND sender = :sender

-- name: failed
-- How many events were given up on at a sender.
SELECT count(*) FROM dk.sendings WHERE state = 'FAILED' AND sender = :sender
