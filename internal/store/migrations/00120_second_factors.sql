-- +goose Up

-- A person, staff or portal user, may have several second factors: one authenticator app and
-- passkeys. Their recovery codes are one set, whatever the factors.
ALTER TABLE record.second_factors DROP CONSTRAINT second_factors_pkey;
ALTER TABLE record.second_factors RENAME COLUMN staff_id TO subject;
ALTER TABLE record.second_factors
    ADD COLUMN realm text NOT NULL DEFAULT 'staff',
    ADD COLUMN kind  text NOT NULL DEFAULT 'totp',
    ADD CONSTRAINT second_factors_pkey PRIMARY KEY (change_id),
    ADD CONSTRAINT second_factors_realm_check CHECK (realm IN ('staff', 'portal_user')),
    ADD CONSTRAINT second_factors_kind_check CHECK (kind IN ('totp', 'passkey'));
ALTER TABLE record.second_factors ALTER COLUMN realm DROP DEFAULT, ALTER COLUMN kind DROP DEFAULT;
CREATE INDEX second_factors_subject ON record.second_factors (realm, subject);
CREATE UNIQUE INDEX second_factors_one_app ON record.second_factors (realm, subject) WHERE kind = 'totp';

-- Which recovery codes of an account work: those of this set that are left in app.recovery_codes.
CREATE TABLE record.recovery_codes (
    realm   text NOT NULL CHECK (realm IN ('staff', 'portal_user')),
    subject text NOT NULL,
    set_id  uuid NOT NULL,
    made_at timestamptz NOT NULL,
    PRIMARY KEY (realm, subject)
);
INSERT INTO record.recovery_codes (realm, subject, set_id, made_at) SELECT realm, subject, change_id, added_at FROM record.second_factors;
GRANT SELECT ON record.recovery_codes TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON record.recovery_codes TO postern_recorder;

-- The accounts that have a second factor in force, and the kinds of it. Whoever asks whether an
-- account has one asks this view.
CREATE VIEW record.accounts_with_second_factor AS
SELECT realm, subject, array_agg(DISTINCT kind ORDER BY kind) AS kinds
FROM record.second_factors
GROUP BY realm, subject;
GRANT SELECT ON record.accounts_with_second_factor TO postern_api, postern_fanout, postern_notify, postern_recorder;

-- The secrets of authenticator apps.
ALTER TABLE app.recovery_codes DROP CONSTRAINT recovery_codes_change_id_fkey;
ALTER TABLE app.second_factors DROP CONSTRAINT second_factors_staff_id_fkey;
ALTER TABLE app.second_factors RENAME COLUMN staff_id TO subject;
ALTER TABLE app.second_factors
    ADD COLUMN realm text NOT NULL DEFAULT 'staff',
    ADD CONSTRAINT second_factors_realm_check CHECK (realm IN ('staff', 'portal_user'));
ALTER TABLE app.second_factors ALTER COLUMN realm DROP DEFAULT;
DROP INDEX app.second_factors_staff;
CREATE INDEX second_factors_subject ON app.second_factors (realm, subject);

-- Passkeys. One that the record does not name opens nothing. The record has its id and whose it
-- is; the name, which its owner types, is here alone.
CREATE TABLE app.passkeys (
    change_id       uuid PRIMARY KEY,
    realm           text NOT NULL CHECK (realm IN ('staff', 'portal_user')),
    subject         text NOT NULL,
    name            text NOT NULL,
    host            text NOT NULL,             -- the relying party: the host of PUBLIC_URL when it was made
    handle          bytea NOT NULL,            -- names its owner to the authenticator; random, one for each account
    credential_id   bytea NOT NULL UNIQUE,
    public_key      bytea NOT NULL,            -- COSE
    sign_count      bigint NOT NULL,
    backup_eligible boolean NOT NULL,          -- it can be copied to other devices of its owner
    transports      text[] NOT NULL,
    made_at         timestamptz NOT NULL,
    used_at         timestamptz,
    last_challenge  bytea                      -- SHA-256 of the last challenge that it signed: each counts once
);
CREATE INDEX passkeys_subject ON app.passkeys (realm, subject);
GRANT SELECT, INSERT, UPDATE, DELETE ON app.passkeys TO postern_api;

-- A code that was used has no row.
ALTER TABLE app.recovery_codes RENAME COLUMN change_id TO set_id;
ALTER TABLE app.recovery_codes ADD COLUMN realm text, ADD COLUMN subject text, ADD COLUMN made_at timestamptz;
UPDATE app.recovery_codes c SET realm = f.realm, subject = f.subject, made_at = f.made_at FROM app.second_factors f WHERE f.change_id = c.set_id;
ALTER TABLE app.recovery_codes ALTER COLUMN realm SET NOT NULL, ALTER COLUMN subject SET NOT NULL, ALTER COLUMN made_at SET NOT NULL;
CREATE INDEX recovery_codes_subject ON app.recovery_codes (realm, subject);

-- +goose Down
DELETE FROM app.recovery_codes c WHERE NOT EXISTS (SELECT FROM app.second_factors f WHERE f.change_id = c.set_id AND f.realm = 'staff');
DROP INDEX app.recovery_codes_subject;
ALTER TABLE app.recovery_codes DROP COLUMN realm, DROP COLUMN subject, DROP COLUMN made_at;
ALTER TABLE app.recovery_codes RENAME COLUMN set_id TO change_id;
DROP TABLE app.passkeys;
DELETE FROM app.second_factors WHERE realm <> 'staff';
DROP INDEX app.second_factors_subject;
ALTER TABLE app.second_factors DROP COLUMN realm;
ALTER TABLE app.second_factors RENAME COLUMN subject TO staff_id;
CREATE INDEX second_factors_staff ON app.second_factors (staff_id);
ALTER TABLE app.second_factors ADD CONSTRAINT second_factors_staff_id_fkey FOREIGN KEY (staff_id) REFERENCES app.staff_accounts;
ALTER TABLE app.recovery_codes ADD CONSTRAINT recovery_codes_change_id_fkey FOREIGN KEY (change_id) REFERENCES app.second_factors ON DELETE CASCADE;
DROP VIEW record.accounts_with_second_factor;
DROP TABLE record.recovery_codes;
DELETE FROM record.second_factors WHERE realm <> 'staff' OR kind <> 'totp';
DROP INDEX record.second_factors_subject, record.second_factors_one_app;
ALTER TABLE record.second_factors DROP CONSTRAINT second_factors_pkey;
ALTER TABLE record.second_factors DROP COLUMN realm, DROP COLUMN kind;
ALTER TABLE record.second_factors RENAME COLUMN subject TO staff_id;
ALTER TABLE record.second_factors ADD CONSTRAINT second_factors_pkey PRIMARY KEY (staff_id);
