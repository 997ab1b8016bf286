-- name: links
-- Events whose link is wrong: a gap, another predecessor, or a body that does not match its hash.
-- It calls no function of schemas dk and dk_aud, because an attacker may have rewritten them.
WITH e AS (
  SELECT chain, seq, tbl, row_id, row_version, prev, hash, sha256(prev || convert_to(json_build_array(chain, seq, tbl, row_id, row_version, op, login, actor,
    run_id, reason, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'))::text || E'\n' || coalesce(image::text, ''), 'UTF8')) AS hashed FROM dk_aud.delivery_audit_logs
  UNION ALL SELECT chain, seq, tbl, row_id, row_version, prev, hash, hash FROM dk_aud.retired),
o AS (SELECT e.*, lag(seq, 1, 0::bigint) OVER w AS seq_before, lag(hash, 1, '\x00'::bytea) OVER w AS hash_before FROM e WINDOW w AS (PARTITION BY chain ORDER BY seq))
SELECT CASE WHEN seq <> seq_before + 1 THEN 'gap' WHEN prev <> hash_before THEN 'predecessor' ELSE 'hash' END AS fault, chain, seq, tbl, row_id, row_version
FROM o WHERE seq <> seq_before + 1 OR prev <> hash_before OR hash <> hashed

-- name: heads
-- Chains whose head is not their last event: events were cut off, or the head was edited.
SELECT 'head' AS fault, coalesce(h.chain, l.chain) AS chain, coalesce(l.seq, h.seq) AS seq, l.tbl, l.row_id, l.row_version
FROM dk_aud.head h FULL JOIN (SELECT DISTINCT ON (chain) chain, seq, tbl, row_id, row_version, hash FROM dk_aud.trail ORDER BY chain, seq DESC) l USING (chain)
WHERE (h.seq, h.hash) IS DISTINCT FROM (l.seq, l.hash)

-- name: versions
-- Rows whose version is not the number of their events since their baseline, and rows that are gone
-- although their last event is not D (delete).
SELECT 'version' AS fault, t.chain, t.seq, coalesce(l.tbl, t.tbl) AS tbl, coalesce(l.id, t.row_id) AS row_id, coalesce(l.version, t.last) AS row_version
FROM ({live}) l FULL JOIN (
  SELECT tbl, row_id, max(chain) AS chain, max(seq) AS seq, max(row_version) AS last, coalesce(max(row_version) FILTER (WHERE op = 'B'), 1) AS first,
    (array_agg(row_version ORDER BY row_version)) AS told, (array_agg(op ORDER BY row_version DESC))[1] = 'D' AS gone
  FROM dk_aud.trail GROUP BY tbl, row_id) t ON (t.tbl, t.row_id) = (l.tbl, l.id)
WHERE (l.id IS NOT NULL AND (t.row_id IS NULL OR l.version <> t.last OR cardinality(t.told) - array_position(t.told, t.first) IS DISTINCT FROM l.version - t.first))
   OR (l.id IS NULL AND NOT t.gone)

-- name: images
-- Rows that differ from their newest image. A column that was added later counts with the value that
-- the migration gave to old rows.
SELECT 'image' AS fault, n.chain, n.seq, l.tbl, l.id AS row_id, l.version AS row_version
FROM ({live}) l JOIN (SELECT DISTINCT ON (tbl, row_id) chain, seq, tbl, row_id, image FROM dk_aud.delivery_audit_logs ORDER BY tbl, row_id, row_version DESC) n
  ON (n.tbl, n.row_id) = (l.tbl, l.id)
WHERE l.image IS DISTINCT FROM n.image::text AND l.image::jsonb IS DISTINCT FROM n.image::jsonb || coalesce((
  SELECT jsonb_object_agg(a.name, a.was) FROM dk_aud.added a WHERE a.tbl = l.tbl AND NOT n.image::jsonb ? a.name), '{}')

-- name: seals
-- Seals that do not recompute, lost events, or do not follow each other.
SELECT 'seal' AS fault, NULL::bigint AS chain, s.n AS seq, 'seal' AS tbl, s.n AS row_id, s.epoch::bigint AS row_version
FROM (SELECT s.*, lag(s.digest, 1, '\x00'::bytea) OVER (ORDER BY s.epoch, s.n) AS before FROM dk_aud.seal s) s,
  LATERAL (SELECT count(*) AS events, sha256(coalesce(string_agg(e.hash, ''::bytea ORDER BY e.chain, e.seq), '')) AS root
    FROM dk_aud.trail e WHERE e.epoch = s.epoch AND e.txid >= s.lo AND e.txid < s.hi) r
WHERE r.events <> s.events OR r.root <> s.root OR s.prev <> s.before
   OR s.digest <> sha256(s.prev || s.root || convert_to(concat_ws('|', s.epoch, s.n, s.lo, s.hi, s.events), 'UTF8'))

-- name: archives
-- Archive files that hold another number of events than were retired to them.
SELECT 'archive' AS fault, NULL::bigint AS chain, NULL::bigint AS seq, a.name AS tbl, NULL::bigint AS row_id, NULL::bigint AS row_version
FROM dk_aud.archive a WHERE a.events <> (SELECT count(*) FROM dk_aud.retired r WHERE r.archive = a.name)

-- name: first_faults
-- The first row and the number of each kind of fault that one of the queries above finds.
SELECT DISTINCT ON (fault) fault, count(*) OVER (PARTITION BY fault) AS count, chain, seq, tbl, row_id, row_version
FROM ({faults}) x ORDER BY fault, chain, seq, tbl, row_id

-- name: first_faults_of_chain
-- The same for one chain; the other chains are not read.
SELECT DISTINCT ON (fault) fault, count(*) OVER (PARTITION BY fault) AS count, chain, seq, tbl, row_id, row_version
FROM ({faults}) x WHERE chain = :chain ORDER BY fault, chain, seq, tbl, row_id

-- name: trail_size
-- The numbers of events, chains, seals and archives.
SELECT (SELECT count(*) FROM dk_aud.trail) AS events, (SELECT count(*) FROM dk_aud.head) AS chains, (SELECT count(*) FROM dk_aud.seal) AS seals,
  (SELECT count(*) FROM dk_aud.archive) AS archives

-- name: seal_lines
-- Every seal as the line of the seal file, oldest first.
SELECT concat_ws(' ', epoch, n, events, encode(digest, 'hex')) FROM dk_aud.seal ORDER BY epoch, n

-- name: seal_due
-- The number of unsealed events whose transactions have ended, and the time of the last seal.
SELECT (SELECT count(*) FROM dk_aud.unsealed WHERE closed OR txid < pg_snapshot_xmin(pg_current_snapshot())) AS open,
  (SELECT made_at FROM dk_aud.seal ORDER BY epoch DESC, n DESC LIMIT 1) AS made_at

-- name: make_seals
-- Seal all events below the oldest running transaction, one seal for each epoch, the oldest first;
-- return the lines of the seal file.
SELECT dk_aud.make_seal() FROM generate_series(0, (SELECT count(DISTINCT epoch) FROM dk_aud.unsealed WHERE closed))

-- name: note_reading
-- Record a reading of the trail; defaults add the login and the time.
INSERT INTO dk_aud.readings (what, chain) VALUES (:what, :chain)

-- name: chain
-- Every event of one chain in its order; an archived one without its image.
SELECT seq, tbl, row_id, row_version, op, image, false AS archived, login, actor, run_id, reason, at, epoch || '/' || txid AS transaction
FROM dk_aud.delivery_audit_logs WHERE chain = :chain
UNION ALL SELECT seq, tbl, row_id, row_version, op, NULL::json, true, NULL, NULL, run_id, NULL, at, epoch || '/' || txid FROM dk_aud.retired WHERE chain = :chain
ORDER BY seq

-- name: runs
-- What the runs named in a chain decided with.
SELECT run_id::text AS run_id, sweep, as_of, status, inputs_sha256, config_sha256, code_version, seed, params FROM dk.sweep_runs
WHERE run_id = ANY (CAST(:runs AS uuid[])) ORDER BY started_at, run_id

-- name: decisions
-- The decision behind each event of a run in one chain: its table, row and version are the event's.
SELECT k.entity, k.row_id, k.row_version + 1 AS row_version, encode(k.decision_id, 'hex') AS decision_id, k.event
FROM dk.decisions k WHERE k.run_id = ANY (CAST(:runs AS uuid[])) AND k.outcome = 'APPLIED' AND k.row_id = ANY (:rows)

-- name: refusals
-- Refused acts of a delivery or a driver. They changed nothing, so they are in no chain.
SELECT at, actor, event, offer_id, was AS state_before, code FROM dk.refusals WHERE root = :root AND root_id = :id ORDER BY id

-- name: export
-- The trail of a period for export: ids, states and instants, no text that a person wrote.
SELECT e.at, CASE WHEN e.chain > 0 THEN e.chain END AS delivery_id, CASE WHEN e.chain < 0 THEN -e.chain END AS chain_driver_id, e.seq, e.tbl, e.row_id, e.row_version AS version,
  e.op, coalesce(e.image->>'state', e.image->>'duty') AS state, (e.image->>'episode')::bigint AS episode, (e.image->>'driver_id')::bigint AS driver_id,
  coalesce(r.sweep, split_part(e.actor, ':', 1)) AS by, e.run_id
FROM dk_aud.delivery_audit_logs e LEFT JOIN dk.sweep_runs r ON r.run_id::text = e.run_id
WHERE e.at >= :since AND e.at < :until ORDER BY e.at, e.chain, e.seq

-- name: retirable
-- The oldest events that may be archived: sealed, older than an instant, not the newest of their row.
SELECT chain, seq, epoch, txid::text AS txid, tbl, row_id, row_version, op, run_id, json_build_array(chain, seq, tbl, row_id, row_version, op, login, actor, run_id, reason,
  to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'))::text AS head, image::text AS image, encode(prev, 'hex') AS prev, encode(hash, 'hex') AS hash
FROM (SELECT * FROM dk_aud.delivery_audit_logs e WHERE e.at < :before AND e.txid < (SELECT s.hi FROM dk_aud.seal s WHERE s.epoch = e.epoch ORDER BY s.n DESC LIMIT 1)
    AND EXISTS (SELECT FROM dk_aud.delivery_audit_logs n WHERE (n.tbl, n.row_id) = (e.tbl, e.row_id) AND n.row_version > e.row_version)
  ORDER BY e.epoch, e.txid, e.chain, e.seq LIMIT :most) x ORDER BY chain, seq

-- name: retirable_count
-- How many events may be archived.
SELECT count(*) FROM dk_aud.delivery_audit_logs e WHERE e.at < :before AND e.txid < (SELECT s.hi FROM dk_aud.seal s WHERE s.epoch = e.epoch ORDER BY s.n DESC LIMIT 1)
  AND EXISTS (SELECT FROM dk_aud.delivery_audit_logs n WHERE (n.tbl, n.row_id) = (e.tbl, e.row_id) AND n.row_version > e.row_version)

-- name: retire
-- Move the links of these events to dk_aud.retired. Their bodies are in an archive file already.
SELECT dk_aud.retire(:name, :sha256, :before, CAST(:chain AS bigint[]), CAST(:seq AS bigint[]))

-- name: archive_files
-- The files that hold retired bodies.
SELECT name, sha256, events, before FROM dk_aud.archive ORDER BY name

-- name: retired_links
-- The links whose bodies one archive holds.
SELECT chain, seq, tbl, row_id, row_version, op, run_id, encode(prev, 'hex') AS prev, encode(hash, 'hex') AS hash FROM dk_aud.retired WHERE archive = :name ORDER BY chain, seq
