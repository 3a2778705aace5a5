-- +goose Up

-- An import of the directory by page, from the upload of its files to its outcome;
-- see package intake. The files are encrypted in the content store, and what a page
-- shows of them (names of files, of people, wrong lines) is sealed here, all under a
-- key that goes with the row. Rows last a day.
CREATE TABLE app.directory_imports (
    import_id   uuid PRIMARY KEY,
    staff_id    text NOT NULL UNIQUE,          -- who imports, one upload at a time
    state       text NOT NULL CHECK (state IN ('receiving', 'checking', 'checked', 'refused', 'importing', 'imported', 'failed')),
    wrapped_key bytea NOT NULL,
    sealed      bytea,                         -- NULL while files are still coming in
    done        bigint NOT NULL DEFAULT 0,     -- of the work that goes on, in no particular unit
    total       bigint NOT NULL DEFAULT 0,
    touched_at  timestamptz NOT NULL,          -- a sign of life of whoever works on it
    CHECK ((state = 'receiving') = (sealed IS NULL))
);
CREATE INDEX directory_imports_old ON app.directory_imports (touched_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON app.directory_imports TO postern_api;

-- +goose Down
DROP TABLE app.directory_imports;
