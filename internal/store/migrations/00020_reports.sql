-- +goose Up

-- What SendGrid reported of single alerts, as far as it says something that no
-- other table does; see docs/adr/0022. Of a failure there is always a row. That
-- SendGrid has an alert is a row only until its outcome says so.
CREATE TABLE record.reports (
    message_id     uuid NOT NULL,
    chunk          integer NOT NULL,
    portal_user_no integer NOT NULL,
    attempt        integer NOT NULL,
    failed         boolean NOT NULL,
    reason         text NOT NULL,             -- '' where it did not fail
    at             timestamptz NOT NULL,      -- by SendGrid's clock
    report_id      text NOT NULL,             -- sg_event_id of the report that counts
    PRIMARY KEY (message_id, chunk, portal_user_no, attempt),
    CHECK (failed = (reason <> ''))
);

-- Portal users whose address does not work. It holds for as long as the address
-- is the same: while app.portal_users.email_version is address_version.
CREATE TABLE record.dead_addresses (
    portal_user_no  integer PRIMARY KEY,
    address_version integer NOT NULL,
    since           timestamptz NOT NULL,     -- by SendGrid's clock
    reason          text NOT NULL,            -- as SendGrid or the receiving server said it
    report_id       text NOT NULL
);

GRANT SELECT ON record.reports, record.dead_addresses TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON record.reports, record.dead_addresses TO postern_recorder;

-- Whose alert is unknown, without a look at the others.
CREATE INDEX chunks_unknown ON record.chunks (message_id, chunk) WHERE alert_state = 'unknown';
CREATE INDEX alert_exceptions_unknown ON record.alert_exceptions (message_id, portal_user_no) WHERE state = 'unknown';

-- How often the directory changed the address.
ALTER TABLE app.portal_users ADD COLUMN email_version integer NOT NULL DEFAULT 0;
CREATE INDEX portal_users_no_email ON app.portal_users (portal_user_no) WHERE email = '' AND active;

-- +goose Down
DROP INDEX app.portal_users_no_email;
ALTER TABLE app.portal_users DROP COLUMN email_version;
DROP INDEX record.alert_exceptions_unknown, record.chunks_unknown;
DROP TABLE record.dead_addresses, record.reports;
