-- name: up
-- sendings: what became of each outbox event at each sender, so that a retry knows what has left; refusals learn the state
-- that the refused act met and the offer it was about.
SET ROLE dk_owner;
CREATE TABLE dk.sendings (
  sender text NOT NULL, outbox_id bigint NOT NULL REFERENCES dk.outbox ON DELETE CASCADE, key text NOT NULL,
  state text NOT NULL CHECK (state IN ('WAITING', 'DELIVERED', 'REFUSED', 'FAILED')), attempts bigint NOT NULL CHECK (attempts >= 1),
  first_at timestamptz NOT NULL, tried_at timestamptz NOT NULL, next_at timestamptz, said text,
  PRIMARY KEY (outbox_id, sender),
  CONSTRAINT sending_once UNIQUE (sender, key),
  CONSTRAINT next_try_iff_waiting CHECK ((state = 'WAITING') = (next_at IS NOT NULL)));
SELECT dk.restore('sendings');
CREATE INDEX sendings_waiting ON dk.sendings (sender, next_at) WHERE state = 'WAITING';
CREATE INDEX sendings_astray ON dk.sendings (tried_at) WHERE state IN ('REFUSED', 'FAILED');
-- What has left, or was refused for good, is over; what we gave up on may be tried again.
CREATE FUNCTION dk.sending_is_over() RETURNS trigger LANGUAGE plpgsql SET search_path = dk, pg_temp AS $$ BEGIN
  RAISE EXCEPTION 'event % at % is %', OLD.outbox_id, OLD.sender, OLD.state USING ERRCODE = 'DK011'; END $$;
CREATE TRIGGER a_over BEFORE UPDATE ON dk.sendings FOR EACH ROW WHEN (OLD.state IN ('DELIVERED', 'REFUSED')) EXECUTE FUNCTION dk.sending_is_over();
ALTER TABLE dk.sendings ENABLE ALWAYS TRIGGER a_over;
GRANT SELECT, INSERT ON dk.sendings TO dk_app;
GRANT UPDATE (state, attempts, tried_at, next_at, said) ON dk.sendings TO dk_app;
GRANT SELECT ON dk.sendings TO dk_verify;

ALTER TABLE dk.refusals ADD COLUMN was text, ADD COLUMN offer_id bigint;
SELECT dk.restore_columns('refusals', '{was,offer_id}');
CREATE INDEX refusals_of_root ON dk.refusals (root, root_id);
RESET ROLE;

-- name: down
-- Sendings and the added columns go to dk_kept.
SET ROLE dk_owner;
SELECT dk.keep('sendings');
DROP TABLE dk.sendings;
DROP FUNCTION dk.sending_is_over;
SELECT dk.keep_columns('refusals', '{was,offer_id}');
DROP INDEX dk.refusals_of_root;
ALTER TABLE dk.refusals DROP COLUMN was, DROP COLUMN offer_id;
RESET ROLE;
