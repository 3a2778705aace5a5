-- +goose Up

-- Messages that portal users opened and marked as unread, to come back to them. A mark is a note to
-- oneself: the record keeps when the message was first opened, and no event says that a mark was made.
CREATE TABLE app.unread_marks (
    portal_user_no integer NOT NULL,
    message_id     uuid NOT NULL,
    marked_at      timestamptz NOT NULL,
    PRIMARY KEY (portal_user_no, message_id)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON app.unread_marks TO postern_api;

-- +goose Down
DROP TABLE app.unread_marks;
