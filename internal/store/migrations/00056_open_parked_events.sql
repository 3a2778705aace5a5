-- +goose Up

-- Every event that was ever parked, with its state. What the recorder parked counts as
-- handled once a rebuild has projected it.
CREATE VIEW app.parked_events AS
SELECT p.parked_id, p.consumer, p.seq, p.event_id, p.type, p.message_id, p.tries, p.reason, p.stack, p.parked_at, p.handled_at,
       CASE WHEN p.handled_at IS NOT NULL OR e.projected THEN 'handled'
            WHEN d.verdict = 'discarded' THEN 'discarded'
            WHEN d.verdict = 'retried' THEN 'retrying'
            ELSE 'parked' END AS state
FROM app.parked p
LEFT JOIN record.parked_decisions d ON d.parked_id = p.parked_id AND d.tries = p.tries
LEFT JOIN record.events e ON e.seq = p.seq AND p.consumer = 'recorder';

-- Those that are open: neither handled nor discarded. What counts or lists open events
-- reads this view. The first condition, which follows from the second, is for the index.
CREATE VIEW app.open_parked_events AS
SELECT * FROM app.parked_events WHERE handled_at IS NULL AND state IN ('parked', 'retrying');

GRANT SELECT ON app.parked_events, app.open_parked_events TO postern_api;

-- +goose Down
DROP VIEW app.open_parked_events;
DROP VIEW app.parked_events;
