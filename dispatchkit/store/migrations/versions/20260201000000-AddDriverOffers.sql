-- name: up
-- driver_offers (ADR-024): one delivery proposed to one driver; rivals are different rows, so the winner is a unique index.
SET ROLE dk_owner;
CREATE TABLE dk.driver_offers (
  id bigint PRIMARY KEY CHECK (id > 0), delivery_id bigint NOT NULL REFERENCES dk.deliveries, driver_id bigint NOT NULL REFERENCES dk.drivers,
  episode bigint NOT NULL CHECK (episode >= 1), attempt bigint NOT NULL CHECK (attempt >= 1), ask bigint NOT NULL CHECK (ask >= 1),
  state text NOT NULL DEFAULT 'PENDING', cause text, mode text NOT NULL CHECK (mode IN ('cascade', 'waves', 'broadcast', 'forced')),
  pay_cents bigint NOT NULL CHECK (pay_cents >= 0), distance_m bigint NOT NULL CHECK (distance_m >= 0), payload text NOT NULL, payload_sha256 text NOT NULL,
  sent_at timestamptz NOT NULL, expires_at timestamptz NOT NULL, hard_deadline timestamptz NOT NULL CHECK (isfinite(hard_deadline)),
  delivered_at timestamptz, viewed_at timestamptz, responded_at timestamptz, late boolean NOT NULL DEFAULT false, version bigint NOT NULL,
  CONSTRAINT offer_times CHECK (sent_at < expires_at AND expires_at <= hard_deadline),
  CONSTRAINT offer_answered_iff_ended CHECK ((state = 'PENDING') = (responded_at IS NULL)),
  CONSTRAINT offer_accepted_in_time CHECK (state <> 'ACCEPTED' OR responded_at < hard_deadline),
  CONSTRAINT offer_expired_after_deadline CHECK (state <> 'EXPIRED' OR responded_at >= hard_deadline));
SELECT dk.restore('driver_offers');
CREATE UNIQUE INDEX offer_one_accepted ON dk.driver_offers (delivery_id, episode) WHERE state = 'ACCEPTED';
CREATE UNIQUE INDEX offer_one_pending ON dk.driver_offers (driver_id) WHERE state = 'PENDING';
CREATE INDEX offer_due ON dk.driver_offers (hard_deadline, id) WHERE state = 'PENDING';
CREATE INDEX offers_of_delivery ON dk.driver_offers (delivery_id);
INSERT INTO dk.transitions SELECT 'driver_offers', '', 'PENDING';
INSERT INTO dk.transitions SELECT 'driver_offers', 'PENDING', unnest('{ACCEPTED,DECLINED,EXPIRED,REVOKED,UNDELIVERABLE}'::text[]);
SELECT dk.watch('driver_offers', 'state',
  '{id,delivery_id,driver_id,episode,attempt,ask,mode,pay_cents,distance_m,payload,payload_sha256,sent_at,expires_at,hard_deadline}');

-- No offer is born for a closed delivery. It takes the delivery's lock, so it also waits for a rival that is closing it.
CREATE FUNCTION dk.offer_open() RETURNS trigger LANGUAGE plpgsql SET search_path = dk, pg_temp AS $$ BEGIN
  IF current_user = 'dk_import' THEN RETURN NEW; END IF;
  PERFORM FROM deliveries WHERE id = NEW.delivery_id AND episode = NEW.episode AND state IN ('UNASSIGNED', 'OFFERING') FOR NO KEY UPDATE;
  IF NOT FOUND THEN RAISE EXCEPTION 'delivery % takes no offers now', NEW.delivery_id USING ERRCODE = 'DK004'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER b_open BEFORE INSERT ON dk.driver_offers FOR EACH ROW EXECUTE FUNCTION dk.offer_open();
ALTER TABLE dk.driver_offers ENABLE ALWAYS TRIGGER b_open;

-- At COMMIT an accepted offer of the current episode and its delivery name the same driver.
CREATE FUNCTION dk.offer_pair() RETURNS trigger LANGUAGE plpgsql SET search_path = dk, pg_temp AS $$ BEGIN
  IF EXISTS (SELECT FROM driver_offers o JOIN deliveries d ON d.id = o.delivery_id AND d.episode = o.episode
              WHERE o.id = NEW.id AND o.state = 'ACCEPTED' AND d.driver_id IS DISTINCT FROM o.driver_id) THEN
    RAISE EXCEPTION 'offer % is accepted but its delivery is not with that driver', NEW.id USING ERRCODE = 'DK006'; END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER c_pair AFTER INSERT OR UPDATE OF state ON dk.driver_offers DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.state = 'ACCEPTED') EXECUTE FUNCTION dk.offer_pair();
ALTER TABLE dk.driver_offers ENABLE ALWAYS TRIGGER c_pair;

GRANT SELECT ON dk.driver_offers TO dk_app, dk_export, dk_verify;
GRANT INSERT, UPDATE ON dk.driver_offers TO dk_app;
GRANT SELECT, INSERT ON dk.driver_offers TO dk_import;
RESET ROLE;

-- name: down
-- Offers go to dk_kept.
SET ROLE dk_owner;
SELECT dk.keep('driver_offers');
DROP TABLE dk.driver_offers;
DROP FUNCTION dk.offer_open, dk.offer_pair, dk.guard_driver_offers;
DELETE FROM dk.transitions WHERE tbl = 'driver_offers';
RESET ROLE;
