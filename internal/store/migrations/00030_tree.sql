-- +goose Up

-- The Merkle tree over the leaves of record.events (RFC 6962): each complete
-- subtree's hash under the number that golang.org/x/mod/sumdb/tlog gives it.
-- Written beside the events, in their transaction; see internal/ledger.
CREATE TABLE record.hashes (
    idx  bigint PRIMARY KEY,
    hash bytea NOT NULL CHECK (length(hash) = 32)
);
GRANT SELECT ON record.hashes TO postern_api, postern_fanout, postern_notify;
-- TRUNCATE is the rebuild's, which the owner runs.
GRANT SELECT, INSERT ON record.hashes TO postern_recorder;

-- Every checkpoint that was signed: the text as it is published, and for finding
-- it, the size and the root that it is of. Nobody may change or delete one. The
-- same texts stand in the archive.
CREATE TABLE app.checkpoints (
    nr        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    size      bigint NOT NULL CHECK (size > 0),
    root      bytea NOT NULL CHECK (length(root) = 32),
    signed    text NOT NULL,
    signed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX checkpoints_size ON app.checkpoints (size);

-- The keys that checkpoints are or were signed with, as text that verifies them.
CREATE TABLE app.checkpoint_keys (
    nr       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    verifier text NOT NULL UNIQUE,
    since    timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT ON app.checkpoints, app.checkpoint_keys TO postern_recorder;
GRANT SELECT ON app.checkpoints, app.checkpoint_keys TO postern_api;

-- +goose Down
DROP TABLE app.checkpoint_keys;
DROP TABLE app.checkpoints;
DROP TABLE record.hashes;
