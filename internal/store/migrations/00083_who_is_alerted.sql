-- +goose Up

-- Why no alert goes out to a recipient, '' where one may: asked by the worker when it takes
-- a chunk up, and by the plan of a replay. active and email are NULL where the directory has
-- lost the portal user. dead is what SendGrid reported of the address, NULL where nothing;
-- '' leaves the detail out.
-- +goose StatementBegin
CREATE FUNCTION app.why_not_alerted(message_status text, active boolean, email text, dead text) RETURNS text
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

-- Why a replay that planned to repeat attempt number attempt of an alert leaves it out, ''
-- where it does not: asked by the plan, and again when the alert's turn comes. state,
-- reason and attempts are what the record says of the alert; claimed says that another
-- replay has the next attempt.
CREATE FUNCTION app.why_not_repeated(opened boolean, state text, reason text, attempts integer, attempt integer, claimed boolean) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
SELECT CASE
    WHEN opened THEN 'the message was opened already'
    WHEN state = 'accepted' THEN 'SendGrid has it by now'
    WHEN claimed OR attempts <> attempt THEN 'another replay repeats it'
    WHEN state NOT IN ('failed', 'unknown') AND reason <> 'SendGrid had accepted it before' THEN 'another replay repeats it'
    ELSE '' END
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION app.why_not_alerted(text, boolean, text, text), app.why_not_repeated(boolean, text, text, integer, integer, boolean);
