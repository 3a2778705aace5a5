-- +goose Up

-- States of the whole directory that audiences cite: block numbers and the roots of rosters, which
-- are salted, so that they tell nothing of any person; see roster.State and docs/adr/0060. The
-- digest names the bytes, as that of facts and names does.
CREATE TABLE app.directory_states (
    digest  bytea PRIMARY KEY CHECK (digest = sha256(state)),
    state   bytea NOT NULL,
    copied  boolean NOT NULL, -- to the content store
    made_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE app.directory_states ALTER COLUMN state SET STORAGE EXTERNAL; -- digests do not compress

GRANT SELECT, INSERT, UPDATE (state, copied) ON app.directory_states TO postern_fanout;
GRANT SELECT ON app.directory_states TO postern_api; -- to say why a portal user is not in an audience

-- +goose Down
DROP TABLE app.directory_states;
