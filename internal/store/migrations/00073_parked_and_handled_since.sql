-- +goose Up

-- A parked event also counts as handled once the record has its result from a later time: the
-- stream was restored and the event was handled again, or a failover was settled. The result
-- is the completed fan-out of its message, or the outcome of its chunk's alerts.
CREATE OR REPLACE VIEW app.parked_events AS
SELECT p.parked_id, p.consumer, p.seq, p.event_id, p.type, p.message_id, p.tries, p.reason, p.stack, p.parked_at, p.handled_at,
       CASE WHEN p.handled_at IS NOT NULL OR e.projected OR m.completed_at > p.parked_at OR c.alert_at > p.parked_at THEN 'handled'
            WHEN d.verdict = 'discarded' THEN 'discarded'
            WHEN d.verdict = 'retried' THEN 'retrying'
            ELSE 'parked' END AS state
FROM app.parked p
LEFT JOIN record.parked_decisions d ON d.parked_id = p.parked_id AND d.tries = p.tries
LEFT JOIN record.events e ON e.seq = p.seq AND p.consumer = 'recorder'
LEFT JOIN record.messages m ON m.message_id = p.message_id AND p.consumer IN ('fanout-bulk', 'fanout-direct')
LEFT JOIN record.chunks c ON c.message_id = p.message_id AND c.seq = p.seq AND p.consumer IN ('notify-bulk', 'notify-direct');

-- +goose Down
CREATE OR REPLACE VIEW app.parked_events AS
SELECT p.parked_id, p.consumer, p.seq, p.event_id, p.type, p.message_id, p.tries, p.reason, p.stack, p.parked_at, p.handled_at,
       CASE WHEN p.handled_at IS NOT NULL OR e.projected THEN 'handled'
            WHEN d.verdict = 'discarded' THEN 'discarded'
            WHEN d.verdict = 'retried' THEN 'retrying'
            ELSE 'parked' END AS state
FROM app.parked p
LEFT JOIN record.parked_decisions d ON d.parked_id = p.parked_id AND d.tries = p.tries
LEFT JOIN record.events e ON e.seq = p.seq AND p.consumer = 'recorder';
