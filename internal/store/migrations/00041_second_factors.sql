-- +goose Up

-- Who signs in with a second factor, and which. What the record says here is demanded;
-- what it is held against is in app.second_factors, under the same change_id. Where that
-- is lost, no code is right, and an administrator resets the factor.
CREATE TABLE record.second_factors (
    staff_id  text PRIMARY KEY,
    change_id uuid NOT NULL,
    added_at  timestamptz NOT NULL
);
GRANT SELECT ON record.second_factors TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON record.second_factors TO postern_recorder;

-- The secrets. One that the record does not name is being set up, or was replaced.
CREATE TABLE app.second_factors (
    change_id   uuid PRIMARY KEY,
    staff_id    text NOT NULL REFERENCES app.staff_accounts,
    wrapped_key bytea NOT NULL,
    secret      bytea NOT NULL,                  -- sealed with the key
    last_step   bigint NOT NULL DEFAULT 0,       -- of RFC 6238: a code of it or before is refused
    made_at     timestamptz NOT NULL
);
CREATE INDEX second_factors_staff ON app.second_factors (staff_id);

-- A code that was used has no row.
CREATE TABLE app.recovery_codes (
    change_id uuid NOT NULL REFERENCES app.second_factors ON DELETE CASCADE,
    code_hash bytea NOT NULL,                    -- SHA-256
    PRIMARY KEY (change_id, code_hash)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON app.second_factors, app.recovery_codes TO postern_api;

-- A session of somebody whose password was right and whose code has not come yet is
-- nobody's, and ends with the others of theirs.
ALTER TABLE app.sessions DROP COLUMN subject;
ALTER TABLE app.sessions ADD COLUMN subject text
    GENERATED ALWAYS AS (coalesce(data -> 'values' ->> 'subject', data -> 'values' ->> 'halfway')) STORED;
CREATE INDEX sessions_subject ON app.sessions (realm, subject) WHERE ended_at IS NULL;

-- +goose Down
ALTER TABLE app.sessions DROP COLUMN subject;
ALTER TABLE app.sessions ADD COLUMN subject text GENERATED ALWAYS AS (data -> 'values' ->> 'subject') STORED;
CREATE INDEX sessions_subject ON app.sessions (realm, subject) WHERE ended_at IS NULL;
DROP TABLE app.recovery_codes, app.second_factors, record.second_factors;
