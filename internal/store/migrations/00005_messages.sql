-- +goose Up

-- Lists of messages by their state, newest first: of one sender, and of everybody.
CREATE INDEX messages_sender_status ON record.messages (sender_id, status, message_id);
CREATE INDEX messages_status ON record.messages (status, message_id);

-- +goose Down
DROP INDEX record.messages_status, record.messages_sender_status;
