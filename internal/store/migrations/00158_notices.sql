-- +goose Up

-- How far the notice is that tells the sender of a message that it has ended (ADR 85). Messages whose
-- fan-out an earlier version completed have none.
ALTER TABLE record.messages ADD COLUMN notice text NOT NULL DEFAULT 'none' CHECK (notice IN ('none', 'due', 'made'));
ALTER TABLE record.messages ADD CHECK (notice = 'none' OR completed_at IS NOT NULL);

-- A row for each message that has ended and whose sender is told. The event ended_seq ended it, and
-- seq is that event, or the last one that ended a replay of its alerts.
CREATE TABLE record.notices (
    message_id uuid PRIMARY KEY,
    sender_id  text NOT NULL,
    bulk       boolean NOT NULL,
    ended_seq  bigint NOT NULL,
    ended_at   timestamptz NOT NULL,
    seq        bigint NOT NULL,
    at         timestamptz NOT NULL,
    replay_id  uuid, -- of the replay that repeated alerts of it last, until it ends
    CHECK (seq >= ended_seq)
);
CREATE INDEX notices_sender ON record.notices (sender_id, seq);
CREATE INDEX notices_mail ON record.notices (sender_id, ended_seq) WHERE bulk;
CREATE INDEX notices_replay ON record.notices (replay_id) WHERE replay_id IS NOT NULL;
GRANT SELECT ON record.notices TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON record.notices TO postern_recorder;

-- +goose Down
DROP TABLE record.notices;
ALTER TABLE record.messages DROP COLUMN notice;
