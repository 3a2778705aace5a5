-- +goose Up

-- Erasures of the content of messages: asked for by one, agreed to by another. While
-- one waits or was carried out there is no second for the message.
CREATE TABLE record.erasures (
    erasure_id   uuid PRIMARY KEY,
    message_id   uuid NOT NULL,
    seq          bigint NOT NULL,
    status       text NOT NULL CHECK (status IN ('requested', 'erased', 'withdrawn')),
    reason       text NOT NULL,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    settled_by   text,
    settled_at   timestamptz,
    early        boolean NOT NULL DEFAULT false, -- erased before the retention had passed
    CHECK ((status = 'requested') = (settled_at IS NULL)),
    CHECK ((status = 'requested') = (settled_by IS NULL)),
    CHECK (status <> 'erased' OR settled_by <> requested_by)
);
CREATE UNIQUE INDEX erasures_message ON record.erasures (message_id) WHERE status <> 'withdrawn';
CREATE INDEX erasures_seq ON record.erasures (seq);

-- For how long content is kept, each time that it was set anew. Without a row it is
-- six years.
CREATE TABLE record.retention (
    seq        bigint PRIMARY KEY,
    years      integer NOT NULL CHECK (years > 0),
    before     integer NOT NULL CHECK (before > 0),
    changed_at timestamptz NOT NULL
);

GRANT SELECT ON record.erasures, record.retention TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON record.erasures, record.retention TO postern_recorder;

-- +goose Down
DROP TABLE record.retention, record.erasures;
