-- +goose Up

-- Which notices their readers have read: all up to read_until, and those of read_notices. Reading is
-- not on the record. A notice that is renewed has a higher seq, and is unread again.
CREATE TABLE app.notice_readers (
    staff_id   text PRIMARY KEY,
    read_until bigint NOT NULL CHECK (read_until >= 0)
);
CREATE TABLE app.read_notices (
    message_id uuid PRIMARY KEY,
    staff_id   text NOT NULL,
    seq        bigint NOT NULL
);
CREATE INDEX read_notices_reader ON app.read_notices (staff_id, seq);
GRANT SELECT, INSERT, UPDATE, DELETE ON app.notice_readers, app.read_notices TO postern_api;

-- Staff who want an e-mail when a message of theirs to a group has ended. after_seq is the event up
-- to which their messages have their e-mail in app.notice_letters, or need none.
CREATE TABLE app.notice_mails (
    staff_id  text PRIMARY KEY,
    after_seq bigint NOT NULL CHECK (after_seq >= 0)
);
-- These e-mails, one a message. A row is sending from before its e-mail is handed over until the
-- answer is stored: after a crash in between it is unknown, and no second e-mail goes out.
CREATE TABLE app.notice_letters (
    message_id uuid PRIMARY KEY,
    staff_id   text NOT NULL,
    state      text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sending', 'sent', 'skipped', 'failed', 'unknown')),
    tries      integer NOT NULL DEFAULT 0 CHECK (tries >= 0),
    due_at     timestamptz NOT NULL,
    changed_at timestamptz NOT NULL
);
CREATE INDEX notice_letters_due ON app.notice_letters (due_at) WHERE state IN ('waiting', 'sending');
CREATE INDEX notice_letters_ended ON app.notice_letters (changed_at) WHERE state NOT IN ('waiting', 'sending');
GRANT SELECT, INSERT, UPDATE, DELETE ON app.notice_mails, app.notice_letters TO postern_api;

-- +goose Down
DROP TABLE app.notice_letters, app.notice_mails, app.read_notices, app.notice_readers;
