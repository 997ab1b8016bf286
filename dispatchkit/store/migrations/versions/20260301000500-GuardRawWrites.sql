-- name: up
-- Who goes past the program meets two more walls: who may be given a delivery, and when an offer may be answered. And old
-- events are retired in a time that does not grow with the number of seals.
SET ROLE dk_owner;
-- A delivery is given only to a driver at work, in a slot that he has. Asked at COMMIT, since the pickup by a driver who had
-- left takes him back on duty in the same transaction; one who is suspended stays so, with the goods that he holds. His row is
-- locked against a change of duty, which a foreign key does not do; the program has written it by then and never waits here.
CREATE FUNCTION dk.may_carry() RETURNS trigger LANGUAGE plpgsql SET search_path = dk, pg_temp AS $$
DECLARE given record; BEGIN
  SELECT d.active, d.slot, r.id, r.duty, r.max_stack INTO given FROM deliveries d JOIN drivers r ON r.id = d.driver_id
   WHERE d.id = NEW.id FOR SHARE OF r;  -- active or not is asked below: a plan for `active` walks all that are
  IF NOT given.active THEN RETURN NULL; END IF;
  IF given.duty IN ('OFF_DUTY', 'ON_BREAK', 'FORCED_OFF')
      OR given.duty = 'SUSPENDED' AND NOT (OLD.state IN ('UNASSIGNED', 'OFFERING') AND NEW.state = 'PICKED_UP') THEN
    RAISE EXCEPTION 'driver % is % and may not be given delivery %', given.id, given.duty, NEW.id USING ERRCODE = 'DK013'; END IF;
  IF given.slot > given.max_stack THEN
    RAISE EXCEPTION 'driver % holds at most % and may not be given delivery % in slot %', given.id, given.max_stack, NEW.id, given.slot
      USING ERRCODE = 'DK013'; END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER d_carry AFTER UPDATE OF driver_id, slot ON dk.deliveries DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (NEW.active AND (OLD.driver_id, OLD.slot) IS DISTINCT FROM (NEW.driver_id, NEW.slot)) EXECUTE FUNCTION dk.may_carry();
ALTER TABLE dk.deliveries ENABLE ALWAYS TRIGGER d_carry;

-- No offer ends at an instant that is yet to come, and none is accepted in a transaction that began at its deadline or later:
-- the program reads the clock after BEGIN, and may write a little after the deadline what it judged in time. Whom nobody
-- asked (forced) misses no deadline. AFTER, so that what a row may not say of itself is told by its own CHECKs. dk.clock() is
-- dear, so of most answers it is asked only where it might say other than the server's clock.
CREATE FUNCTION dk.not_in_time() RETURNS trigger LANGUAGE plpgsql SET search_path = dk, pg_temp AS $$ BEGIN
  RAISE EXCEPTION 'offer % is % as of %, which the database clock denies', OLD.id, NEW.state, NEW.responded_at USING ERRCODE = 'DK014'; END $$;
CREATE TRIGGER d_clock AFTER UPDATE OF state ON dk.driver_offers FOR EACH ROW
  WHEN (OLD.state <> NEW.state AND (
    (NEW.responded_at > clock_timestamp() OR coalesce(current_setting('dk.now', true), '') <> '') AND NEW.responded_at > dk.clock()
    OR NEW.state = 'ACCEPTED' AND NEW.mode <> 'forced' AND dk.clock() - (clock_timestamp() - transaction_timestamp()) >= NEW.hard_deadline))
  EXECUTE FUNCTION dk.not_in_time();
ALTER TABLE dk.driver_offers ENABLE ALWAYS TRIGGER d_clock;

SET ROLE dk_audit;
-- The newest seal of an epoch is its highest: found by the key, not among all seals for every event.
DO $$ DECLARE retire text := pg_get_functiondef('dk_aud.retire'::regproc);
  was text := '(SELECT max(s.hi) FROM seal s WHERE s.epoch = e.epoch)'; BEGIN
  ASSERT retire LIKE '%' || was || '%', 'retire asks for the newest seal in other words';
  EXECUTE replace(retire, was, '(SELECT s.hi FROM seal s WHERE s.epoch = e.epoch ORDER BY s.n DESC LIMIT 1)');
END $$;
RESET ROLE;

-- name: down
-- The walls go; retire asks for the highest seal again.
SET ROLE dk_owner;
DROP TRIGGER d_carry ON dk.deliveries;
DROP TRIGGER d_clock ON dk.driver_offers;
DROP FUNCTION dk.may_carry, dk.not_in_time;
SET ROLE dk_audit;
DO $$ DECLARE retire text := pg_get_functiondef('dk_aud.retire'::regproc);
  was text := '(SELECT s.hi FROM seal s WHERE s.epoch = e.epoch ORDER BY s.n DESC LIMIT 1)'; BEGIN
  ASSERT retire LIKE '%' || was || '%', 'retire asks for the newest seal in other words';
  EXECUTE replace(retire, was, '(SELECT max(s.hi) FROM seal s WHERE s.epoch = e.epoch)');
END $$;
RESET ROLE;
