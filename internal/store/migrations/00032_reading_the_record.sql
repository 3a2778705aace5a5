-- +goose Up

-- Reading the record. A list is in order of time and then of place, newest first,
-- along one of these indexes; an export is in order of place, along the primary key
-- or events_message. An event is a row, so they cost a blast next to nothing.
CREATE INDEX events_time ON record.events (time, seq);
CREATE INDEX events_type ON record.events (type, time, seq);
CREATE INDEX events_actor ON record.events (actor, time, seq);
CREATE INDEX events_message_time ON record.events (message_id, time, seq) WHERE message_id IS NOT NULL;
CREATE INDEX events_message_type ON record.events (message_id, type, time, seq) WHERE message_id IS NOT NULL;

-- The events that speak of one chunk of a message, as their headers say: so the
-- deliveries of one portal user lead to all that is said of them. A system that is
-- older than this table fills it by `postern rebuild`.
CREATE TABLE record.chunk_events (
    seq        bigint PRIMARY KEY,
    message_id uuid NOT NULL,
    chunk      bigint NOT NULL,
    chunks     bigint NOT NULL                -- how many the message has
);
CREATE INDEX chunk_events_chunk ON record.chunk_events (message_id, chunk);

GRANT SELECT ON record.chunk_events TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON record.chunk_events TO postern_recorder;

-- +goose Down
DROP TABLE record.chunk_events;
DROP INDEX record.events_message_type, record.events_message_time, record.events_actor, record.events_type, record.events_time;
