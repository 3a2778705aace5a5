-- +goose Up

-- What the record says of replays; see docs/states.md. The counters are of the
-- alerts that the replay has repeated so far.
CREATE TABLE record.replays (
    replay_id  uuid PRIMARY KEY,
    seq        bigint NOT NULL,
    filter     jsonb NOT NULL,
    reason     text NOT NULL,
    count      integer NOT NULL CHECK (count >= 0),
    digest     text NOT NULL,
    by_reason  jsonb NOT NULL,
    excluded   jsonb NOT NULL,                -- chosen by the filter and left out, by why
    oldest     timestamptz,
    newest     timestamptz,
    status     text NOT NULL CHECK (status IN ('planned', 'running', 'paused', 'completed', 'cancelled')),
    planned_at timestamptz NOT NULL,
    planned_by text NOT NULL,
    rate       integer NOT NULL DEFAULT 0,    -- alerts a minute; 0: as fast as SendGrid takes them
    started_at timestamptz,
    started_by text,
    ended_at   timestamptz,
    ended_by   text,
    accepted   integer NOT NULL DEFAULT 0,
    failed     integer NOT NULL DEFAULT 0,
    skipped    integer NOT NULL DEFAULT 0,
    unknown    integer NOT NULL DEFAULT 0,
    left_out   integer NOT NULL DEFAULT 0,    -- known once it is completed
    CHECK ((status IN ('completed', 'cancelled')) = (ended_at IS NOT NULL)),
    CHECK (status NOT IN ('running', 'paused', 'completed') OR started_at IS NOT NULL),
    CHECK (status <> 'planned' OR started_at IS NULL),
    CHECK (accepted + failed + skipped + unknown + left_out <= count)
);
CREATE INDEX replays_open ON record.replays (replay_id) WHERE status IN ('planned', 'running', 'paused');

-- What replays choose from.
CREATE INDEX chunks_unsettled ON record.chunks (alert_at) WHERE alert_state IN ('failed', 'unknown');
CREATE INDEX alert_exceptions_unsettled ON record.alert_exceptions (at) WHERE state IN ('failed', 'unknown');

GRANT SELECT ON record.replays TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON record.replays TO postern_recorder;

-- The frozen set of a replay, a row for the recipients of a chunk whose alerts
-- stand at the same attempt. taken counts those that were handed to a part.
CREATE TABLE app.replay_sets (
    replay_id  uuid NOT NULL,
    nr         integer NOT NULL,
    message_id uuid NOT NULL,
    chunk      integer NOT NULL,
    chunks     integer NOT NULL,
    attempt    integer NOT NULL CHECK (attempt > 0),
    recipients integer[] NOT NULL,
    taken      integer NOT NULL DEFAULT 0 CHECK (taken BETWEEN 0 AND cardinality(recipients)),
    PRIMARY KEY (replay_id, nr)
);

-- The pace of a replay: nothing more is taken of its sets before next_at.
CREATE TABLE app.replay_pace (
    replay_id uuid PRIMARY KEY,
    next_at   timestamptz NOT NULL DEFAULT '-infinity',
    taken     boolean NOT NULL DEFAULT false  -- all of them are
);

-- One alert repeated: whoever inserts the row makes the attempt, and nobody else
-- ever does. It is what makes one attempt of a hundred replays of one failure.
CREATE TABLE app.alert_repeats (
    message_id     uuid NOT NULL,
    portal_user_no integer NOT NULL,
    attempt        integer NOT NULL CHECK (attempt > 1),
    part           bigint NOT NULL,
    PRIMARY KEY (message_id, portal_user_no, attempt)
);

-- What a replay takes of a set at a time, and alerts together. Its row is there
-- before the first call and stays until its outcome is on the record.
CREATE SEQUENCE app.replay_part;
CREATE TABLE app.replay_parts (
    part       bigint PRIMARY KEY,
    replay_id  uuid NOT NULL,
    message_id uuid NOT NULL,
    chunk      integer NOT NULL,
    chunks     integer NOT NULL,
    attempt    integer NOT NULL CHECK (attempt > 1),
    recipients integer[] NOT NULL,
    due_at     timestamptz NOT NULL,
    tries      integer NOT NULL DEFAULT 0,
    waits_for  text NOT NULL DEFAULT '',
    wound_up   boolean NOT NULL DEFAULT false, -- its replay was cancelled: no further call is made
    done_at    timestamptz,
    outcome    bigint NOT NULL DEFAULT 0      -- its event's place on the record; 0: it came to none
);
CREATE INDEX replay_parts_due ON app.replay_parts (due_at) WHERE done_at IS NULL;
CREATE INDEX replay_parts_replay ON app.replay_parts (replay_id);

-- Parts of one attempt count their requests by themselves; 0 is the attempt that
-- a blast makes.
ALTER TABLE app.attempts ADD COLUMN part bigint NOT NULL DEFAULT 0;
ALTER TABLE app.attempts DROP CONSTRAINT attempts_pkey;
ALTER TABLE app.attempts ADD PRIMARY KEY (message_id, chunk, attempt, part, request);

-- The api plans; the notify worker carries out, and plans what settles unknown answers.
GRANT SELECT, INSERT ON app.replay_sets, app.replay_pace TO postern_api, postern_notify;
GRANT SELECT ON app.alert_repeats, app.replay_parts TO postern_api;
GRANT UPDATE ON app.replay_sets, app.replay_pace TO postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON app.replay_parts, app.alert_repeats TO postern_notify;
GRANT USAGE ON SEQUENCE app.replay_part TO postern_notify;

-- +goose Down
DROP TABLE app.replay_parts, app.alert_repeats, app.replay_pace, app.replay_sets, record.replays;
DROP SEQUENCE app.replay_part;
DROP INDEX record.chunks_unsettled, record.alert_exceptions_unsettled;
DELETE FROM app.attempts WHERE part <> 0;
ALTER TABLE app.attempts DROP CONSTRAINT attempts_pkey;
ALTER TABLE app.attempts DROP COLUMN part;
ALTER TABLE app.attempts ADD PRIMARY KEY (message_id, chunk, attempt, request);
