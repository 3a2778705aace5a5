-- +goose Up

-- API tokens of staff, as the record has them. A token works only if it has a row here. What
-- it permits: scope owner, what its owner may do at the time; scope listed, those of its
-- permissions that its owner has at the time.
CREATE TABLE record.tokens (
    token_id    uuid PRIMARY KEY,
    staff_id    text NOT NULL,
    name        text NOT NULL,
    scope       text NOT NULL CHECK (scope IN ('owner', 'listed')),
    permissions text[] NOT NULL,
    expires_at  timestamptz NOT NULL,
    revoked_at  timestamptz,                     -- NULL: it was not revoked
    revoked_why text CHECK (revoked_why IN ('revoked', 'by_administrator', 'by_operator', 'account_disabled')),
    CONSTRAINT tokens_listed CHECK ((scope = 'listed') = (cardinality(permissions) > 0)),
    CONSTRAINT tokens_revoked CHECK ((revoked_at IS NULL) = (revoked_why IS NULL))
);
CREATE INDEX tokens_staff ON record.tokens (staff_id);
GRANT SELECT ON record.tokens TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON record.tokens TO postern_recorder;

-- app.staff_tokens keeps the hash of each token under the id that the record names.
ALTER TABLE app.staff_tokens
    ADD COLUMN token_id uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN last_used_at timestamptz,         -- to the minute; NULL: never
    -- Only for a token of a version before 0.3: until when it is to be valid. The api
    -- records it with this expiry, and from then on it works again.
    ADD COLUMN earlier_until timestamptz;
ALTER TABLE app.staff_tokens RENAME COLUMN created_at TO made_at;
UPDATE app.staff_tokens SET earlier_until = now() + interval '90 days';
ALTER TABLE app.staff_tokens ALTER COLUMN token_id DROP DEFAULT;
ALTER TABLE app.staff_tokens DROP CONSTRAINT staff_tokens_pkey;
ALTER TABLE app.staff_tokens ADD CONSTRAINT staff_tokens_pkey PRIMARY KEY (token_id), ADD CONSTRAINT staff_tokens_hash UNIQUE (token_hash);

-- +goose Down
ALTER TABLE app.staff_tokens DROP CONSTRAINT staff_tokens_hash, DROP CONSTRAINT staff_tokens_pkey;
ALTER TABLE app.staff_tokens ADD CONSTRAINT staff_tokens_pkey PRIMARY KEY (token_hash);
ALTER TABLE app.staff_tokens RENAME COLUMN made_at TO created_at;
ALTER TABLE app.staff_tokens DROP COLUMN token_id, DROP COLUMN last_used_at, DROP COLUMN earlier_until;
DROP TABLE record.tokens;
