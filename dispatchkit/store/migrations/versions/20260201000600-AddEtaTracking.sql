-- name: up
-- eta_quotes (ADR-029): every predicted delivery time that was shown, with its interval and the event it was given at.
SET ROLE dk_owner;
CREATE TABLE dk.eta_quotes (
  id bigint PRIMARY KEY CHECK (id > 0), delivery_id bigint NOT NULL REFERENCES dk.deliveries, event text NOT NULL, quoted_at timestamptz NOT NULL,
  eta_at timestamptz NOT NULL, low_at timestamptz, high_at timestamptz, model text NOT NULL, CHECK (low_at <= high_at));
SELECT dk.restore('eta_quotes');
CREATE INDEX quotes_of_delivery ON dk.eta_quotes (delivery_id);
GRANT SELECT ON dk.eta_quotes TO dk_app, dk_export, dk_verify;
GRANT INSERT ON dk.eta_quotes TO dk_app;
GRANT SELECT, INSERT ON dk.eta_quotes TO dk_import;
RESET ROLE;

-- name: down
-- Quotes go to dk_kept.
SET ROLE dk_owner;
SELECT dk.keep('eta_quotes');
DROP TABLE dk.eta_quotes;
RESET ROLE;
