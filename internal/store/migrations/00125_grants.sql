-- +goose Up

-- Requests to give a permission that takes two people. A request that nobody settled can't
-- be approved any more after expires_at.
CREATE TABLE record.grants (
    request_id   uuid PRIMARY KEY,
    seq          bigint NOT NULL,
    staff_id     text NOT NULL,                  -- who is to have the permission
    permission   text NOT NULL,
    because      text NOT NULL CHECK (because IN ('asked', 'new_staff', 'address_changed', 'factor_reset')),
    state        text NOT NULL CHECK (state IN ('requested', 'approved', 'withdrawn', 'account_disabled')),
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    settled_by   text,
    settled_at   timestamptz,
    CONSTRAINT grants_settled_by CHECK ((state = 'requested') = (settled_by IS NULL)),
    CONSTRAINT grants_settled_at CHECK ((state = 'requested') = (settled_at IS NULL)),
    CONSTRAINT grants_two_people CHECK (state <> 'approved' OR (settled_by <> requested_by AND settled_by <> 'staff:' || staff_id))
);
CREATE INDEX grants_seq ON record.grants (seq);
CREATE INDEX grants_open ON record.grants (staff_id) WHERE state = 'requested';
GRANT SELECT ON record.grants TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON record.grants TO postern_recorder;

-- Who requested a permission that another person approved; NULL: it was given without a request.
ALTER TABLE record.staff_permissions ADD COLUMN requested_by text;

-- The staff who sign in with two factors: their own, or at the organisation, which checks its own.
CREATE VIEW app.staff_with_factor AS
SELECT subject AS staff_id FROM record.accounts_with_second_factor WHERE realm = 'staff'
UNION
SELECT staff_id FROM record.identities;
GRANT SELECT ON app.staff_with_factor TO postern_api;

-- +goose Down
DROP VIEW app.staff_with_factor;
ALTER TABLE record.staff_permissions DROP COLUMN requested_by;
DROP TABLE record.grants;
