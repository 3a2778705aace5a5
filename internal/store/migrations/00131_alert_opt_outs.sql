-- +goose Up

-- Portal users who want no alerts (ADR 71). Their messages come to the inbox all the same.
CREATE TABLE record.alert_opt_outs (
    portal_user_no integer PRIMARY KEY,
    how            text NOT NULL CHECK (how IN ('portal', 'one_click')),
    since          timestamptz NOT NULL
);
GRANT SELECT ON record.alert_opt_outs TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON record.alert_opt_outs TO postern_recorder;

-- The key of the tokens in the List-Unsubscribe headers of alerts. Without it, earlier links end.
CREATE TABLE app.unsubscribe_key (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    key       bytea NOT NULL CHECK (length(key) = 32)
);
GRANT SELECT ON app.unsubscribe_key TO postern_api, postern_notify;
INSERT INTO app.unsubscribe_key (key)
    VALUES (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

-- Why no alert goes out to a recipient, as before, and whether they opted out.
-- +goose StatementBegin
CREATE FUNCTION app.why_not_alerted(message_status text, active boolean, email text, dead text, opted_out boolean) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
SELECT CASE
    WHEN message_status = 'recalled' THEN 'the message was recalled'
    WHEN message_status = 'cancelled' THEN 'the message was cancelled'
    WHEN active IS NULL THEN 'the directory has lost this portal user'
    WHEN NOT active THEN 'the account is inactive'
    WHEN email = '' THEN 'no e-mail address'
    WHEN opted_out THEN 'opted out of e-mails'
    WHEN dead = '' THEN 'the e-mail address does not work'
    WHEN dead IS NOT NULL THEN 'the e-mail address does not work: SendGrid reported ' || dead
    ELSE '' END
$$;

-- For workers of earlier versions, which know of no opt-out.
CREATE OR REPLACE FUNCTION app.why_not_alerted(message_status text, active boolean, email text, dead text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
SELECT app.why_not_alerted(message_status, active, email, dead, false)
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION app.why_not_alerted(message_status text, active boolean, email text, dead text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
SELECT CASE
    WHEN message_status = 'recalled' THEN 'the message was recalled'
    WHEN message_status = 'cancelled' THEN 'the message was cancelled'
    WHEN active IS NULL THEN 'the directory has lost this portal user'
    WHEN NOT active THEN 'the account is inactive'
    WHEN email = '' THEN 'no e-mail address'
    WHEN dead = '' THEN 'the e-mail address does not work'
    WHEN dead IS NOT NULL THEN 'the e-mail address does not work: SendGrid reported ' || dead
    ELSE '' END
$$;
-- +goose StatementEnd
DROP FUNCTION app.why_not_alerted(text, boolean, text, text, boolean);
DROP TABLE app.unsubscribe_key, record.alert_opt_outs;
