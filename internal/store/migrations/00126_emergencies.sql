-- +goose Up

-- Emergency access: one message's content or one patient's disclosures, for one staff member,
-- until a time. An opening that is still open after that time has ended.
CREATE TABLE record.emergencies (
    opening_id  uuid PRIMARY KEY,
    seq         bigint NOT NULL,
    state       text NOT NULL CHECK (state IN ('open', 'ended', 'reviewed')),
    staff_id    text NOT NULL,
    message_id  uuid,
    patient_id  text,
    reason      text NOT NULL,                   -- as typed
    opened_at   timestamptz NOT NULL,
    until       timestamptz NOT NULL,
    ended_by    text,                            -- NULL: its time ended it, or nothing has yet
    ended_at    timestamptz,
    reviewed_by text,
    reviewed_at timestamptz,
    note        text,                            -- as the reviewer typed it
    CONSTRAINT emergencies_of_one CHECK ((message_id IS NULL) <> (patient_id IS NULL)),
    CONSTRAINT emergencies_ended CHECK ((ended_by IS NULL) = (ended_at IS NULL)),
    CONSTRAINT emergencies_open CHECK (state <> 'open' OR ended_at IS NULL),
    CONSTRAINT emergencies_reviewed CHECK ((state = 'reviewed') = (reviewed_at IS NOT NULL)),
    CONSTRAINT emergencies_note CHECK ((reviewed_at IS NULL) = (note IS NULL) AND (reviewed_at IS NULL) = (reviewed_by IS NULL)),
    CONSTRAINT emergencies_by_another CHECK (reviewed_by <> 'staff:' || staff_id)
);
CREATE INDEX emergencies_seq ON record.emergencies (seq);
CREATE INDEX emergencies_not_reviewed ON record.emergencies (seq) WHERE state <> 'reviewed';

-- What was shown by an opening.
CREATE TABLE record.emergency_reads (
    seq           bigint PRIMARY KEY,
    opening_id    uuid NOT NULL,
    what          text NOT NULL CHECK (what IN ('content', 'document', 'disclosures')),
    attachment_id uuid,
    read_at       timestamptz NOT NULL,
    CONSTRAINT emergency_reads_document CHECK ((what = 'document') = (attachment_id IS NOT NULL))
);
CREATE INDEX emergency_reads_opening ON record.emergency_reads (opening_id, seq);

GRANT SELECT ON record.emergencies, record.emergency_reads TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON record.emergencies, record.emergency_reads TO postern_recorder;

-- +goose Down
DROP TABLE record.emergency_reads, record.emergencies;
