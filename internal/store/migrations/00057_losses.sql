-- +goose Up

-- What an operator said is lost for good, by `postern recover`: what is older than that
-- is not looked for when a process starts.
CREATE TABLE app.losses (
    nr          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    part        text NOT NULL CHECK (part IN ('content.key', 'checkpoint.key', 'postgres', 'nats', 'content', 'archive')),
    accepted_at timestamptz NOT NULL DEFAULT now(),
    accepted_by text NOT NULL
);
GRANT SELECT ON app.losses TO postern_api, postern_fanout, postern_recorder;

-- When the database was made: one that is younger than the events of its stream, and
-- knows none of them, is not the one that belongs to it.
CREATE TABLE app.database (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    made_at   timestamptz NOT NULL DEFAULT now()
);
INSERT INTO app.database DEFAULT VALUES;
GRANT SELECT ON app.database TO postern_api, postern_recorder;

-- +goose Down
DROP TABLE app.database;
DROP TABLE app.losses;
