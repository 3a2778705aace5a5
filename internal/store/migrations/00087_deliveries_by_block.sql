-- +goose Up
DROP PROCEDURE record.carry_over();
DROP VIEW record.delivery_status;
DROP TABLE record.carried_over, record.deliveries;

-- One row for each delivery, for people who look at the database and for tests. A condition
-- on the portal user does not use an index: programs read record.inbox.
CREATE VIEW record.deliveries AS
SELECT i.message_id, portal_user_no, i.chunk
FROM record.inbox i CROSS JOIN LATERAL record.portal_users_of(i.block, i.members) AS portal_user_no;

CREATE VIEW record.delivery_status AS
SELECT d.message_id,
       d.portal_user_no,
       d.chunk,
       c.delivered_at,
       coalesce(x.state, c.alert_state)     AS alert_state,
       coalesce(x.reason, c.alert_reason)   AS alert_reason,
       coalesce(x.attempt, c.alert_attempt) AS alert_attempts,
       coalesce(x.at, c.alert_at)           AS alert_at,
       o.opened_at
FROM record.deliveries d
JOIN record.chunks c USING (message_id, chunk)
LEFT JOIN record.alert_exceptions x USING (message_id, portal_user_no)
LEFT JOIN record.opens o USING (message_id, portal_user_no);
GRANT SELECT ON record.deliveries, record.delivery_status TO postern_api, postern_fanout, postern_notify, postern_recorder;
ANALYZE record.inbox;
