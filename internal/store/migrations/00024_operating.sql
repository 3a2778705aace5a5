-- +goose Up

-- What operators decided about parked events, by how often each had been tried:
-- one that fails again waits for the next decision. The first decision counts.
CREATE TABLE record.parked_decisions (
    parked_id  uuid NOT NULL,
    tries      integer NOT NULL,
    verdict    text NOT NULL CHECK (verdict IN ('retried', 'discarded')),
    reason     text NOT NULL,
    decided_by text NOT NULL,
    decided_at timestamptz NOT NULL,
    PRIMARY KEY (parked_id, tries)
);

-- The messages whose alerts wait; the id of zeros is all of them.
CREATE TABLE record.pauses (
    message_id uuid PRIMARY KEY,
    reason     text NOT NULL,
    automatic  boolean NOT NULL,
    paused_by  text NOT NULL,
    paused_at  timestamptz NOT NULL
);

GRANT SELECT ON record.parked_decisions, record.pauses TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON record.parked_decisions, record.pauses TO postern_recorder;

-- A parked event that was handled in the end keeps its row, with the time.
ALTER TABLE app.parked ADD COLUMN handled_at timestamptz;
CREATE INDEX parked_open ON app.parked (consumer, parked_at) WHERE handled_at IS NULL;
GRANT UPDATE ON app.parked TO postern_fanout, postern_notify;

-- What last went wrong at each consumer, parked or not.
CREATE TABLE app.consumer_errors (
    consumer text PRIMARY KEY,
    seq      bigint NOT NULL,
    reason   text NOT NULL,
    at       timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON app.consumer_errors TO postern_api;
GRANT SELECT, INSERT, UPDATE ON app.consumer_errors TO postern_fanout, postern_notify, postern_recorder;

-- +goose Down
DROP TABLE app.consumer_errors;
DROP INDEX app.parked_open;
ALTER TABLE app.parked DROP COLUMN handled_at;
DROP TABLE record.parked_decisions, record.pauses;
