-- +goose Up

-- How people show who they are. What staff may do is not here but in
-- record.staff and record.staff_permissions; nobody is staff without both an
-- account here and a row there.

CREATE TABLE app.staff_accounts (
    staff_id      text PRIMARY KEY,
    email         text NOT NULL CHECK (email <> ''),
    password_hash text,                          -- argon2id; NULL: signs in with API tokens alone
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX staff_accounts_email ON app.staff_accounts (lower(email));

CREATE TABLE app.staff_tokens (
    token_hash bytea PRIMARY KEY,                -- SHA-256
    staff_id   text NOT NULL REFERENCES app.staff_accounts,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX staff_tokens_staff ON app.staff_tokens (staff_id);

CREATE TABLE app.portal_accounts (
    portal_user_no integer PRIMARY KEY REFERENCES app.portal_users,
    password_hash  text NOT NULL,
    changed_at     timestamptz NOT NULL DEFAULT now()
);

-- Single-use links. Only the newest of a portal user counts.
CREATE TABLE app.portal_invitations (
    token_hash     bytea PRIMARY KEY,            -- SHA-256
    portal_user_no integer NOT NULL REFERENCES app.portal_users,
    purpose        text NOT NULL CHECK (purpose IN ('invite', 'reset')),
    expires_at     timestamptz NOT NULL,
    used_at        timestamptz
);
CREATE UNIQUE INDEX portal_invitations_open ON app.portal_invitations (portal_user_no) WHERE used_at IS NULL;

-- A session that ended keeps its row until it would have expired, so that a
-- request which was under way can't bring it back by saving it. Realm browser
-- remembers that a browser has signed in before, and is nobody's session.
CREATE TABLE app.sessions (
    token_hash text PRIMARY KEY,                 -- SHA-256, base64url
    realm      text NOT NULL CHECK (realm IN ('staff', 'portal_user', 'browser')),
    data       jsonb NOT NULL,
    subject    text GENERATED ALWAYS AS (data -> 'values' ->> 'subject') STORED,
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz
);
CREATE INDEX sessions_subject ON app.sessions (realm, subject) WHERE ended_at IS NULL;
CREATE INDEX sessions_expired ON app.sessions (expires_at);

-- Failed sign-ins, counted for the address that was typed, whether an account
-- has it or not. The lane is a SHA-256; a row lasts a day.
CREATE TABLE app.sign_in_tries (
    lane     bytea PRIMARY KEY,
    failures integer NOT NULL,
    tried_at timestamptz NOT NULL,
    next_at  timestamptz NOT NULL                -- a try before this is refused unread
);
CREATE INDEX sign_in_tries_old ON app.sign_in_tries (tried_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON app.staff_accounts, app.staff_tokens, app.portal_accounts,
    app.portal_invitations, app.sessions, app.sign_in_tries TO postern_api;

-- +goose Down
DROP TABLE app.sign_in_tries, app.sessions, app.portal_invitations, app.portal_accounts, app.staff_tokens, app.staff_accounts;
