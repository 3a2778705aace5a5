-- +goose Up

-- Single-use links with which a person sets a password. A person has at most one that is
-- not used; a newer one replaces it. It works until expires_at, while the person's e-mail
-- address has the version that it was made for.
CREATE TABLE app.password_links (
    token_hash      bytea PRIMARY KEY,           -- SHA-256
    realm           text NOT NULL CHECK (realm IN ('staff', 'portal_user')),
    subject         text NOT NULL,               -- the id of the staff member or portal user
    purpose         text NOT NULL CHECK (purpose IN ('first', 'reset')),
    address_version integer NOT NULL,
    made_at         timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    used_at         timestamptz                  -- NULL: not used
);
CREATE UNIQUE INDEX password_links_open ON app.password_links (realm, subject) WHERE used_at IS NULL;
GRANT SELECT, INSERT, UPDATE, DELETE ON app.password_links TO postern_api;

INSERT INTO app.password_links (token_hash, realm, subject, purpose, address_version, made_at, expires_at, used_at)
    SELECT i.token_hash, 'portal_user', u.portal_user_id, CASE i.purpose WHEN 'invite' THEN 'first' ELSE 'reset' END,
           i.address_version, i.made_at, i.expires_at, i.used_at
    FROM app.portal_invitations i JOIN app.portal_users u USING (portal_user_no);
DROP TABLE app.portal_invitations;

-- An invited member has not set a password yet. Members of earlier versions were never
-- invited: they got their password, or API tokens, when they were created.
ALTER TABLE app.staff_accounts
    ADD COLUMN email_version integer NOT NULL DEFAULT 0, -- how often the address was changed
    ADD COLUMN setup text NOT NULL DEFAULT 'complete' CHECK (setup IN ('invited', 'complete')),
    ADD CHECK (setup = 'complete' OR password_hash IS NULL);

-- The id of the event of the next change of the password. Two changes at once are one
-- event, and one of them takes effect.
ALTER TABLE app.staff_accounts ADD COLUMN next_change uuid NOT NULL DEFAULT gen_random_uuid();
ALTER TABLE app.portal_accounts ADD COLUMN next_change uuid NOT NULL DEFAULT gen_random_uuid();

-- +goose Down
ALTER TABLE app.portal_accounts DROP COLUMN next_change;
ALTER TABLE app.staff_accounts DROP COLUMN next_change, DROP COLUMN setup, DROP COLUMN email_version;
CREATE TABLE app.portal_invitations (
    token_hash      bytea PRIMARY KEY,
    portal_user_no  integer NOT NULL REFERENCES app.portal_users,
    purpose         text NOT NULL CHECK (purpose IN ('invite', 'reset')),
    expires_at      timestamptz NOT NULL,
    used_at         timestamptz,
    made_at         timestamptz NOT NULL DEFAULT now(),
    address_version integer NOT NULL
);
CREATE UNIQUE INDEX portal_invitations_open ON app.portal_invitations (portal_user_no) WHERE used_at IS NULL;
GRANT SELECT, INSERT, UPDATE, DELETE ON app.portal_invitations TO postern_api;
INSERT INTO app.portal_invitations (token_hash, portal_user_no, purpose, expires_at, used_at, made_at, address_version)
    SELECT l.token_hash, u.portal_user_no, CASE l.purpose WHEN 'first' THEN 'invite' ELSE 'reset' END,
           l.expires_at, l.used_at, l.made_at, l.address_version
    FROM app.password_links l JOIN app.portal_users u ON u.portal_user_id = l.subject WHERE l.realm = 'portal_user';
DROP TABLE app.password_links;
