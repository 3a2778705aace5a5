-- +goose Up

-- The messages to groups, and the chosen people of messages that not all of them got, for the
-- page that says what was sent to a portal user, and what was not (ADR 78).
CREATE INDEX messages_bulk ON record.messages (message_id) WHERE bulk;
CREATE INDEX messages_chosen ON record.messages USING gin ((recipients -> 'portal_user_ids')) WHERE status <> 'sent';

-- +goose Down
DROP INDEX record.messages_chosen, record.messages_bulk;
