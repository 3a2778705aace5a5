-- +goose Up

-- Key pairs that seal the seeds of the people whom events name; see package entrykey. The private
-- key is encrypted with the content key. The latest row seals.
CREATE TABLE app.entry_keys (
    id          uuid PRIMARY KEY,
    public      bytea NOT NULL CHECK (length(public) = 32),
    wrapped_key bytea NOT NULL CHECK (length(wrapped_key) > 32),
    sealed      bytea NOT NULL CHECK (length(sealed) > 32),
    made_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT ON app.entry_keys TO postern_api, postern_fanout;
GRANT SELECT (id, public, made_at) ON app.entry_keys TO postern_notify;

-- +goose Down
DROP TABLE app.entry_keys;
