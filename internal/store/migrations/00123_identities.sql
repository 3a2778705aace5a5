-- +goose Up

-- Which staff accounts are linked to an identity at the clinic's own identity provider. The
-- row says that there is a link and since when; whose identity it is, is in app.identities,
-- under the same identity_id. Where that is lost, no one signs in by the link, and an
-- administrator ends it.
CREATE TABLE record.identities (
    staff_id    text PRIMARY KEY,
    identity_id uuid NOT NULL,
    issuer      text NOT NULL,
    linked_at   timestamptz NOT NULL
);
GRANT SELECT ON record.identities TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON record.identities TO postern_recorder;

-- The identities. One that the record does not name was never linked, or is unlinked.
CREATE TABLE app.identities (
    identity_id  uuid PRIMARY KEY,
    staff_id     text NOT NULL REFERENCES app.staff_accounts,
    subject_hash bytea NOT NULL,                 -- SHA-256 of the issuer and its id of the person
    made_at      timestamptz NOT NULL
);
CREATE INDEX identities_subject ON app.identities (subject_hash);
CREATE INDEX identities_staff ON app.identities (staff_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON app.identities TO postern_api;

ALTER TABLE app.staff_accounts ADD COLUMN email_changed_at timestamptz; -- NULL: not since this column exists

-- +goose Down
ALTER TABLE app.staff_accounts DROP COLUMN email_changed_at;
DROP TABLE app.identities, record.identities;
