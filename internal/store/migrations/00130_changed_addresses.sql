-- +goose Up

-- Changes of the e-mail addresses of portal users who have an account (ADR 72). A change ends the
-- sessions of the account in its own transaction, whoever makes it: an import, or a person at the
-- database. The api publishes address.changed for each row (recorded_at), and tells the former
-- address. Once it has told it, or gives up, the former address is deleted.
CREATE TABLE app.address_changes (
    change_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    portal_user_no  integer NOT NULL,
    address_version integer NOT NULL,            -- of the address after the change
    former          text NOT NULL,               -- the address to tell, '' for none
    changed_by      text NOT NULL,               -- as events name an actor
    changed_at      timestamptz NOT NULL,
    recorded_at     timestamptz,                 -- NULL: address.changed is not published yet
    -- none: there was no address before, it waits to be told already, or three notices about this
    -- account were made within a day.
    notice          text NOT NULL CHECK (notice IN ('waiting', 'sent', 'none', 'given_up')),
    tries           integer NOT NULL DEFAULT 0,
    due_at          timestamptz NOT NULL,
    UNIQUE (portal_user_no, address_version),
    CONSTRAINT address_changes_former CHECK ((notice = 'waiting') = (former <> ''))
);
CREATE INDEX address_changes_unrecorded ON app.address_changes (changed_at) WHERE recorded_at IS NULL;
CREATE INDEX address_changes_waiting ON app.address_changes (due_at) WHERE notice = 'waiting';
CREATE INDEX address_changes_told ON app.address_changes (portal_user_no, changed_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON app.address_changes TO postern_api;

-- The address of a portal user that a staff member or operator has confirmed with the person.
CREATE TABLE record.address_confirmations (
    portal_user_no  integer PRIMARY KEY,
    address_version integer NOT NULL,
    confirmed_by    text NOT NULL,
    confirmed_at    timestamptz NOT NULL
);
GRANT SELECT ON record.address_confirmations TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON record.address_confirmations TO postern_recorder;

-- Until when no link to set a password goes to this version of a portal user's address; NULL: it
-- never had to wait, or is confirmed. A time that has passed is the same as NULL.
-- +goose StatementBegin
CREATE FUNCTION app.unconfirmed_until(of_portal_user integer, version integer) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT c.changed_at + interval '1 day' FROM app.address_changes c
    WHERE c.portal_user_no = of_portal_user AND c.address_version = version
      AND NOT EXISTS (SELECT FROM record.address_confirmations k WHERE k.portal_user_no = of_portal_user AND k.address_version = version)
$$;
-- +goose StatementEnd

-- It runs while the rows of the portal users are locked. A password is set under a lock of the row,
-- so that an account is either seen here, or its link is of a former address.
-- +goose StatementBegin
CREATE FUNCTION app.note_address_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO app.address_changes AS known (portal_user_no, address_version, former, changed_by, changed_at, due_at, notice)
    SELECT n.portal_user_no, n.email_version, CASE WHEN told.already THEN '' ELSE o.email END,
        coalesce(nullif(current_setting('postern.actor', true), ''), 'operator:database'), clock_timestamp(), clock_timestamp(),
        CASE WHEN told.already THEN 'none' ELSE 'waiting' END
    FROM old_rows o JOIN new_rows n USING (portal_user_no) JOIN app.portal_accounts a USING (portal_user_no)
    CROSS JOIN LATERAL (SELECT o.email = '' OR count(*) FILTER (WHERE c.notice <> 'none') >= 3 OR coalesce(bool_or(lower(c.former) = lower(o.email)), false) AS already
        FROM app.address_changes c WHERE c.portal_user_no = o.portal_user_no AND c.changed_at > clock_timestamp() - interval '1 day') told
    WHERE lower(o.email) <> lower(n.email)
    ON CONFLICT (portal_user_no, address_version) DO UPDATE SET changed_at = excluded.changed_at;
    UPDATE app.sessions s SET ended_at = now()
    FROM old_rows o JOIN new_rows n USING (portal_user_no)
    WHERE lower(o.email) <> lower(n.email) AND s.realm = 'portal_user' AND s.subject = n.portal_user_id AND s.ended_at IS NULL;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER note_address_changes AFTER UPDATE ON app.portal_users
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION app.note_address_changes();

-- +goose Down
DROP TRIGGER note_address_changes ON app.portal_users;
DROP FUNCTION app.note_address_changes();
DROP FUNCTION app.unconfirmed_until(integer, integer);
DROP TABLE record.address_confirmations, app.address_changes;
