-- +goose Up

-- The messages whose alerts a pause holds, and which pause: that of all messages
-- before the message's own. No alert of a recalled or cancelled message goes out, so
-- no pause holds what is left to do for one. See docs/adr/0050.
CREATE VIEW record.held_messages AS
SELECT m.message_id, coalesce(every.message_id, own.message_id) AS pause
FROM record.messages m
LEFT JOIN record.pauses own ON own.message_id = m.message_id
LEFT JOIN record.pauses every ON every.message_id = '00000000-0000-0000-0000-000000000000'
WHERE m.status NOT IN ('recalled', 'cancelled') AND (own.message_id IS NOT NULL OR every.message_id IS NOT NULL);
GRANT SELECT ON record.held_messages TO postern_api, postern_fanout, postern_notify, postern_recorder;

-- A pause used to be a due time in the year 9999, from which parts of replays never
-- came back. They are due now; a pause that is still in force holds them by the view.
UPDATE app.alert_retries SET due_at = now() WHERE due_at >= '9999-01-01';
UPDATE app.replay_parts SET due_at = now() WHERE due_at >= '9999-01-01';
ALTER TABLE app.alert_retries ADD CHECK (isfinite(due_at));
ALTER TABLE app.replay_parts ADD CHECK (isfinite(due_at));

-- NULL: nothing was taken yet, so there is no pace to keep.
ALTER TABLE app.replay_pace ALTER next_at DROP NOT NULL, ALTER next_at DROP DEFAULT;
UPDATE app.replay_pace SET next_at = NULL WHERE next_at = '-infinity';
ALTER TABLE app.replay_pace ADD CHECK (isfinite(next_at));

-- Alerts of a plan that were not repeated, and why: the world had changed since.
CREATE TABLE app.replay_left_out (
    replay_id uuid NOT NULL,
    reason    text NOT NULL CHECK (reason <> ''),
    alerts    integer NOT NULL CHECK (alerts > 0),
    PRIMARY KEY (replay_id, reason)
);
GRANT SELECT ON app.replay_left_out TO postern_api;
GRANT SELECT, INSERT, UPDATE ON app.replay_left_out TO postern_notify;

-- Alerts that wait to go out: how many, since when they are due or until when they
-- wait, why, and the pause that holds them, NULL for none. replay_id is NULL for what
-- a message does by itself. What a worker has in hand is among them.
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

-- +goose Down
DROP VIEW app.alerts_waiting;
DROP TABLE app.replay_left_out;
UPDATE app.replay_pace SET next_at = '-infinity' WHERE next_at IS NULL;
ALTER TABLE app.replay_pace DROP CONSTRAINT replay_pace_next_at_check;
ALTER TABLE app.replay_pace ALTER next_at SET DEFAULT '-infinity', ALTER next_at SET NOT NULL;
ALTER TABLE app.replay_parts DROP CONSTRAINT replay_parts_due_at_check;
ALTER TABLE app.alert_retries DROP CONSTRAINT alert_retries_due_at_check;
DROP VIEW record.held_messages;
