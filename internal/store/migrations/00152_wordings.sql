-- +goose Up

-- Saved wordings: a staff member's own, or, once published, the clinic's.
CREATE TABLE app.wordings (
    wording_id  uuid PRIMARY KEY,
    staff_id    text NOT NULL, -- the author
    version     integer NOT NULL CHECK (version > 0),
    published   boolean NOT NULL,
    wrapped_key bytea NOT NULL,
    sealed      bytea NOT NULL,
    saved_at    timestamptz NOT NULL
);
CREATE INDEX wordings_author ON app.wordings (staff_id);
CREATE INDEX wordings_published ON app.wordings (wording_id) WHERE published;
GRANT SELECT, INSERT, UPDATE, DELETE ON app.wordings TO postern_api;

-- +goose Down
DROP TABLE app.wordings;
