-- +goose Up

-- Alerts that wait, or that a worker has in hand, a row for each piece of work: the first
-- alerts of a chunk that could not go out at once (first), and what a replay repeats of one
-- chunk at a time (replay). See docs/states.md and docs/adr/0054. A pause is no state: the
-- view below asks the record for it.
CREATE TABLE app.alert_work (
    message_id   uuid NOT NULL,
    chunk        integer NOT NULL,
    part         bigint NOT NULL DEFAULT 0,      -- as in app.attempts: of a replay; 0 for the first alerts
    kind         text NOT NULL CHECK (kind IN ('first', 'replay')),
    chunks       integer NOT NULL,
    seq          bigint NOT NULL DEFAULT 0,      -- of the chunk's deliveries.created; 0 for a replay
    attempt      integer NOT NULL DEFAULT 1,
    replay_id    uuid,
    recipients   integer[],                      -- of a replay, ascending
    state        text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'leased', 'done')),
    due_at       timestamptz NOT NULL CHECK (isfinite(due_at)),
    lease        uuid,                           -- another each time that the row is taken
    leased_until timestamptz,                    -- from then on another worker may take it
    tries        integer NOT NULL DEFAULT 0,
    reason       text NOT NULL DEFAULT '',       -- why it waits
    amends       boolean NOT NULL DEFAULT false, -- an answer came late: the outcome is to be published again
    wound_up     boolean NOT NULL DEFAULT false, -- of a replay: no further request is made for it
    done_at      timestamptz,
    outcome      bigint NOT NULL DEFAULT 0,      -- of a replay: its event's place on the record; 0: it came to none
    PRIMARY KEY (message_id, chunk, part),
    CHECK ((kind = 'first') = (part = 0)),
    CHECK ((kind = 'first') = (attempt = 1)),
    CHECK ((kind = 'first') = (replay_id IS NULL)),
    CHECK ((kind = 'first') = (recipients IS NULL)),
    CHECK ((state = 'leased') = (lease IS NOT NULL)),
    CHECK ((state = 'leased') = (leased_until IS NOT NULL)),
    CHECK ((state = 'done') = (done_at IS NOT NULL)),
    CHECK (state <> 'done' OR kind = 'replay'),
    CHECK (state <> 'done' OR NOT amends),
    CHECK (NOT wound_up OR kind = 'replay')
);

INSERT INTO app.alert_work (message_id, chunk, kind, chunks, seq, due_at, tries, reason, amends)
SELECT message_id, chunk, 'first', chunks, seq, due_at, tries, reason, amends FROM app.alert_retries;

INSERT INTO app.alert_work (message_id, chunk, part, kind, chunks, attempt, replay_id, recipients, state, due_at, tries, reason, amends, wound_up, done_at, outcome)
SELECT message_id, chunk, part, 'replay', chunks, attempt, replay_id, recipients, CASE WHEN done_at IS NULL THEN 'waiting' ELSE 'done' END,
       due_at, tries, waits_for, amends, wound_up, done_at, outcome
FROM app.replay_parts;

DROP VIEW app.alerts_waiting;
DROP TABLE app.alert_retries, app.replay_parts;

CREATE INDEX alert_work_ready ON app.alert_work (kind, (CASE WHEN state = 'leased' THEN leased_until ELSE due_at END), part) WHERE state <> 'done';
CREATE INDEX alert_work_replay ON app.alert_work (replay_id) WHERE kind = 'replay';
GRANT SELECT ON app.alert_work TO postern_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON app.alert_work TO postern_notify;

-- What a worker may take up from ready_at on. A row that is leased is ready when its lease
-- has ended. A pause holds what would make a request. The view has one table in its FROM, so
-- that FOR UPDATE locks the rows of that table alone.
CREATE VIEW app.alerts_due AS
SELECT w.*, CASE WHEN w.state = 'leased' THEN w.leased_until ELSE w.due_at END AS ready_at
FROM app.alert_work w
WHERE w.state <> 'done' AND CASE
    WHEN w.wound_up THEN true
    WHEN w.amends AND w.kind = 'first' AND (SELECT c.alert_state FROM record.chunks c WHERE c.message_id = w.message_id AND c.chunk = w.chunk) <> 'pending' THEN true
    WHEN w.kind = 'replay' AND (SELECT r.status FROM record.replays r WHERE r.replay_id = w.replay_id) = 'cancelled' THEN true
    WHEN w.kind = 'replay' AND (SELECT r.status FROM record.replays r WHERE r.replay_id = w.replay_id) IS DISTINCT FROM 'running' THEN false
    ELSE (SELECT h.pause FROM record.held_messages h WHERE h.message_id = w.message_id) IS NULL END;
GRANT SELECT, UPDATE ON app.alerts_due TO postern_notify; -- UPDATE for FOR UPDATE

CREATE VIEW app.alerts_waiting AS
SELECT w.*, (SELECT h.pause FROM record.held_messages h WHERE h.message_id = w.message_id) AS pause
FROM (SELECT f.message_id, f.chunk, f.replay_id, c.deliveries AS alerts, f.due_at, f.reason
      FROM app.alert_work f JOIN record.chunks c USING (message_id, chunk)
      WHERE f.kind = 'first'
      UNION ALL
      SELECT p.message_id, p.chunk, p.replay_id, cardinality(p.recipients), p.due_at,
             CASE WHEN r.status = 'paused' THEN 'the replay is paused' ELSE p.reason END
      FROM app.alert_work p JOIN record.replays r USING (replay_id)
      WHERE p.state <> 'done' AND NOT p.wound_up AND r.status IN ('running', 'paused')
      UNION ALL
      SELECT s.message_id, s.chunk, s.replay_id, cardinality(s.recipients) - s.taken, p.next_at,
             CASE WHEN r.status = 'paused' THEN 'the replay is paused' ELSE 'its turn in a replay' END
      FROM app.replay_sets s JOIN app.replay_pace p USING (replay_id) JOIN record.replays r USING (replay_id)
      WHERE r.status IN ('running', 'paused') AND NOT p.taken AND s.taken < cardinality(s.recipients)) w;
GRANT SELECT ON app.alerts_waiting TO postern_api, postern_notify;

-- +goose Down
DROP VIEW app.alerts_waiting, app.alerts_due;
CREATE TABLE app.alert_retries (
    message_id uuid NOT NULL,
    chunk      integer NOT NULL,
    chunks     integer NOT NULL,
    seq        bigint NOT NULL,
    due_at     timestamptz NOT NULL CHECK (isfinite(due_at)),
    tries      integer NOT NULL,
    reason     text NOT NULL,
    amends     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (message_id, chunk)
);
CREATE INDEX alert_retries_due ON app.alert_retries (due_at);
CREATE TABLE app.replay_parts (
    part       bigint PRIMARY KEY,
    replay_id  uuid NOT NULL,
    message_id uuid NOT NULL,
    chunk      integer NOT NULL,
    chunks     integer NOT NULL,
    attempt    integer NOT NULL CHECK (attempt > 1),
    recipients integer[] NOT NULL,
    due_at     timestamptz NOT NULL CHECK (isfinite(due_at)),
    tries      integer NOT NULL DEFAULT 0,
    waits_for  text NOT NULL DEFAULT '',
    wound_up   boolean NOT NULL DEFAULT false,
    done_at    timestamptz,
    outcome    bigint NOT NULL DEFAULT 0,
    amends     boolean NOT NULL DEFAULT false,
    CHECK (NOT amends OR done_at IS NULL)
);
CREATE INDEX replay_parts_due ON app.replay_parts (due_at) WHERE done_at IS NULL;
CREATE INDEX replay_parts_replay ON app.replay_parts (replay_id);
GRANT SELECT ON app.alert_retries, app.replay_parts TO postern_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON app.alert_retries, app.replay_parts TO postern_notify;
INSERT INTO app.alert_retries (message_id, chunk, chunks, seq, due_at, tries, reason, amends)
SELECT message_id, chunk, chunks, seq, coalesce(leased_until, due_at), tries, reason, amends FROM app.alert_work WHERE kind = 'first';
INSERT INTO app.replay_parts (part, replay_id, message_id, chunk, chunks, attempt, recipients, due_at, tries, waits_for, wound_up, done_at, outcome, amends)
SELECT part, replay_id, message_id, chunk, chunks, attempt, recipients, coalesce(leased_until, due_at), tries, reason, wound_up, done_at, outcome, amends
FROM app.alert_work WHERE kind = 'replay';
DROP TABLE app.alert_work;
CREATE VIEW app.alerts_waiting AS
SELECT w.*, (SELECT h.pause FROM record.held_messages h WHERE h.message_id = w.message_id) AS pause
FROM (SELECT r.message_id, r.chunk, NULL::uuid AS replay_id, c.deliveries AS alerts, r.due_at, r.reason
      FROM app.alert_retries r JOIN record.chunks c USING (message_id, chunk)
      UNION ALL
      SELECT p.message_id, p.chunk, p.replay_id, cardinality(p.recipients), p.due_at,
             CASE WHEN r.status = 'paused' THEN 'the replay is paused' ELSE p.waits_for END
      FROM app.replay_parts p JOIN record.replays r USING (replay_id)
      WHERE p.done_at IS NULL AND NOT p.wound_up AND r.status IN ('running', 'paused')
      UNION ALL
      SELECT s.message_id, s.chunk, s.replay_id, cardinality(s.recipients) - s.taken, p.next_at,
             CASE WHEN r.status = 'paused' THEN 'the replay is paused' ELSE 'its turn in a replay' END
      FROM app.replay_sets s JOIN app.replay_pace p USING (replay_id) JOIN record.replays r USING (replay_id)
      WHERE r.status IN ('running', 'paused') AND NOT p.taken AND s.taken < cardinality(s.recipients)) w;
GRANT SELECT ON app.alerts_waiting TO postern_api, postern_notify;
